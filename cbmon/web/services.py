"""What the web needs of the daemon: the seam between it and whoever owns the breakers.

Rule: the web reads and asks, it never touches a breaker, a timer or the store by itself. Times
named ``…_at`` are Unix seconds, all others are seconds.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from cbmon.breaker import BreakerPolicy, State
from cbmon.breaker.counts import Counts
from cbmon.interfaces import Clock
from cbmon.model import BreakerInfo, Result, SkipCause

if TYPE_CHECKING:
    from cbmon.settings.sheet import Author
    from cbmon.web.administration import Record, Settings
    from cbmon.web.history import Results
    from cbmon.web.notifications import Messaging


class Operation(StrEnum):
    """What an operator can do to a breaker; the last part of the action's URL."""

    RESET = "reset"
    OPEN = "open"
    CLOSE = "close"
    OBSERVE = "observe"
    DISABLE = "disable"
    ENABLE = "enable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One action asked for by a person or a script; who asks, why, and the action's own choices.

    ``for_seconds`` (open): wait just that before the first trial. ``hold`` (open, close): force
    the state until someone releases it. ``reset_counters`` (enable): begin anew, or go on in
    half-open with the cycles kept.
    """

    operation: Operation
    actor: str
    reason: str | None = None
    for_seconds: float | None = None
    hold: bool = False
    reset_counters: bool = True
    request: str | None = None
    """Id of the HTTP request, for the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadOutcome:
    """How a reload ended. With ``problems`` nothing has changed; each is one readable line."""

    ok: bool
    problems: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    """Paths of keys whose change only a restart brings into force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetOutcome:
    """How many breakers were reset, or told to; and why others were left, by name."""

    reset: int
    left: Mapping[str, str] = field(default_factory=dict)


class StatusPageOptions(Protocol):
    """``web.status_page`` of the configuration."""

    @property
    def enabled(self) -> bool:
        """Whether there is one."""
        ...

    @property
    def title(self) -> str:
        """Its heading."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """Whose checks it shows; none is every group."""
        ...


class BreakerView(Protocol):
    """A breaker, as far as the web reads it: the daemon's own, or one that is reported."""

    @property
    def policy(self) -> BreakerPolicy:
        """The policy in force."""
        ...

    @property
    def state(self) -> State:
        """The state now, or as it was last reported."""
        ...

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may try; None means not by itself."""
        ...

    @property
    def counts(self) -> Counts:
        """Its numbers."""
        ...

    def get_state(self) -> dict[str, Any]:
        """What a status page shows."""
        ...

    def explain(self) -> str:
        """Why it is in this state."""
        ...


class ComponentView(Protocol):
    """A check, an export or a breaker of an application, as the web reads it."""

    @property
    def info(self) -> BreakerInfo:
        """What it is: name, category, target, tags, …."""
        ...

    @property
    def breaker(self) -> BreakerView:
        """Its breaker, to be read only."""
        ...

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the policy's fields come from that are not YAML's: ``database``, ``override``."""
        ...

    @property
    def interval(self) -> float:
        """Seconds between two runs while the breaker is closed."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds one run may take."""
        ...

    @property
    def last(self) -> Result | None:
        """What the last run found; None before the first one of this process."""
        ...

    @property
    def last_run_at(self) -> float | None:
        """When the last run ended."""
        ...

    @property
    def last_success_at(self) -> float | None:
        """When the last good run ended."""
        ...


class Rendering(Protocol):
    """Renders every metric as it is now, in slices, so that runs go on meanwhile."""

    def stream(self, *, openmetrics: bool = False) -> AsyncGenerator[bytes, None]:
        """In the Prometheus text format 0.0.4, or in OpenMetrics 1.0, in pieces."""
        ...

    async def render_gzip(self, *, openmetrics: bool = False) -> bytes:
        """The same, compressed."""
        ...


class Services(Protocol):
    """The daemon, as far as the web sees it."""

    @property
    def notifying(self) -> Messaging:
        """Messages and silences."""
        ...

    @property
    def settings(self) -> Settings:
        """Settings of breakers that are changed at run time, and where each value comes from."""
        ...

    @property
    def record(self) -> Record:
        """Events and the audit log."""
        ...

    @property
    def results(self) -> Results:
        """Results of runs over time."""
        ...

    @property
    def kept(self) -> Mapping[int, float]:
        """For how many seconds results are kept, by the seconds of their buckets; 0: single."""
        ...

    @property
    def version(self) -> str:
        """The daemon's version."""
        ...

    @property
    def started_at(self) -> float:
        """When it started."""
        ...

    @property
    def clock(self) -> Clock:
        """The daemon's clock."""
        ...

    @property
    def external_url(self) -> str | None:
        """Under which address users reach the page, if configured."""
        ...

    @property
    def status_page(self) -> StatusPageOptions:
        """What of it is public."""
        ...

    @property
    def exposition(self) -> Rendering:
        """Renders the metrics."""
        ...

    def discoveries(self) -> list[dict[str, Any]]:
        """The sources of targets, by name, with what is known of them."""
        ...

    def components(self) -> Iterable[ComponentView]:
        """Every check and export, in the order of the configuration."""
        ...

    def component(self, name: str) -> ComponentView:
        """The one of that name; raises KeyError."""
        ...

    def next_run_in(self, name: str) -> float | None:
        """Seconds until its next planned run; None while it is parked or unknown."""
        ...

    def ready(self) -> Sequence[str]:
        """Why the daemon is not ready to be used, in words; empty when it is."""
        ...

    async def reload(self, author: Author) -> ReloadOutcome:
        """Read the configuration again and bring it into force, or change nothing."""
        ...

    async def act(self, name: str, order: Order) -> None:
        """Carry out an order.

        Raises KeyError, and InvalidTransitionError for an impossible move, which
        changes nothing.
        """
        ...

    async def reset_all(self, author: Author) -> ResetOutcome:
        """Reset every breaker, on record as one action."""
        ...

    async def run_component(self, name: str, author: Author) -> Result | SkipCause:
        """Run it now behind its breaker and wait for what it finds, at most its timeout.

        Joins a run that is going on. Gives the cause when it may not run now. Raises KeyError.
        """
        ...

    async def heartbeat(
        self, token: str, signal: str, *, status: int | None = None, run_id: str = ""
    ) -> bool:
        """A job says ``start``, ``success`` or ``fail``; False if the token is no check's.

        Durable when it returns; raises StoreError.
        """
        ...

    async def transitions(
        self, *, component: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Moves as the store has them, newest first; raises StoreError."""
        ...

    async def incidents(
        self, *, open_only: bool = False, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Incidents as the store has them, newest first; raises StoreError."""
        ...
