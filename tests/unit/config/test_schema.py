"""The JSON Schema, the example and the option tables.

Rule: they accept what the loader accepts and refuse the slips that an editor should mark.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cbmon.config import ConfigTypes, load_config
from cbmon.config.example import example
from cbmon.config.reference import MODELS, options_table, refreshed
from cbmon.config.schema import json_schema

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "configuration.md"
SLIPS = [
    "unknown-key",
    "unknown-section",
    "unknown-type",
    "no-type",
    "two-types",
    "missing-fields",
    "numbers-and-text",
    "choices",
    "bounds",
    "secrets-twice",
    "wrong-kinds",
    "ratios",
]


@pytest.fixture
def schema(types: ConfigTypes) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return json_schema(types)


def problems(schema: dict[str, Any], text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema)
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


def test_the_schema_is_a_schema_in_json(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_what_the_loader_accepts_the_schema_accepts(schema: dict[str, Any]) -> None:
    text = (HERE / "good" / "contract.yml").read_text()

    assert problems(schema, text) == []
    assert problems(schema, (HERE / "good/conf.d/10-more.yml").read_text()) == []


@pytest.mark.parametrize("name", SLIPS)
def test_slips_that_the_loader_refuses_the_schema_marks(schema: dict[str, Any], name: str) -> None:
    assert problems(schema, (HERE / "bad" / f"{name}.yml").read_text())


@pytest.mark.parametrize(
    "text",
    [
        "checks: [{name: a, tcp: {address: '${HOST}:80'}, interval: '${EVERY}', enabled: '${ON}'}]",
        "defaults: {interval: 30, timeout: 0.5, breaker: {template: lenient, timeout_seconds: 30}}",
        "templates: {a: {failure_rate_threshold: 40%, minimum_calls: null}}",
        "checks:\nweb:\nnotifications:\n",
        "x-anything: [1]",
    ],
)
def test_variables_units_and_empty_sections_pass_the_schema(
    schema: dict[str, Any], text: str
) -> None:
    assert problems(schema, text) == []


def test_text_that_is_no_variable_does_not_pass_for_a_number(schema: dict[str, Any]) -> None:
    assert problems(schema, "templates: {a: {failure_threshold: three}}")
    assert problems(schema, "checks: [{name: a, tcp: {address: 'a:1'}, enabled: 'true'}]")


def test_every_option_in_the_schema_is_described(schema: dict[str, Any]) -> None:
    bare = [
        f"{name}.{key}"
        for name, model in schema["$defs"].items()
        for key, option in model.get("properties", {}).items()
        if "description" not in option and list(option) != ["$ref"] and option != {"type": "object"}
    ]

    assert bare == []
    assert "additionalProperties" in schema["$defs"]["HttpOptions"]


def test_defaults_are_written_as_a_person_would(schema: dict[str, Any]) -> None:
    models = schema["$defs"]

    assert models["DefaultsSection"]["properties"]["interval"]["default"] == "30s"
    assert models["BodyOptions"]["properties"]["limit"]["default"] == "1MiB"
    assert models["WebSection"]["properties"]["listen"]["default"] == ["127.0.0.1:9813"]


def test_no_types_at_all_still_give_a_schema() -> None:
    empty = ConfigTypes(checks={}, exports={}, receivers={})

    jsonschema.Draft202012Validator.check_schema(json_schema(empty))


def test_the_example_loads_as_it_is_and_passes_the_schema(
    types: ConfigTypes, schema: dict[str, Any], tmp_path: Path
) -> None:
    text = example(types)
    path = tmp_path / "cbmon.yml"
    path.write_text(text)
    config = load_config(path, types=types, environ={})

    assert [check.name for check in config.checks] == ["cbmon"]
    assert problems(schema, text) == []
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_example_loads_with_what_it_offers_in_comments(
    types: ConfigTypes, tmp_path: Path
) -> None:
    lines = [_uncommented(line) for line in example(types).splitlines()]
    path = tmp_path / "cbmon.yml"
    path.write_text("\n".join(line for line in lines if line is not None))
    config = load_config(path, types=types, environ={})

    assert [check.name for check in config.checks] == ["cbmon", "ssh"]
    assert [export.name for export in config.exports] == ["node-textfile"]
    assert [receiver.name for receiver in config.notifications.receivers] == ["oncall"]
    assert config.storage.retention == 30 * 86_400


def test_the_example_names_every_option_of_the_sections(types: ConfigTypes) -> None:
    text = example(types)

    for section in ("global", "storage", "web", "defaults"):
        model = MODELS[section]
        for name, field in model.model_fields.items():
            assert f"# {field.alias or name}:" in text


def test_the_option_tables_of_the_page_are_those_of_the_models() -> None:
    page = PAGE.read_text()
    command = "python -m cbmon.config.reference docs/configuration.md"

    assert refreshed(page) == page, f"the tables are old; run: {command}"
    assert all(f"<!-- options: {name} -->" in page for name in [*MODELS, "templates"])


def test_what_the_page_shows_is_true(load: Any, refuse: Any) -> None:
    good, messages, *_ = re.findall(r"```(?:yaml)?\n(.*?)```", PAGE.read_text(), re.DOTALL)
    bad = good.replace("expect:", "expcet:").replace("[shop-db]", "[shop-bd]")
    bad = bad.replace("interval: 15s", "interval: 15s\n    timeout: 30s")

    assert len(load(good).checks) == 2
    assert refuse(bad) == messages.rstrip()


def test_a_table_has_a_row_for_every_option() -> None:
    table = options_table(MODELS["breaker"])

    assert "| `recovery_timeout` | duration | `1m` |" in table
    assert table.count("\n") == len(MODELS["breaker"].model_fields) + 2


def _uncommented(line: str) -> str | None:
    """What the line would be without its "#"; None for prose and for what needs other files."""
    inner = line.strip().removeprefix("# ")
    if inner == line.strip():
        return line
    key = re.match(r"[- {]*([a-z][a-z_-]*):(?: |$)", inner)
    empty = inner.endswith(":") and not inner.startswith("receivers")
    if key is None or empty or key[1] in {"include", "depends_on", "yaml-language-server"}:
        return None
    return line.replace("# ", "", 1)
