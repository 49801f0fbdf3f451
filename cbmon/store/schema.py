"""The tables as queries see them; docs/store.md describes every column.

Rule: what is in the database is made by :mod:`cbmon.store.migrations`, and a test holds the two
together. Times are Unix seconds, JSON is text, ids sort by bytes.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Double, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

METADATA = MetaData()


def cleaned(value: str) -> str:
    """The text as it can be stored, and as it will be read again."""
    if value.isascii() and "\0" not in value:
        return value
    return (
        value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    )


class CleanText(TypeDecorator[str]):
    """Text from anywhere: NUL and lone surrogates, which databases refuse, become U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace what cannot be stored."""
        return None if value is None else cleaned(value)


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, CleanText, primary_key=key, nullable=False)


def _maybe_text(name: str) -> Column[str]:
    return Column(name, CleanText, nullable=True)


def _time(name: str) -> Column[float]:
    return Column(name, Double, nullable=False)


def _maybe_time(name: str) -> Column[float]:
    return Column(name, Double, nullable=True)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


meta = Table("meta", METADATA, _text("key", key=True), _text("value"))

breakers = Table(
    "breakers", METADATA, _text("component", key=True), _text("snapshot"), _time("saved_at")
)

transitions = Table(
    "transitions",
    METADATA,
    _text("id", key=True),
    _time("at"),
    _text("component"),
    _text("category"),
    _text("from_state"),
    _text("to_state"),
    _text("cause"),
    _text("text"),
    _maybe_text("reason"),
    _maybe_text("last_error"),
    _maybe_text("actor"),
    _maybe_text("incident"),
    _maybe_time("incident_started_at"),
    _maybe_time("retry_after"),
    _count("failure_count"),
    _count("cycles"),
    _count("trips"),
    _text("info"),
)

incidents = Table(
    "incidents",
    METADATA,
    _text("id", key=True),
    _text("component"),
    _text("category"),
    _time("started_at"),
    _maybe_time("ended_at"),
    _text("cause"),
    _text("last_state"),
    _maybe_text("reason"),
    _maybe_text("last_error"),
    _count("moves"),
    _count("trials"),
)

outbox = Table(
    "outbox",
    METADATA,
    _text("id", key=True),
    _text("receiver"),
    _text("incident"),
    _count("sequence"),
    _text("kind"),
    _text("state"),
    _time("created_at"),
    _count("attempts"),
    _time("next_attempt_at"),
    _maybe_time("finished_at"),
    _maybe_text("last_error"),
    _text("body"),
)

planning = Table("planning", METADATA, _text("key", key=True), _text("value"))

silences = Table(
    "silences",
    METADATA,
    _text("id", key=True),
    _text("matchers"),
    _time("starts_at"),
    _time("ends_at"),
    _text("author"),
    _text("reason"),
    _time("created_at"),
)

audit = Table(
    "audit",
    METADATA,
    _text("id", key=True),
    _time("at"),
    _text("component"),
    _text("action"),
    _text("actor"),
    _text("text"),
    _maybe_text("refused"),
    _count("seq"),
    _maybe_text("request"),
    _text("details"),
    _text("hash"),
)

failures = Table(
    "failures",
    METADATA,
    _text("id", key=True),
    _time("at"),
    _text("component"),
    _text("category"),
    _text("reason"),
    _text("error"),
    _time("duration"),
)

SETTINGS: Final = (
    "kind",
    "failure_threshold",
    "failure_rate_threshold",
    "minimum_calls",
    "window_size",
    "window_seconds",
    "slow_call_seconds",
    "slow_call_rate_threshold",
    "recovery_timeout",
    "recovery_backoff",
    "max_recovery_timeout",
    "recovery_jitter",
    "half_open_max_calls",
    "success_threshold",
    "half_open_max_wait",
    "call_timeout",
    "auto_disable_enabled",
    "max_failure_cycles",
    "gradual_return_seconds",
    "adaptive_rules",
    "adaptive_floor",
    "adaptive_ceiling",
    "adaptive_smoothing",
    "adaptive_sensitivity",
    "adaptive_memory",
    "adaptive_multiplier",
    "adaptive_latency_limit",
    "adaptive_latency_floor",
    "adaptive_latency_ceiling",
)
"""Every field of a policy but code; all are text, so that a slip is refused with a reason by
cbmon rather than with a riddle by the database."""

breaker_settings = Table(
    "breaker_settings",
    METADATA,
    _text("component", key=True),
    *(_maybe_text(name) for name in SETTINGS),
    _maybe_time("changed_at"),
    _maybe_text("changed_by"),
)

settings_in_force = Table(
    "settings_in_force", METADATA, _text("component", key=True), _text("fields")
)

result_names = Table(
    "result_names",
    METADATA,
    _text("component", key=True),
    _count("number"),
    _maybe_time("gone_at"),
)

results = Table(
    "results",
    METADATA,
    Column("id", Integer, primary_key=True),
    _count("level"),
    _count("shard"),
    _time("at"),
    Column("data", LargeBinary, nullable=False),
)

result_shards = Table(
    "result_shards",
    METADATA,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    _count("merged"),
)

daemon_runs = Table(
    "daemon_runs",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _time("started_at"),
    _time("seen_at"),
    _count("orderly"),
)
