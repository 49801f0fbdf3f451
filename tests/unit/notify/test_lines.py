"""Receiver lines as others see breakers."""

from __future__ import annotations

from cbmon.breaker import BreakerPolicy, CircuitBreaker
from cbmon.config import NotificationsConfig, ReceiverConfig
from cbmon.model import Category
from cbmon.notify.lines import line_views
from cbmon.notify.receivers import receiver_type


def test_a_line_shows_what_it_is_and_nothing_secret() -> None:
    given = {"webhook": {"url": "http://hooks.example.net/TOKEN"}, "ntfy": {"topic": "ops"}}
    integrations = tuple(
        (kind, receiver_type(kind).options.model_validate(values)) for kind, values in given.items()
    )
    receiver = ReceiverConfig(name="ops", integrations=integrations, policy=BreakerPolicy())
    breaker = CircuitBreaker("ops/webhook", category="receiver")
    config = NotificationsConfig(receivers=(receiver,))
    [view] = line_views(config, {"ops/webhook": breaker})
    assert (view.info.name, view.info.category) == ("ops/webhook", Category.RECEIVER)
    assert (view.info.kind, view.info.target) == ("webhook", "hooks.example.net")
    assert view.breaker is breaker
    assert view.timeout == 10.0
    assert "TOKEN" not in repr(view.info)
