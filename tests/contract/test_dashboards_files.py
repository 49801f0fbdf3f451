"""The dashboards in the repository are those of a default configuration, and Grafana knows all
of their keys; the page about them names each."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cbmon.build import config_types
from cbmon.config import Config, load_config
from cbmon.dashboards import DASHBOARDS, render
from cbmon.dashboards.render import FOLDER, dashboards
from tests.integration.harness.processes import absent

ROOT: Final = Path(__file__).parents[2]
FILES: Final = ROOT / "dashboards"
PAGE: Final = ROOT / "docs" / "dashboards.md"
MADE_FROM: Final = re.compile(r"configuration [0-9a-f]{12}|== bool \d+")
"""What changes whenever the configuration's schema does."""


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("default") / "cbmon.yml"
    path.write_text("checks: []\n")
    return load_config(path, types=config_types())


def test_the_files_are_those_of_a_default_configuration(default: Config) -> None:
    """Renew them with `cbmon dashboards --out dashboards` and a file that says `checks: []`."""
    for path, text in render(default).items():
        kept = (FILES / path).read_text(encoding="utf-8")
        assert MADE_FROM.sub("", kept) == MADE_FROM.sub("", text), path


def test_there_are_no_other_files() -> None:
    found = {str(path.relative_to(FILES)) for path in FILES.rglob("*") if path.is_file()}
    expected = {f"{uid}.json" for uid in DASHBOARDS}
    assert found == {*expected, "provisioning/cbmon.yml", "README.md"}


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_grafanas_own_models_know_every_key(default: Config, uid: str) -> None:
    dashboard = dashboards(default)[uid]
    assert list(_lost(dashboard, _round_trip(dashboard))) == []


def test_a_key_that_grafana_does_not_know_is_found(default: Config) -> None:
    dashboard = dashboards(default)["cbmon-overview"]
    panel = next(one for one in dashboard["panels"] if one["type"] == "state-timeline")
    panel["options"]["sparkles"] = True
    panel["fieldConfig"]["defaults"]["units"] = "s"
    panel["targets"][0]["legend"] = "x"
    lost = {place.rpartition(".")[2] for place in _lost(dashboard, _round_trip(dashboard))}
    assert lost == {"sparkles", "units", "legend"}


def _round_trip(dashboard: dict[str, Any]) -> Any:
    if importlib.util.find_spec("grafana_foundation_sdk") is None:
        absent("grafana-foundation-sdk is not installed")
    with warnings.catch_warnings():  # the newer kind of dashboard needs Grafana 12
        warnings.simplefilter("ignore", DeprecationWarning)
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def _lost(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Where a value of ours is missing or another one; what is only theirs are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from _lost(value, theirs[key], f"{place}.{key}")
            elif value is not None:
                yield f"{place}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(one, other, f"{place}[{index}]")
    elif ours != theirs:
        yield place


def test_the_page_names_every_dashboard_and_where_the_files_go() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for uid in DASHBOARDS:
        assert f"`{uid}`" in text
    assert FOLDER in text
    assert "no Grafana server" in text.replace("\n", " ")


def test_the_pages_pictures_exist_and_all_are_shown() -> None:
    shown = set(re.findall(r"\]\((pictures/[\w-]+\.svg)\)", PAGE.read_text(encoding="utf-8")))
    kept = {f"pictures/{path.name}" for path in (PAGE.parent / "pictures").glob("dashboard-*.svg")}
    assert shown == kept
    assert len(shown) >= 5
