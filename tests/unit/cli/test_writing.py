"""What is in force is written back only where the file then says just that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbmon.build import config_types
from cbmon.cli.problem import CommandError
from cbmon.cli.writing import write_back
from cbmon.config import load_config

TEXT = """\
# the shop
checks:
  - name: api   # public
    tcp: {address: "127.0.0.1:1"}
    breaker: lenient
  - {name: db, tcp: {address: "127.0.0.1:2"}}
"""

SHARED = """\
checks:
- {name: api, tcp: {address: "a:1"}, breaker: &b {kind: count}}
- {name: db, tcp: {address: "a:2"}, breaker: *b}
"""


def differs(name: str = "api", field: str = "failure_threshold", value: Any = 3) -> dict[str, Any]:
    return {"name": name, "field": field, "value": value, "yaml": 5, "source": "override"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cbmon.yml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_the_file_says_what_is_in_force_and_keeps_its_comments(file: Path) -> None:
    said = write_back(
        file, [differs(), differs(field="slow_call_seconds", value=2.0), differs("db")]
    )
    assert said.startswith(f"wrote {file}: api, db")
    config = load_config(file, types=config_types())
    api, db = config.checks
    assert (api.policy.failure_threshold, api.policy.slow_call_seconds) == (3, 2.0)
    assert (api.policy.recovery_timeout, db.policy.failure_threshold) == (120.0, 3)
    assert file.read_text().startswith("# the shop\nchecks:\n  - name: api   # public\n")
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_without_a_difference_nothing_is_written(file: Path) -> None:
    assert "nothing differs" in write_back(file, [])
    assert file.read_text() == TEXT


FLEET = (
    TEXT
    + """\
discovery:
  - name: fleet
    file_sd: {files: [targets.json]}
    template:
      name: "node-{{ id }}"   # each machine
      tcp: {address: "{{ address }}"}
  - name: rack
    file_sd: {files: [rack.json]}
    template: {name: "rack-{{ id }}", tcp: {address: "{{ address }}"}, breaker: {window_size: 50}}
"""
)


def of_all(name: str, field: str = "failure_threshold", value: Any = 3) -> dict[str, Any]:
    return {**differs(name, field, value), "source": "database"}


def test_defaults_for_all_go_into_the_templates_of_discovered_checks(file: Path) -> None:
    file.write_text(FLEET)
    names = ("api", "db", "node-a", "node-b", "rack-1")
    said = write_back(file, [of_all(name) for name in names])
    assert said.startswith(
        f"wrote {file}: api, db, the template of fleet, the template of rack; now"
    )
    config = load_config(file, types=config_types())
    assert config.expander is not None
    policies = [config.expander.policy_of(name) for name in ("fleet", "rack")]
    assert [policy and policy.failure_threshold for policy in policies] == [3, 3]
    assert policies[1] is not None
    assert policies[1].window_size == 50
    assert "# each machine" in file.read_text()


def test_what_cannot_stand_in_the_file_is_left_and_told(file: Path) -> None:
    file.write_text(FLEET)
    with pytest.raises(CommandError) as caught:
        write_back(file, [differs("api"), differs("node-a"), differs("elsewhere")])
    assert str(caught.value).startswith(
        f"wrote {file}: api\nnode-a, elsewhere: not in this file, or not to be said in it"
    )
    assert "name: node-a" in str(caught.value)
    assert load_config(file, types=config_types()).checks[0].policy.failure_threshold == 3


def test_a_template_whose_breaker_varies_is_left_alone(file: Path) -> None:
    text = FLEET.replace("{window_size: 50}", '"{{ labels.kind }}"')
    file.write_text(text)
    with pytest.raises(CommandError, match="differs from target to target"):
        write_back(file, [of_all("api"), of_all("node-a")])
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        (TEXT, differs("elsewhere")),
        (TEXT, differs(value=0)),
        (
            'x: &b {kind: count}\nchecks:\n- {name: api, tcp: {address: "a:1"}, breaker: 7}',
            differs(),
        ),
        (SHARED, differs()),
    ],
)
def test_where_it_is_not_safe_nothing_is_written_and_the_yaml_is_shown(
    file: Path, text: str, difference: dict[str, Any]
) -> None:
    file.write_text(text)
    with pytest.raises(CommandError) as caught:
        write_back(file, [difference])
    assert "put these keys into the entries of the same name" in str(caught.value)
    assert caught.value.exit_code == 1
    assert file.read_text() == text
    assert list(file.parent.iterdir()) == [file]
