"""The lines of receivers as others see breakers: what it is, its breaker, and what may be done.

Rule: read only, but for the moves of the breaker, which a person asks for by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.config import NotificationsConfig
from cbmon.model import BreakerInfo, Category
from cbmon.notify.receivers import receiver_type
from cbmon.notify.routing import line_name


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """One line. It is not run at intervals: a message is what makes it work."""

    info: BreakerInfo
    breaker: CircuitBreaker
    timeout: float
    sources: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.0
    last: None = None
    last_run_at: None = None
    last_success_at: None = None


def line_views(
    config: NotificationsConfig, breakers: Mapping[str, CircuitBreaker]
) -> Iterable[LineView]:
    """Every line of the configuration that has a breaker, by receiver and integration."""
    for receiver in config.receivers:
        for kind, options in receiver.integrations:
            name = line_name(receiver.name, kind)
            if name not in breakers:
                continue
            found = receiver_type(kind)
            yield LineView(
                info=BreakerInfo(
                    name=name,
                    category=Category.RECEIVER,
                    target=found.target(options),
                    kind=kind,
                ),
                breaker=breakers[name],
                timeout=found.timeout(options),
            )
