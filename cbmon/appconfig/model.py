"""What a file says of an application's breakers, resolved for one environment.

Rule: frozen and complete; two that are equal mean the same, which is what an update compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cbmon.breaker import BreakerPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadConfig:
    """How many calls run at once; breakers that name the same ``pool`` share its places."""

    max_concurrent_calls: int = 10
    queue_timeout: float = 0.0
    max_queued: int | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How often a call is tried again; ``deadline`` in seconds is for all attempts together."""

    attempts: int = 3
    deadline: float | None = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheckConfig:
    """An active check while the breaker is open; without ``url`` the application gives it."""

    url: str | None = None
    query: str | None = None
    interval: float = 30.0
    timeout: float = 5.0
    successes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """One breaker of an application: the policy, what stands around it, and what it is."""

    name: str
    policy: BreakerPolicy
    environment: str | None = None
    template: str = "conservative"
    category: str = ""
    """What it protects, in the application's words: ``ai``, ``cache``, ``database``."""
    tags: tuple[str, ...] = ()
    description: str = ""
    priority: int | None = None
    url: str | None = None
    """The base of the service's addresses, for HTTP; the DSN or URL for others."""
    bulkhead: BulkheadConfig | None = None
    retry: RetryConfig | None = None
    health_check: HealthCheckConfig | None = None
    fallback: Any = None
    """A value that stands in for a call that was rejected or failed; None is none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Left alone: version, owner, whatever the application wants to find again."""
