"""What an application says of its breakers: one report, parsed and bounded.

Rule: what is said of one breaker is taken or refused by itself; what is said of the process is
refused as a whole, and so is a report of which no breaker can be taken. A field that is missing
has its default, so that a small program can report a name and a state and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Final

from cbmon.apps.fields import LATEST, LONGEST_NAME, Fields, ReportError
from cbmon.breaker import BreakerPolicy, State
from cbmon.breaker.counts import Counts
from cbmon.breaker.histogram import Histogram

__all__ = ["BreakerReport", "Move", "Refusal", "Report", "ReportError", "parse_report"]

VERSION: Final = 1
MOST_BREAKERS: Final = 500
"""In one report; an application with more sends several."""
MOST_MOVES: Final = 200
MOST_BUCKETS: Final = 50
LONGEST_TTL: Final = 7 * 86_400.0
LONGEST_WAIT: Final = 366 * 86_400.0
TTL_INTERVALS: Final = 3.0
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_STATES: Final = {state.value: state for state in State}
_POLICY: Final = frozenset(each.name for each in fields(BreakerPolicy)) - {
    "expected_exceptions",
    "ignored_exceptions",
    "is_failure",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A transition inside the application; ``number`` grows within one run of it."""

    number: int
    at: float
    from_state: State
    to_state: State
    cause: str = ""
    text: str = ""
    actor: str | None = None
    reason: str | None = None
    last_reason: str | None = None
    last_error: str | None = None
    failure_count: int = 0
    cycles: int = 0
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerReport:
    """One breaker as its application sees it. Times are Unix seconds."""

    name: str
    state: State
    policy: BreakerPolicy
    counts: Counts
    details: Mapping[str, Any]
    """The rest of what a status page shows: last failure, disabling, availability."""
    explanation: str = ""
    retry_after: float | None = None
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A breaker of a report that was not taken in: its name as far as it has one, and why."""

    name: str | None
    path: str
    message: str
    code: str = "bad_request"

    def error(self) -> ReportError:
        """The same as what refuses a whole report."""
        return ReportError(self.path, self.message, self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one process of an application says."""

    application: str
    process: str = ""
    run: str = ""
    """Another one after each start of the process."""
    started_at: float = 0.0
    interval: float = 15.0
    ttl: float = 45.0
    """Seconds for which this is true; silence that lasts longer is shown."""
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    takes_orders: bool = False
    accepts: frozenset[str] | None = None
    """The moves that may be ordered; None is every one."""
    final: bool = False
    """The process is about to end, and its silence means nothing."""
    done: tuple[str, ...] = ()
    """Orders that it carried out, or refused."""
    breakers: tuple[BreakerReport, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def without(self, refused: Sequence[Refusal], kept: Sequence[BreakerReport]) -> Report:
        """The same with fewer breakers. ReportError when none is left of those that it had."""
        if refused and not kept:
            raise refused[0].error()
        return replace(self, breakers=tuple(kept), refused=(*self.refused, *refused))


def parse_report(data: object) -> Report:
    """A report from JSON. ReportError names what is wrong with it."""
    body = Fields(data, "")
    version = body.raw("version")
    if version is not None and version != VERSION:
        raise body.refuse("version", f"expected {VERSION}: this daemon knows no other")
    interval = body.number("interval_seconds", 0.1, LONGEST_TTL) or 15.0
    ttl = body.number("ttl_seconds", 1.0, LONGEST_TTL) or max(5.0, TTL_INTERVALS * interval)
    head = Report(
        application=_plain_name(body, "application"),
        process=_plain_name(body, "process", default=""),
        run=body.text("run", 64) or "",
        started_at=body.moment("started_at") or 0.0,
        interval=interval,
        ttl=ttl,
        labels=_labels(body),
        tags=body.words("tags", 50),
        takes_orders=body.flag("takes_orders"),
        accepts=None if body.raw("accepts") is None else frozenset(body.words("accepts", 50)),
        final=body.flag("final"),
        done=body.words("done", 1000),
    )
    kept, refused = _breakers(body)
    return head.without(refused, kept)


def _breakers(body: Fields) -> tuple[list[BreakerReport], list[Refusal]]:
    """What can be taken, and what cannot."""
    kept: dict[str, BreakerReport] = {}
    refused: list[Refusal] = []
    for number, value in enumerate(body.many("breakers", MOST_BREAKERS)):
        path = f"breakers[{number}]"
        try:
            one = _breaker(Fields(value, path))
        except ReportError as error:
            refused.append(refusal_of(value, error))
            continue
        if kept.setdefault(one.name, one) is not one:
            twice = ReportError(f"{path}.name", f"{one.name!r} is in the report twice")
            refused.append(refusal_of(value, twice))
    return list(kept.values()), refused


def refusal_of(value: object, error: ReportError) -> Refusal:
    """An entry as it came, and what is wrong with it."""
    name = value.get("name") if isinstance(value, dict) else None
    plain = ascii(name)[1:-1][:LONGEST_NAME] if isinstance(name, str) else None
    message = str(error).removeprefix(f"{error.path}: ")
    return Refusal(name=plain, path=error.path, message=message, code=error.code)


def _plain_name(body: Fields, name: str, default: str | None = None) -> str:
    found = body.name(name, default=default)
    if "/" in found or ":" in found or "@" in found:
        raise body.refuse(name, "expected a name without '/', ':' and '@'")
    return found


def _labels(body: Fields) -> dict[str, str]:
    raw = body.raw("labels")
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > 20:
        raise body.refuse("labels", "expected an object of at most 20 texts")
    for name, value in raw.items():
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            raise body.refuse("labels", f"{name[:40]!r} is no name of a label")
        if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
            raise body.refuse(f"labels.{name}", "expected at most 200 printable characters")
    return dict(raw)


def _breaker(it: Fields) -> BreakerReport:
    state = _state(it, "state")
    details = {
        "is_available": it.flag("is_available") if "is_available" in it else state.gauge == 1.0,
        "last_failure_time": it.moment("last_failure_at"),
        "last_failure_reason": it.text("last_failure_reason", 64),
        "last_error": it.text("last_error"),
        "auto_disabled": it.flag("auto_disabled"),
        "disabled_at": it.moment("disabled_at"),
        "disabled_reason": it.text("disabled_reason"),
    }
    return BreakerReport(
        name=it.name("name"),
        state=state,
        policy=_policy(it),
        counts=_counts(it),
        details=details,
        explanation=_lines(it, "explanation"),
        retry_after=it.number("retry_after_seconds", 0.0, LONGEST_WAIT),
        tags=it.words("tags", 50),
        labels=_labels(it),
        moves=tuple(_move(one) for one in it.objects("moves", MOST_MOVES)),
    )


def _state(it: Fields, name: str) -> State:
    value = it.raw(name)
    found = _STATES.get(value) if isinstance(value, str) else None
    if found is None:
        raise it.refuse(name, f"expected one of {', '.join(State)}")
    return found


def _lines(it: Fields, name: str) -> str:
    value = it.raw(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise it.refuse(name, "expected text")
    lines = value[:2000].splitlines()[:10]
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)


def _policy(it: Fields) -> BreakerPolicy:
    """The policy, without what cannot be told in JSON; the default one when there is none."""
    raw = it.raw("policy")
    if raw is None:
        return _policy_of(())
    if not isinstance(raw, dict):
        raise it.refuse("policy", "expected an object")
    known = {name: value for name, value in raw.items() if name in _POLICY}
    if isinstance(known.get("adaptive_rules"), list):
        known["adaptive_rules"] = tuple(known["adaptive_rules"])
    try:
        return _policy_of(tuple((name, type(known[name]), known[name]) for name in sorted(known)))
    except (ValueError, TypeError) as error:
        raise it.refuse("policy", str(error)[:200]) from None


@lru_cache(maxsize=1024)
def _policy_of(given: tuple[tuple[str, type, Any], ...]) -> BreakerPolicy:
    """Many breakers have one policy, and checking it is most of the work. True is not 1 here."""
    return BreakerPolicy(**{name: value for name, _, value in given})


def _counts(it: Fields) -> Counts:
    raw = it.raw("counts")
    counts = Fields({} if raw is None else raw, it.at("counts"))
    whole = ("calls", "successes", "failures", "ignored", "cancelled", "stale", "rejections",
             "slow_calls", "trips", "would_trip", "failure_count", "success_count",
             "consecutive_failures", "cycles", "openings", "in_flight")  # fmt: skip
    return Counts(
        **{name: counts.count(name) for name in whole},
        transitions=_transitions(it),
        failure_ratio=counts.ratio("failure_ratio"),
        slow_ratio=counts.ratio("slow_ratio"),
        open_until=it.moment("open_until"),
        last_failure_at=it.moment("last_failure_at"),
        last_transition_at=it.moment("last_transition_at"),
        histogram=_histogram(it),
        adaptive=None,
    )


def _transitions(it: Fields) -> dict[tuple[State, State], int]:
    found: dict[tuple[State, State], int] = {}
    for one in it.objects("transitions", len(State) ** 2):
        found[_state(one, "from"), _state(one, "to")] = one.count("count")
    return found


def _histogram(it: Fields) -> Histogram | None:
    raw = it.raw("durations")
    if raw is None:
        return None
    told = Fields(raw, it.at("durations"))
    bounds, counts = told.many("bounds", MOST_BUCKETS), told.many("counts", MOST_BUCKETS + 1)
    try:
        found = Histogram(bounds)
    except (ValueError, TypeError):
        raise told.refuse("bounds", "expected growing finite seconds") from None
    if len(counts) != len(found.counts):
        raise told.refuse("counts", f"expected {len(found.counts)} of them")
    if any(type(count) is not int or count < 0 for count in counts):
        raise told.refuse("counts", "expected whole numbers from 0")
    found.counts = list(counts)
    found.sum = told.number("sum", 0.0, LATEST) or 0.0
    return found


def _move(it: Fields) -> Move:
    return Move(
        number=it.count("number"),
        at=it.moment("at") or 0.0,
        from_state=_state(it, "from"),
        to_state=_state(it, "to"),
        cause=it.text("cause", 64) or "",
        text=it.text("text") or "",
        actor=it.text("actor", 128),
        reason=it.text("reason"),
        last_reason=it.text("last_reason", 64),
        last_error=it.text("last_error"),
        failure_count=it.count("failure_count"),
        cycles=it.count("cycles"),
        retry_after=it.number("retry_after", 0.0, LONGEST_WAIT),
    )
