"""Field types and the base of all options.

Rule: one type per value, refused in the user's words.
"""

from __future__ import annotations

import pickle
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from cbmon.config.fields import (
    Cidr,
    Duration,
    HostPort,
    ListenAddress,
    LocalPath,
    Options,
    Ratio,
    Regex,
    SecretUrl,
    Size,
    Url,
    WebSocketUrl,
    ZeroOrMore,
)
from cbmon.config.options import compact, loose
from cbmon.config.schema import model_schema
from cbmon.config.words import Substituted


class Colour(StrEnum):
    RED = "red"


class Everything(Options):
    """One of each."""

    duration: Duration = Field(1.0, description="d")
    zero: ZeroOrMore = Field(0.0, description="d")
    ratio: Ratio = Field(0.5, description="d")
    size: Size = Field(1, description="d")
    url: Url = Field("http://a", description="d")
    ws: WebSocketUrl = Field("ws://a", description="d")
    secret_url: SecretUrl | None = Field(None, description="d")
    listen: ListenAddress = Field(HostPort("", 0), description="d")
    address: HostPort | None = Field(None, description="d")
    network: Cidr | None = Field(None, description="d")
    regex: Regex | None = Field(None, description="d")
    path: LocalPath | None = Field(None, description="d")
    colour: Colour = Field(Colour.RED, description="d")
    number: float = Field(1.0, description="d")
    count: int = Field(1, description="d")
    flag: bool = Field(False, description="d")
    names: tuple[str, ...] = Field((), description="d")


def test_an_option_without_a_description_is_refused_where_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"Bare\.x has no description"):
        type("Bare", (Options,), {"__annotations__": {"x": int}, "x": 1})


class Awkward(Options):
    """Options with the names of a schema's own parts."""

    type: int = Field(1, description="d")
    default: int = Field(1, description="d")
    metadata: bool = Field(False, description="d")
    config: int | str = Field(1, description="d")
    title: str = Field("", description="d")


@pytest.mark.parametrize("name", ["type", "default", "metadata"])
def test_an_option_may_have_any_name_and_is_strict(name: str) -> None:
    text = "true" if name == "metadata" else "1"

    assert getattr(Awkward.model_validate({name: Substituted.of(text, "${X}")}), name) == 1
    with pytest.raises(ValidationError):
        Awkward.model_validate({name: "1"})


def test_the_schema_of_an_option_with_any_name_is_whole() -> None:
    properties = model_schema(Awkward)["properties"]

    assert list(properties) == ["type", "default", "metadata", "config", "title"]
    assert properties["type"]["type"] == ["integer", "string"]


def test_lists_fill_tuples_and_texts_fill_enums() -> None:
    made = Everything.model_validate({"names": ["a"], "colour": "red", "number": 2})

    assert made.names == ("a",)
    assert made.colour is Colour.RED
    assert made.number == 2.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", "1"),
        ("count", 1.0),
        ("count", True),
        ("number", "1.5"),
        ("number", False),
        ("flag", "true"),
        ("flag", 1),
        ("names", [1]),
        ("names", "abc"),
        ("colour", "blue"),
        ("url", 5),
        ("regex", 5),
        ("path", 5),
        ("duration", 0),
        ("count", Substituted.of("x", "${X}")),
        ("flag", Substituted.of("yes", "${X}")),
        ("unknown", 1),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Everything.model_validate({field: value})


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("count", "5", 5),
        ("number", "1.5", 1.5),
        ("flag", "true", True),
        ("duration", "90s", 90),
        ("duration", "90", 90),
        ("ratio", "40%", 0.4),
        ("size", "1KiB", 1024),
        ("colour", "red", Colour.RED),
        ("url", "http://5", "http://5"),
    ],
)
def test_a_variable_takes_the_type_of_its_field(field: str, text: str, expected: object) -> None:
    made = Everything.model_validate({field: Substituted.of(text, "${X}")})

    assert getattr(made, field) == expected
    assert type(getattr(made, field)) in {type(expected), float}


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("db:5432", "db", 5432),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65_535),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("bücher.example:443", "bücher.example", 443),
        ("a_b.example:1", "a_b.example", 1),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = HostPort.parse(text)

    assert address == (host, port)
    assert str(address) == text
    assert HostPort.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "db",
        ":80",
        "db:0",
        "db:65536",
        "a b:1",
        "::1:80",
        "[db]:1",
        "[]:1",
        "db:8\u0966",
        "a/b:1",
        "x" * 254 + ":1",
        5,
        None,
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        HostPort.parse(text)


def test_an_address_to_listen_on_may_have_no_host_and_port_0() -> None:
    assert HostPort.parse(":0", listen=True) == ("", 0)
    assert Everything.model_validate({"listen": ":9813"}).listen == HostPort("", 9813)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = HostPort.parse(text)
    except ValueError:
        return
    assert HostPort.parse(str(address)) == address


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("url", "http://a"),
        ("url", "https://user@a:1/p?q=%20#f"),
        ("url", "http://[::1]:9/"),
        ("ws", "wss://a/b"),
        ("secret_url", "https://hooks.example.net/T/B/x"),
    ],
)
def test_absolute_urls_are_accepted_as_they_are(field: str, text: str) -> None:
    value: Any = getattr(Everything.model_validate({field: text}), field)

    assert (value.reveal() if field == "secret_url" else value) == text


@pytest.mark.parametrize(
    "text",
    ["a", "//a", "http:a", "http://", "http://a:0/", "http://a\n/", "http://u:p@a/", "ws://a"],
)
@pytest.mark.parametrize("field", ["url", "secret_url"])
def test_other_urls_are_refused(field: str, text: str) -> None:
    with pytest.raises(ValidationError):
        Everything.model_validate({field: text})


def test_a_pattern_is_re2_in_text_and_bytes_and_linear() -> None:
    regex = Regex(r"(?i)^(a+)+\pL$")

    assert regex.search("AAB") is not None
    assert regex.search("aaä".encode()) is not None
    assert regex.search("a" * 50_000 + "!") is None
    assert Regex("b").fullmatch("ab") is None
    assert Regex("b") == Regex("b") != Regex("c")
    assert len({Regex("b"), Regex("b")}) == 1


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "(", "a{2000}", "["])
def test_a_pattern_that_re2_refuses_is_refused_with_its_reason(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r"not a regular expression that RE2 accepts: .+"):
        Regex(pattern)
    assert capfd.readouterr().err == ""


def test_a_single_address_is_a_network_too() -> None:
    assert str(Everything.model_validate({"network": "::1"}).network) == "::1/128"


def test_a_path_without_a_configuration_file_is_left_as_it_is() -> None:
    assert Everything.model_validate({"path": "a/b"}).path == Path("a/b")


def test_what_is_dumped_can_be_validated_again() -> None:
    data = {
        "duration": "1h30m",
        "size": "1MiB",
        "ratio": "40%",
        "listen": "[::1]:1",
        "address": "db:1",
        "network": "10.0.0.0/8",
        "regex": "a+",
        "path": "/a",
        "names": ["x"],
    }
    made = Everything.model_validate(data)
    dumped = made.model_dump(mode="json", exclude={"secret_url"})

    assert Everything.model_validate(dumped) == made
    assert (dumped["duration"], dumped["size"], dumped["listen"]) == ("1h30m", "1MiB", "[::1]:1")


class Many(Options):
    """Options of which there are thousands."""

    url: Url = Field(description="d")
    headers: dict[str, str] = Field({}, description="d")
    method: str = Field("GET", description="d")
    limit: Ratio = Field(0.5, description="d")
    inner: Everything = Field(Everything(), description="d")


@pytest.mark.parametrize(
    "given",
    [
        {"url": "http://a"},
        {"url": "http://a", "headers": {"a": "b"}, "method": "PUT", "inner": {"ratio": 1}},
        {"url": "http://a", "headers": {}, "method": "G" + "ET", "limit": 0.5},
    ],
)
def test_compact_and_loose_options_say_the_same(given: dict[str, Any]) -> None:
    made = Many.model_validate(given)
    for other in (compact(made), loose(compact(made))):
        assert made == other
        assert repr(made) == repr(other)
        assert hash_or_none(made) == hash_or_none(other)
        assert made.model_dump(mode="json") == other.model_dump(mode="json")
        assert set(given) == other.model_fields_set
        assert made == Many.model_validate(other.model_dump(exclude_unset=True))
        assert made == pickle.loads(pickle.dumps(other))
        with pytest.raises(ValidationError, match="frozen"):
            other.method = "PUT"  # type: ignore[misc]


def hash_or_none(options: Options) -> int | None:
    try:
        return hash(options)
    except TypeError:
        return None


def test_compact_options_share_what_is_as_by_default() -> None:
    one, other = (compact(Many.model_validate({"url": url})) for url in ("http://a", "http://b"))
    assert one.headers is other.headers
    assert one.inner is other.inner


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="how CPython keeps attributes")
def test_compact_options_share_the_names_of_their_fields() -> None:
    made = [Many.model_validate({"url": f"http://a/{number}"}) for number in range(100)]
    small = [compact(one) for one in made]
    assert all(
        sys.getsizeof(vars(one)) < 0.7 * sys.getsizeof(vars(two))
        for one, two in zip(small, made, strict=True)
    )
