"""Breakers and their moves as JSON, in portions that a daemon takes.

Rule: what is sent is what the breaker itself says; nothing is counted here.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from cbmon.breaker import CircuitBreaker, TransitionEvent

MOST: Final = 200
"""Breakers in one portion."""
BYTES: Final = 40_000
"""Of a portion in JSON: a daemon takes 64 KiB with the head around it."""

_COUNTS: Final = (
    "calls", "successes", "failures", "ignored", "cancelled", "stale", "rejections", "slow_calls",
    "trips", "would_trip", "failure_count", "success_count", "consecutive_failures",
    "failure_ratio", "slow_ratio", "cycles", "openings", "in_flight",
)  # fmt: skip
_LONGEST: Final = 500
LONGEST_NAME: Final = 128


def wire_name(name: str) -> str:
    """The name by which a daemon knows a breaker: the same, unless the daemon takes no such name.

    Then it is cut and cleaned, with a checksum, so that two that look alike stay two.
    """
    plain = "".join(char if char.isprintable() else "?" for char in name).strip()
    if plain == name and len(name) <= LONGEST_NAME and name not in {".", ".."}:
        return name
    checksum = zlib.crc32(name.encode(errors="backslashreplace"))
    return f"{plain[: LONGEST_NAME - 9].strip()}~{checksum:08x}"


def breaker_report(breaker: CircuitBreaker) -> dict[str, Any]:
    """One breaker as it is now."""
    its, counts = breaker.get_state(), breaker.counts
    told = {
        "name": wire_name(breaker.name),
        "state": its["state"],
        "is_available": its["is_available"],
        "retry_after_seconds": its["retry_after"],
        "explanation": breaker.explain()[:2000],
        "last_failure_at": its["last_failure_time"],
        "last_failure_reason": its["last_failure_reason"],
        "last_error": _short(its["last_error"]),
        "last_transition_at": its["last_transition_at"],
        "open_until": its["open_until"],
        "auto_disabled": its["auto_disabled"],
        "disabled_at": its["disabled_at"],
        "disabled_reason": _short(its["disabled_reason"]),
        "policy": _policy(breaker),
        "counts": {name: getattr(counts, name) for name in _COUNTS},
        "transitions": [
            {"from": source.value, "to": target.value, "count": count}
            for (source, target), count in counts.transitions.items()
        ],
    }
    if counts.histogram is not None:
        told["durations"] = {
            "bounds": list(counts.histogram.bounds),
            "counts": list(counts.histogram.counts),
            "sum": counts.histogram.sum,
        }
    return told


def move_report(event: TransitionEvent, number: int) -> dict[str, Any]:
    """One move."""
    return {
        "number": number,
        "at": event.at,
        "from": event.from_state.value,
        "to": event.to_state.value,
        "cause": str(event.cause),
        "text": _short(event.text),
        "actor": event.actor,
        "reason": _short(event.reason),
        "last_reason": event.last_reason,
        "last_error": _short(event.last_error),
        "failure_count": event.failure_count,
        "cycles": event.cycles,
        "retry_after": event.retry_after,
    }


def batches(told: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The breakers in portions; an empty one when there is none."""
    part: list[dict[str, Any]] = []
    size = 0
    for one in told:
        length = len(json.dumps(one))
        if part and (size + length > BYTES or len(part) >= MOST):
            yield part
            part, size = [], 0
        part.append(one)
        size += length
    yield part


def _policy(breaker: CircuitBreaker) -> dict[str, Any]:
    policy = breaker.policy.as_dict()
    for name in ("expected_exceptions", "ignored_exceptions", "is_failure"):
        policy.pop(name)
    return policy


def _short(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST]
