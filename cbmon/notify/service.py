"""The notify room as the daemon uses it: one object from transition to delivery.

Rule: messages are made on the event loop with the transition, committed with it by whoever owns
the journal, and delivered after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.config import NotificationsConfig
from cbmon.events import Transition
from cbmon.interfaces import Clock, Store
from cbmon.model import BreakerInfo, Message
from cbmon.notify.dispatcher import Dispatcher
from cbmon.notify.hooks import NotifyHooks, SilentHooks
from cbmon.notify.incidents import Incidents
from cbmon.notify.messages import Site
from cbmon.notify.notifier import Notifier
from cbmon.notify.receivers import endpoints
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.routing import Routing

ALL_INCIDENTS = 1_000_000


class Notifying:
    """Decides who is told, and tells them."""

    def __init__(
        self, store: Store, *, clock: Clock, hooks: NotifyHooks | None = None, version: str = ""
    ) -> None:
        self._store = store
        self._clock = clock
        self._hooks: NotifyHooks = hooks or SilentHooks()
        self._environment = ReceiverEnvironment(clock=clock, version=version)
        self._dispatcher = Dispatcher(store, clock=clock, hooks=self._hooks)
        self._notifier = Notifier(
            routing=Routing(), site=Site(), hooks=self._hooks, incidents=Incidents()
        )

    @property
    def breakers(self) -> Mapping[str, CircuitBreaker]:
        """The breaker of each receiver line, such as ``oncall/slack``."""
        return self._dispatcher.breakers

    async def start(self, config: NotificationsConfig, site: Site) -> None:
        """Take up open incidents and the outbox from the store, and begin to deliver.

        Raises StoreError; ConfigurationError when a receiver cannot be built.
        """
        rows = await self._store.incidents(open_only=True, limit=ALL_INCIDENTS)
        self._notifier = Notifier(
            routing=Routing.of(config),
            site=site,
            hooks=self._hooks,
            incidents=Incidents.restored(rows),
        )
        await self._dispatcher.start(endpoints(config, self._environment))

    def messages(self, move: Transition) -> list[Message]:
        """The messages that a transition causes, to be committed with it."""
        return self._notifier.messages(move)

    def withdraw(self, gone: Iterable[BreakerInfo]) -> list[Message]:
        """The messages that end open incidents of components that left the configuration."""
        return self._notifier.withdraw(gone, at=self._clock.time())

    def committed(self, messages: Iterable[Message]) -> None:
        """These messages are durable: deliver them."""
        if receivers := {message.receiver for message in messages}:
            self._dispatcher.wake(receivers)

    def kick(self) -> None:
        """Look at every line now, such as after a dead letter was put back."""
        self._dispatcher.wake()

    async def reconfigure(self, config: NotificationsConfig, site: Site) -> None:
        """Bring another configuration into force; what did not change keeps going."""
        self._notifier.reconfigure(Routing.of(config), site)
        await self._dispatcher.reconfigure(endpoints(config, self._environment))

    async def stop(self, deadline: float) -> None:
        """Let deliveries in flight end, at most ``deadline`` seconds."""
        await self._dispatcher.stop(deadline)
        await self._environment.close()
