"""No text makes the reading of a module file fail in any way but its own."""

from __future__ import annotations

import string
from contextlib import suppress

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon.blackbox.file import parse_modules
from cbmon.blackbox.modules import HttpModule, Module, shown
from cbmon.blackbox.prober import as_yaml
from cbmon.config import ConfigError
from cbmon.config.problems import Problems

KEYS = sorted(
    {*Module.model_fields, *HttpModule.model_fields, "modules", "query_response", "expect",
     "query_name", "ca_file", "header", "regexp", "<<"}
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(string.printable, max_size=12),
    st.sampled_from(["5s", "10MB", "http", "^a(b", "${1}", "TLS12", "yes", "010", "1:30"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


def read(data: bytes) -> dict[str, Module]:
    with suppress(ConfigError):
        return parse_modules(data, "fuzz.yml", Problems())
    return {}


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_any_tree_is_read_or_refused(tree: object) -> None:
    text = yaml.safe_dump({"modules": {"m": tree}}, allow_unicode=True)
    for module in read(text.encode()).values():
        assert as_yaml(shown(module))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read(data)
    read(b"modules:\n  a:\n    http: " + data)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="{}[]:,-#&*!|>'\"% \n\tabc01?~<$", max_size=80))
def test_any_yaml_like_text_is_read_or_refused(text: str) -> None:
    read(f"modules: {text}".encode())
