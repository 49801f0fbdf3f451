"""What a list says goes into values, and nowhere else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.build import config_types
from cbmon.config import Config, ConfigError, load_config
from cbmon.config.discovering import Expansion
from cbmon.config.placeholders import PlaceholderError, Target, filled

TEMPLATE = """
checks:
  - {name: db, tcp: {address: "127.0.0.1:5432"}}
exports:
  - {name: out, textfile: {path: a.prom}}
discovery:
  - name: fleet
    file_sd: {files: [targets.json]}
    template:
"""
PLAIN = """
      name: "{{ labels.name }}"
      tcp: {address: "{{ address }}"}
      interval: '{{ labels.interval | default("15s") }}'
      labels: {team: "{{ labels.team | default(\\"none\\") }}"}
      depends_on: [db]
"""


def loaded(directory: Path, template: str = PLAIN) -> Config:
    path = directory / "cbmon.yml"
    path.write_text(TEMPLATE + template)
    return load_config(path, types=config_types(), environ={"SECRET": "hidden"})


def expanded(config: Config, *targets: Target) -> Expansion:
    assert config.expander is not None
    return config.expander.expand(config, {"fleet": targets})


def target(address: str = "web:80", **labels: str) -> Target:
    return Target(address, {"name": "web", **labels})


@pytest.mark.parametrize(
    ("text", "address", "value"),
    [
        ("{{ address }}", "web:80", "web:80"),
        ("{{address}}/x/{{  host }}", "web:80", "web:80/x/web"),
        ("{{ host }}", "https://web.example.net/a", "web.example.net"),
        ("{{ host }}|{{ port }}", "[::1]:9100", "::1|9100"),
        ("{{ id }}", "https://web.example.net:8443/a?b=c", "web.example.net:8443_a_b_c"),
        ("{{ labels.a }}", "web:80", "A"),
        ('{{ labels.nope | default("x y") }}', "web:80", "x y"),
        ('{{ labels.empty|default("") }}!', "web:80", "!"),
        ('{{ port | default("443") }}', "web", "443"),
        ("no placeholder", "web:80", "no placeholder"),
    ],
)
def test_placeholders_stand_for_what_is_known(text: str, address: str, value: str) -> None:
    assert filled(text, Target(address, {"a": "A", "empty": ""})) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ labels.nope }}", "no label nope"),
        ("{{ labels.empty }}", "no label empty"),
        ("{{ port }}", "no port"),
        ("{{ adress }}", "is no placeholder"),
        ("{{ labels }}", "is no placeholder"),
        ("{{ labels.a | upper }}", "is no placeholder"),
        ("{{ address", "is no placeholder"),
        ("{{ address }}{{ 1 + 1 }}", "is no placeholder"),
    ],
)
def test_what_cannot_be_replaced_is_told(text: str, problem: str) -> None:
    with pytest.raises(PlaceholderError, match=problem):
        filled(text, Target("web", {"empty": "", "a": "A"}))


def test_a_target_becomes_a_check_with_the_defaults_of_a_written_one(tmp_path: Path) -> None:
    made = expanded(loaded(tmp_path), target(team="shop", interval="1m"), target(name="b"))
    assert made.rejected == ()
    _, first, second = made.config.checks
    assert (first.name, first.interval, first.labels) == ("web", 60.0, {"team": "shop"})
    assert (first.discovered, first.depends_on) == ("fleet", ("db",))
    assert (second.name, second.interval, second.labels) == ("b", 15.0, {"team": "none"})


def test_expanding_again_replaces_what_was_discovered_before(tmp_path: Path) -> None:
    config = expanded(loaded(tmp_path), target(), target(name="b")).config
    again = expanded(config, target(name="b"), target(name="c")).config
    assert [check.name for check in again.checks] == ["db", "b", "c"]
    assert again.checks[1] == config.checks[2], "what stays is equal, so a reload leaves it alone"
    assert again.hash == config.hash == loaded(tmp_path).hash, "the hash is of what is written"


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        (target(name="db"), "duplicate name"),
        (target(name="out"), "duplicate name"),
        (target(name="first"), "duplicate name"),
        (target(name="a/b"), "expected a name"),
        (target(name="a\nb"), "expected a name"),
        (target(name="x" * 129), "expected a name"),
        (target("no port"), "host:port"),
        (target(interval="soon"), "interval"),
        (target(interval="1ms"), "interval"),
        (Target("web:80", {}), "no label name"),
    ],
)
def test_a_target_that_cannot_be_a_check_is_left_out_and_costs_no_other(
    tmp_path: Path, odd: Target, problem: str
) -> None:
    made = expanded(loaded(tmp_path), target(name="first"), odd, target(name="last"))
    assert [check.name for check in made.config.checks] == ["db", "first", "last"]
    (rejected,) = made.rejected
    assert rejected.address == odd.address
    assert problem in rejected.problem


def test_a_list_can_neither_change_the_structure_nor_read_variables(tmp_path: Path) -> None:
    odd = 'x", enabled: false, tags: ["${SECRET}"]\nnew: {'
    made = expanded(loaded(tmp_path), target(team=odd))
    assert made.config.checks[1].labels == {"team": odd}
    assert made.config.checks[1].enabled
    made = expanded(loaded(tmp_path), target(team="{{ address }} ${SECRET}"))
    assert made.config.checks[1].labels == {"team": "{{ address }} ${SECRET}"}


def test_a_program_that_is_not_allowed_is_not_started_for_a_list(tmp_path: Path) -> None:
    template = '\n      name: "{{ id }}"\n      exec: {command: ["{{ labels.run }}"]}\n'
    made = expanded(loaded(tmp_path, template), target(run="/bin/sh"))
    assert "is not allowed" in made.rejected[0].problem


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("      {}", "the name is the same"),
        ('\n      name: a\n      tcp: {address: "{{ address }}"}', "the name is the same"),
        ('\n      name: "{{ id }}"\n      tpc: {address: "{{ address }}"}', "tpc"),
        ('\n      name: "{{ id }}"\n      tcp: {adress: "{{ address }}"}', "adress"),
        ('\n      name: "{{ id }}"', "no type"),
        ('\n      name: "{{ oops }}"\n      tcp: {address: "a:1"}', "is no placeholder"),
        (PLAIN + "      timeout: 1h\n", "longer than the interval"),
        (PLAIN.replace("[db]", "[bd]"), 'unknown check "bd"'),
        (PLAIN + "      receivers: [nobody]\n", "unknown receiver"),
        ("      3", "mapping"),
    ],
)
def test_a_template_that_can_never_work_is_refused_at_once(
    tmp_path: Path, template: str, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        loaded(tmp_path, template)


def test_thousands_of_targets_are_no_trouble(tmp_path: Path) -> None:
    many = [
        target(f"10.0.{number >> 8}.{number & 255}:80", name=f"t{number}") for number in range(3000)
    ]
    made = expanded(loaded(tmp_path), *many)
    assert len(made.config.checks) == 3001


@cache
def shared() -> Config:
    with TemporaryDirectory() as directory:
        return loaded(Path(directory))


@given(st.text(max_size=200), st.dictionaries(st.sampled_from(["name", "team"]), st.text()))
def test_no_address_and_no_label_breaks_anything(address: str, labels: dict[str, str]) -> None:
    made = expanded(shared(), Target(address or "x", labels))
    assert len(made.config.checks) + len(made.rejected) == 2
