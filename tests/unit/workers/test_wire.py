"""Rule: what one side writes is what the other side reads, however the stream was cut."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cbmon.config.fields import Secret
from cbmon.model import Phase, Phases, Reason, Result
from cbmon.probes import probe_type
from cbmon.probes.run import Plan
from cbmon.workers.pool import AWAY, shard_of
from cbmon.workers.wire import (
    LARGEST,
    BrokenStreamError,
    Definition,
    Frames,
    Health,
    Kind,
    frame,
    numbers,
    pickled,
    plain,
    read_numbers,
    read_results,
    result_of,
    results,
    row,
    unpickled,
)

PAGES = Path(__file__).parents[3] / "docs" / "checks"
BEYOND_THE_PAGES: dict[str, dict[str, Any]] = {
    "http": {
        "url": "https://shop.example.net/health",
        "headers": {"X-Key": "1"},
        "basic_auth": {"username": "u", "password": "hush"},
        "tls": {"min_version": "TLS1.3", "server_name": "shop"},
        "proxy": {"url": "http://p.example.net:1", "username": "u", "password_file": "/run/secret"},
        "expect": {
            "status": [200, "3xx", "400-404"],
            "body": {"matches": ["a+", "b"], "not_matches": "c"},
            "headers": {"matches": {"Server": "x"}},
            "json": {"$.a['b'][0]": {"above": 1, "matches": "y"}},
            "domain": {"days": 10},
        },
    },
    "tcp": {
        "address": "unix:/run/app.sock",
        "dialogue": [{"expect": "^220 (.*)"}, {"send": "QUIT"}],
    },
    "redis": {"url": "redis://cache.example.net", "password": "hush"},
}

texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
deep = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
facts = st.dictionaries(texts, deep, max_size=3)
seconds = st.floats(min_value=0, max_value=1e6)
moments = st.none() | st.floats(min_value=0, max_value=1e11)
outcomes = st.tuples(st.none(), st.none()) | st.tuples(st.sampled_from(Reason), texts)
identifiers = st.integers(min_value=0, max_value=2**32 - 1)


@st.composite
def made_results(draw: st.DrawFn) -> Result:
    reason, error = draw(outcomes)
    return Result(
        ok=reason is None,
        duration=draw(seconds),
        reason=reason,
        error=error,
        phases=Phases(*(draw(seconds) for _ in Phase)),
        certificate_expiry=draw(moments),
        domain_expiry=draw(moments),
        facts=draw(facts),
    )


@given(st.lists(st.tuples(identifiers, identifiers, made_results()), max_size=3))
def test_results_come_out_as_they_went_in(sent: list[tuple[int, int, Result]]) -> None:
    rows = read_results(results([row(run, check, each, facts=True) for run, check, each in sent]))
    assert [(each[0], each[1], result_of(each, {})) for each in rows] == sent


def test_every_field_of_a_result_travels() -> None:
    values: dict[str, Any] = {
        "ok": False, "duration": 0.5, "reason": Reason.BODY, "error": "no", "facts": {"a": 1},
        "phases": Phases(1, 2, 3, 4, 5), "certificate_expiry": 6.0, "domain_expiry": 7.0,
    }  # fmt: skip
    assert values.keys() == {each.name for each in fields(Result)}
    sent = Result(**values)
    (got,) = read_results(results([row(1, 2, sent, facts=True)]))
    assert result_of(got, {}) == sent


def test_a_reason_is_a_reason_again() -> None:
    sent = Result(ok=False, duration=1.0, reason=Reason.TIMEOUT, error="late")
    (got,) = read_results(results([row(1, 2, sent, facts=True)]))
    assert result_of(got, {}).reason is Reason.TIMEOUT


def test_facts_that_did_not_travel_are_those_of_before() -> None:
    sent = Result(ok=True, duration=0.1, facts={"status": 200})
    (got,) = read_results(results([row(1, 2, sent, facts=False)]))
    assert result_of(got, {"status": 200}) == sent


def test_facts_that_are_not_plain_are_made_so() -> None:
    odd = {"phase": Phase.TLS, "many": {1}, "deep": [{"reason": Reason.DNS}], "flag": True}
    sent = Result(ok=True, duration=0.1, facts=odd)
    (got,) = read_results(results([row(1, 2, sent, facts=True)]))
    assert result_of(got, {}).facts == {
        "phase": "tls", "many": [1], "deep": [{"reason": "dns"}], "flag": True,
    }  # fmt: skip


def test_what_is_plain_stays_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, b"x", ("t",)]}
    assert plain(value) == value


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"i\x01\x00\x00\x00"])
def test_results_that_are_none_break_the_stream(content: bytes) -> None:
    with pytest.raises(BrokenStreamError):
        read_results(content)


def test_health_that_is_none_breaks_the_stream() -> None:
    assert Health.decode(Health(1.5, 2, 3).encode()) == Health(1.5, 2, 3)
    with pytest.raises(BrokenStreamError):
        Health.decode(b"N")


@given(st.lists(identifiers))
def test_numbers_come_out_as_they_went_in(values: list[int]) -> None:
    assert read_numbers(numbers(values)) == values


# --- frames --------------------------------------------------------------------------------


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(
    st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=40))),
    st.lists(st.integers(0, 999)),
)
def test_frames_come_out_whole_however_the_stream_is_cut(
    sent: list[tuple[Kind, bytes]], places: list[int]
) -> None:
    frames = Frames()
    data = b"".join(frame(kind, content) for kind, content in sent)
    assert [each for part in cut(data, places) for each in frames.feed(part)] == sent


def test_a_frame_that_is_too_large_breaks_the_stream() -> None:
    with pytest.raises(BrokenStreamError, match=str(LARGEST + 1)):
        list(Frames().feed((LARGEST + 1).to_bytes(4) + b"\x01"))


def test_a_frame_of_no_kind_breaks_the_stream() -> None:
    with pytest.raises(BrokenStreamError):
        list(Frames().feed(b"\0\0\0\0\xee"))


# --- definitions ---------------------------------------------------------------------------


def examples() -> list[tuple[str, dict[str, Any]]]:
    found = list(BEYOND_THE_PAGES.items())
    for name in sorted(AWAY):
        text = re.search(r"```yaml\n(.*?)```", (PAGES / f"{name}.md").read_text(), re.DOTALL)
        assert text
        found += [(name, check[name]) for check in yaml.safe_load(text[1])["checks"]]
    return found


@pytest.mark.parametrize(("name", "written"), examples(), ids=str)
def test_a_definition_comes_out_as_it_went_in(name: str, written: dict[str, Any]) -> None:
    options = probe_type(name).options.model_validate(written)
    sent = Definition(7, name, options, 1.5, Plan(confirmations=2, delay=0.5))
    (got,) = unpickled(pickled([sent]))
    assert got == sent


def test_a_secret_is_pickled_for_a_worker_and_for_nobody_else() -> None:
    import pickle

    secret = Secret("hush")
    assert unpickled(pickled(secret)).reveal() == "hush"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


# --- shards --------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [2, 3, 8])
def test_names_are_spread_evenly_over_the_workers(shards: int) -> None:
    counts = [0] * shards
    for number in range(3000):
        counts[shard_of(f"check-{number:05d}", shards)] += 1
    assert max(counts) - min(counts) < 0.2 * 3000 / shards


def test_a_name_belongs_to_the_same_worker_in_every_process() -> None:
    assert [shard_of(name, 4) for name in ("shop-api", "database", "dns", "ä")] == [0, 2, 0, 3]
