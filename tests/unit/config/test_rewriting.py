"""Settings are written back into a file whose comments and layout stay."""

from __future__ import annotations

import pytest
import yaml

from cbmon.config.rewriting import RewriteError, rewritten

FILE = """\
# our shop
defaults: {interval: 30s}   # everyone
checks:
  - name: plain     # the first
    http: {url: https://a.example.net/}
  - {name: flow, tcp: {address: "b:1"}}   # short
  - name: named
    breaker: lenient  # why not
    tcp: {address: "c:1"}
  - name: mapped
    tcp: {address: "d:1"}
    breaker: {template: lenient, failure_threshold: 7}   # seven
  - tcp: {address: "e:1"}
    breaker:
      # from the incident in May
      timeout_seconds: 90s
      kind: count
    name: block
  - {name: empty, tcp: {address: "f:1"}, breaker: {}}
exports:
  - name: gateway
    pushgateway: {url: http://127.0.0.1:9091, job: cbmon}
"""


def breaker(text: str, name: str) -> object:
    data = yaml.safe_load(text)
    return next(e for e in [*data["checks"], *data["exports"]] if e["name"] == name)["breaker"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {"failure_threshold": 3, "recovery_timeout": 45.0}),
        ("flow", {"failure_threshold": 3, "recovery_timeout": 45.0}),
        ("named", {"template": "lenient", "failure_threshold": 3, "recovery_timeout": 45.0}),
        ("mapped", {"template": "lenient", "failure_threshold": 3, "recovery_timeout": 45.0}),
        ("block", {"timeout_seconds": 45.0, "kind": "count", "failure_threshold": 3}),
        ("empty", {"failure_threshold": 3, "recovery_timeout": 45.0}),
        ("gateway", {"failure_threshold": 3, "recovery_timeout": 45.0}),
    ],
)
def test_the_entry_says_it_and_nothing_else_changes(name: str, expected: object) -> None:
    text = rewritten(FILE, {name: {"failure_threshold": 3, "recovery_timeout": 45.0}})
    assert breaker(text, name) == expected
    before, after = yaml.safe_load(FILE), yaml.safe_load(text)
    for section in ("checks", "exports"):
        for one, other in zip(before[section], after[section], strict=True):
            assert {**one, "breaker": 0} == {**other, "breaker": 0}
            assert one["name"] == name or one == other
    for comment in ("# our shop", "# everyone", "# the first", "# short", "# why not", "# seven"):
        assert comment in text
    assert "# from the incident in May" in text


def test_many_entries_are_written_at_once() -> None:
    changes = {name: {"kind": "count"} for name in ("plain", "flow", "named", "mapped", "block")}
    text = rewritten(FILE, changes)
    for name in changes:
        assert breaker(text, name)["kind"] == "count"  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (True, True),
        (1e-07, 1e-07),
        (["error_rate"], ["error_rate"]),
        ("time", "time"),
    ],
)
def test_every_kind_of_value_is_read_back(value: object, read: object) -> None:
    assert breaker(rewritten(FILE, {"plain": {"x": value}}), "plain") == {"x": read}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("checks: []", "no entry named 'a'"),
        ("", "no entry named 'a'"),
        ("checks: [{name: a, breaker: [1]}]", "is not a mapping"),
        ("checks:\n- name: a\n  breaker: &x lenient\n", "no entry|not plain"),
    ],
)
def test_what_cannot_be_done_is_refused(text: str, message: str) -> None:
    with pytest.raises(RewriteError, match=message):
        rewritten(text, {"a": {"kind": "count"}})
