"""Value objects that every room of the daemon speaks in.

Rule: facts and vocabulary only. Nothing here does IO, reads a clock or imports a library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple


class Category(StrEnum):
    """What kind of thing a breaker guards; the ``category`` label."""

    CHECK = "check"
    EXPORT = "export"
    RECEIVER = "receiver"
    APP = "app"


class Reason(StrEnum):
    """Why a run failed: the closed set behind the ``reason`` label, events and messages."""

    DNS = "dns"
    """The name did not resolve: no such name, no address, or no answer from the server."""
    CONNECT = "connect"
    """The connection was refused, unreachable or reset before the target said anything."""
    TLS = "tls"
    """The handshake failed, or the certificate is wrong, or TLS was (not) expected."""
    TIMEOUT = "timeout"
    """The run was not over at its deadline."""
    PROTOCOL = "protocol"
    """The target broke its protocol: malformed, truncated or reset in the middle of an answer."""
    STATUS = "status"
    """The answer's status is not an expected one."""
    HEADER = "header"
    """A header is missing, or does not match."""
    BODY = "body"
    """The body or the result does not match."""
    SIZE = "size"
    """The answer is larger than its limit."""
    REDIRECT = "redirect"
    """Too many redirects, or one that may not be followed."""
    LATENCY = "latency"
    """The answer is right, but came later than expected."""
    CERTIFICATE = "certificate"
    """The certificate is valid, but expires sooner than allowed."""
    AUTH = "auth"
    """The target refused the credentials."""
    POLICY = "policy"
    """The address policy forbids the final address."""
    DEPENDENCY = "dependency"
    """Something that the target depends on is down."""
    CONFIG = "config"
    """What the configuration names cannot be used now: a secret or CA file, an option."""
    INTERNAL = "internal"
    """cbmon's own fault; the log has a traceback."""


class SkipCause(StrEnum):
    """Why a planned run did not happen; the ``cause`` label of the skipped counter."""

    BREAKER = "breaker"
    DEPENDENCY = "dependency"
    WINDOW = "window"
    OVERRUN = "overrun"
    """The previous run of the same check was still going on."""
    MISSED = "missed"
    """The process was paused or late by a whole interval; missed runs are never replayed."""


class Phase(StrEnum):
    """The parts of a run; the ``phase`` label."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    PROCESSING = "processing"
    """From the request sent to the first byte of the answer."""
    TRANSFER = "transfer"
    """From the first byte of the answer to its last."""


class Phases(NamedTuple):
    """Seconds spent in each :class:`Phase`; 0.0 for one that did not happen."""

    resolve: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    processing: float = 0.0
    transfer: float = 0.0


Unit = Literal["value", "seconds", "bytes", "ratio", "counter"]
"""What something that a plug-in tells is measured in; ``value`` is any of them, or none."""

UP_STATES: Final = frozenset({"closed", "forced_closed", "observe"})
"""The breaker states that let calls through; entering one of them ends an incident."""

NO_PHASES: Final = Phases()
NO_FACTS: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run of a probe or an export found. A failure is a result, not an exception.

    ``duration`` is in seconds. ``reason`` and ``error`` are None exactly when ``ok``. ``facts``
    are what a person wants to see of this run (address, status, HTTP version, certificate, …):
    JSON-able, already free of secrets, never used as label values.
    """

    ok: bool
    duration: float
    reason: Reason | None = None
    error: str | None = None
    phases: Phases = NO_PHASES
    certificate_expiry: float | None = None
    """Unix time at which the earliest certificate of the presented chain expires."""
    domain_expiry: float | None = None
    """Unix time at which the registration of the target's domain ends, where that is asked for."""
    facts: Mapping[str, Any] = field(default_factory=lambda: NO_FACTS)


class Verdict(StrEnum):
    """How one attempt to deliver a message ended."""

    DELIVERED = "delivered"
    TEMPORARY = "temporary"
    """Try again later."""
    PERMANENT = "permanent"
    """Trying again cannot help: the message becomes a dead letter."""
    GONE = "gone"
    """So would every message: nothing is sent there until someone enables the receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a receiver answered. ``retry_after`` (seconds) is what it asked to wait, if it did."""

    verdict: Verdict
    reason: Reason | None = None
    error: str | None = None
    retry_after: float | None = None


class MessageState(StrEnum):
    """What became of a message in the outbox."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """A dead letter: refused for good, or too old. A person may send it again."""
    DROPPED = "dropped"
    """Not worth telling any more, such as the recovery of an outage that was never told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message for one receiver, as it lies in the outbox.

    ``id`` is stable over retries and restarts, so that a receiver can drop duplicates.
    Within one ``incident`` messages leave in the order of ``sequence``. ``body`` is JSON-able.
    Times are Unix seconds.
    """

    id: str
    receiver: str
    incident: str
    sequence: int
    kind: str
    """``opened``, ``recovered``, or another kind the policy knows."""
    created_at: float
    body: Mapping[str, Any]
    attempts: int = 0
    next_attempt_at: float = 0.0
    last_error: str | None = None
    state: MessageState = MessageState.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerInfo:
    """What the daemon knows of a breaker besides its state: for the API, messages and labels."""

    name: str
    category: Category
    group: str = ""
    target: str = ""
    kind: str = ""
    """The check's or export's type, such as ``http``."""
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
