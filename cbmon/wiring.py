"""What joins two rooms that do not know each other, and what the process asks of the system.

Rule: translation only; every piece could be read without the composition root.
"""

from __future__ import annotations

import resource
from pathlib import Path

from cbmon.breaker import CircuitBreaker, State
from cbmon.component import Component
from cbmon.config import Config
from cbmon.events import Reloaded, new_id
from cbmon.metrics import Metrics
from cbmon.notify.hooks import SilentHooks
from cbmon.notify.messages import Site
from cbmon.options import RunOptions
from cbmon.store.sampler import Sampler
from cbmon.web.services import ReloadOutcome


class MetricsOfNotifying(SilentHooks):
    """What the notify room tells, as numbers; the breakers of its lines are exported too."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._breakers: dict[str, CircuitBreaker] = {}

    def line_added(self, receiver: str, breaker: CircuitBreaker) -> None:
        """A receiver line came into force."""
        self._breakers[receiver] = breaker
        self._metrics.add_receiver(receiver)
        self._metrics.add_breaker(breaker)

    def line_removed(self, receiver: str) -> None:
        """A receiver line is gone."""
        self._metrics.remove_receiver(receiver)
        self._metrics.remove_breaker(self._breakers.pop(receiver))

    def delivered(self, receiver: str, latency: float) -> None:
        """A message arrived."""
        self._metrics.notified(receiver, latency)

    def failed(self, receiver: str, reason: str) -> None:
        """An attempt failed."""
        self._metrics.notification_failed(receiver, reason)

    def suppressed(self, receiver: str, reason: str) -> None:
        """A message was held back."""
        self._metrics.notification_suppressed(receiver, reason)

    def backlog(self, receiver: str, waiting: int, oldest: float | None, dead: int) -> None:
        """What waits."""
        self._metrics.backlog(receiver, waiting, oldest, dead)


def site_of(config: Config) -> Site:
    """What messages say of this daemon."""
    return Site(
        external_url=config.external_url,
        labels=config.labels,
        dashboard_url=config.notifications.rules.dashboard_url,
    )


def tracked(component: Component, sampler: Sampler) -> None:
    """Let its results be gathered; one whose breaker is open is down until a run says otherwise."""
    down = component.breaker.state is State.OPEN and component.incident is not None
    reach = component.interval + component.timeout
    component.track = sampler.track(component.name, reach, down=down)


def storage_url(options: RunOptions, config: Config) -> str:
    """Where the state is kept: the command line's directory, or what is configured."""
    if options.data_dir is None:
        return config.storage.url
    return f"sqlite://{options.data_dir.resolve()}/cbmon.db"


def data_of(options: RunOptions, config: Config) -> Path | None:
    """The directory for what survives a restart; None if the database is no file."""
    url = storage_url(options, config)
    path = url.removeprefix("sqlite://")
    return None if path == url else Path(path).parent


def descriptors_for_runs() -> int:
    """How many runs may go on at once: what the process may open, less what the rest needs."""
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < hard:
        limit = hard if hard != resource.RLIM_INFINITY else 1 << 20
        limit = min(limit, 1 << 20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(64, (limit - 512) // 2)


def reloaded(outcome: ReloadOutcome, at: float) -> Reloaded:
    """The event of a reload."""
    return Reloaded(
        id=new_id(at),
        at=at,
        ok=outcome.ok,
        added=outcome.added,
        removed=outcome.removed,
        changed=outcome.changed,
        problems=outcome.problems,
    )
