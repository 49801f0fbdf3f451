"""An application's ``/metrics``: the breakers' series as an ASGI and as a WSGI application.

Rule: prometheus_client does the serving; this only puts the breakers into a registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, make_asgi_app, make_wsgi_app

from cbmon.metrics.collector import BreakerCollector
from cbmon.metrics.records import BreakerLike


def metrics_asgi_app(
    breakers: Iterable[BreakerLike], registry: CollectorRegistry | None = None
) -> Any:
    """An ASGI application that serves the breakers' metrics, to be mounted at ``/metrics``.

    With a ``registry`` of prometheus_client everything in it is served too. Registering the same
    names twice there raises ValueError.
    """
    return make_asgi_app(registry=_with(breakers, registry))


def metrics_wsgi_app(
    breakers: Iterable[BreakerLike], registry: CollectorRegistry | None = None
) -> Any:
    """The same as a WSGI application, for Flask and Django."""
    return make_wsgi_app(registry=_with(breakers, registry))


def _with(breakers: Iterable[BreakerLike], registry: CollectorRegistry | None) -> CollectorRegistry:
    found = CollectorRegistry() if registry is None else registry
    found.register(BreakerCollector(breakers))
    return found
