"""The notify room as the daemon uses it: one object from transition to delivery.

Rule: messages are made on the event loop with the transition, committed with it by whoever owns
the journal, and delivered after that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.config import NotificationsConfig
from cbmon.config.routes import Matcher
from cbmon.events import Transition, new_id
from cbmon.interfaces import Clock, Store
from cbmon.logs import fields
from cbmon.model import BreakerInfo, Message, MessageState, Verdict
from cbmon.notify.agenda import Agenda
from cbmon.notify.board import Plan
from cbmon.notify.calendar import Calendar
from cbmon.notify.dispatcher import Dispatcher
from cbmon.notify.guard import Guard, Heart
from cbmon.notify.hooks import NotifyHooks, SilentHooks
from cbmon.notify.incidents import Incidents
from cbmon.notify.lines import LineView, line_views
from cbmon.notify.messages import Site
from cbmon.notify.notifier import Notifier
from cbmon.notify.receipts import Receipts
from cbmon.notify.receivers import endpoints, ungrouped_kinds
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.routing import Routing, labels_of
from cbmon.notify.rules import calendar_of, rules_of, windows_of
from cbmon.notify.silences import Silence, Window
from cbmon.notify.trial import trial

log = logging.getLogger(__name__)

ALL_INCIDENTS = 1_000_000

Write = Callable[[Plan], None]
"""Makes a plan durable; called on the event loop, never waits."""


class Notifying:
    """Decides who is told, and tells them."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        write: Write,
        hooks: NotifyHooks | None = None,
        version: str = "",
    ) -> None:
        self._store = store
        self._clock = clock
        self._write = write
        self._hooks: NotifyHooks = hooks or SilentHooks()
        self._environment = ReceiverEnvironment(clock=clock, version=version)
        self._dispatcher = Dispatcher(
            store, clock=clock, hooks=self._hooks, standing=self._standing
        )
        self._agenda = Agenda(clock=clock, deadline=self._deadline, tick=self._tick)
        self._silences: dict[str, Silence] = {}
        self._watches: list[asyncio.Task[None]] = []
        self._windows: tuple[Window, ...] = ()
        self._calendar = Calendar()
        self._config = NotificationsConfig()
        self._site = Site()
        self._notifier = Notifier(
            routing=Routing(), site=Site(), hooks=self._hooks, incidents=Incidents()
        )

    @property
    def breakers(self) -> Mapping[str, CircuitBreaker]:
        """The breaker of each receiver line, such as ``oncall/slack``."""
        return self._dispatcher.breakers

    def lines(self) -> Iterable[LineView]:
        """Every receiver line with its breaker, as checks and exports are shown."""
        return line_views(self._config, self._dispatcher.breakers)

    def line(self, name: str) -> LineView:
        """The line of that name; KeyError for none."""
        found = next((line for line in self.lines() if line.info.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    # --- life ----------------------------------------------------------------------------

    async def start(self, config: NotificationsConfig, site: Site) -> None:
        """Take up incidents, groups, silences and the outbox from the store; begin to deliver.

        Raises StoreError; ConfigurationError when a receiver cannot be built.
        """
        now = self._clock.time()
        self._config, self._site = config, site
        running = await self._store.incidents(open_only=True, limit=ALL_INCIDENTS)
        rows = await self._store.planning()
        self._environment.receipts = Receipts.restored(self._store, rows, now)
        silences = map(Silence.from_row, await self._store.silences(ends_after=now))
        self._silences = {silence.id: silence for silence in silences}
        self._notifier = Notifier(
            routing=Routing.of(config, ungrouped_kinds(config)),
            site=site,
            hooks=self._hooks,
            incidents=Incidents.restored(running),
            rules=rules_of(config),
            rows=rows,
            silences=self._silences.values(),
        )
        self._commit(self._notifier.resume(now))
        await self._dispatcher.start(endpoints(config, self._environment))
        self._agenda.start()
        await self._watch()

    async def reconfigure(self, config: NotificationsConfig, site: Site) -> None:
        """Bring another configuration into force; what did not change keeps going."""
        self._config, self._site = config, site
        routing = Routing.of(config, ungrouped_kinds(config))
        now = self._clock.time()
        self._commit(self._notifier.reconfigure(routing, site, rules_of(config), now))
        await self._dispatcher.reconfigure(endpoints(config, self._environment))
        await self._watch()

    async def stop(self, deadline: float) -> None:
        """Let deliveries in flight end, at most ``deadline`` seconds."""
        await self._unwatch()
        await self._agenda.stop()
        await self._dispatcher.stop(deadline)
        await self._environment.close()

    async def _watch(self) -> None:
        """Look whether cbmon is cut off, and beat, as far as that is configured."""
        await self._unwatch()
        rules, start = self._config.rules, asyncio.get_running_loop().create_task
        self._windows = tuple(one for one in windows_of(self._config) if one.skip_runs)
        self._calendar = calendar_of(self._config)
        if rules.isolation is not None:
            guard = Guard(rules.isolation, self._isolate, isolated=self.isolated)
            self._watches.append(start(guard.run(), name="notify isolation"))
        elif self.isolated:
            self._isolate(False)
        if rules.heartbeat is not None:
            heart = Heart(rules.heartbeat, self._environment)
            self._watches.append(start(heart.run(), name="notify heartbeat"))

    async def _unwatch(self) -> None:
        watches, self._watches = self._watches, []
        for task in watches:
            task.cancel()
        if watches:
            await asyncio.wait(watches)

    # --- what happens --------------------------------------------------------------------

    def follow(self, move: Transition) -> Plan:
        """What a transition causes, to be committed with it. Never raises.

        A fault here must not cost the transition its place in the journal.
        """
        try:
            plan = self._notifier.follow(move)
        except Exception:
            log.exception("transition not followed", extra=fields(component=move.component))
            plan = Plan()
        self._agenda.changed()
        return plan

    def withdraw(self, gone: Iterable[BreakerInfo]) -> Plan:
        """What ends open incidents of components that left the configuration."""
        plan = self._notifier.withdraw(gone, at=self._clock.time())
        self._agenda.changed()
        return plan

    @property
    def isolated(self) -> bool:
        """Whether cbmon itself is cut off: what fails now says nothing of its target."""
        return self._notifier.isolated

    def skips(self, info: BreakerInfo) -> bool:
        """Whether a maintenance window goes on in which this is not run."""
        if not self._windows:  # asked before every run
            return False
        return any(
            window.covers(labels_of(info)) and self._calendar.any(window.during, self._clock.time())
            for window in self._windows
        )

    def _isolate(self, isolated: bool) -> None:
        self._commit(self._notifier.isolate(isolated=isolated, now=self._clock.time()))

    def committed(self, messages: Iterable[Message]) -> None:
        """These messages are durable: deliver them."""
        if receivers := {message.receiver for message in messages}:
            self._dispatcher.wake(receivers)

    def _standing(self, line: str) -> list[Message]:
        return self._notifier.standing(line, self._clock.time())

    def _deadline(self) -> float | None:
        return self._notifier.deadline

    def _tick(self) -> None:
        self._commit(self._notifier.tick(self._clock.time()))

    def _commit(self, plan: Plan) -> None:
        if plan:
            self._write(plan)
        self._agenda.changed()

    # --- silences ------------------------------------------------------------------------

    async def silences(self, *, expired: bool = False) -> Sequence[Silence]:
        """Silences, the newest first; those that are over too if ``expired``."""
        if not expired:
            now = self._clock.time()
            active = (one for one in self._silences.values() if now < one.ends_at)
            return sorted(active, key=lambda one: one.id, reverse=True)
        return [Silence.from_row(row) for row in await self._store.silences()]

    async def mute(
        self, matchers: Sequence[Matcher], seconds: float, *, author: str, reason: str
    ) -> Silence:
        """A silence from now on, durable when this returns; raises StoreError."""
        now = self._clock.time()
        made = Silence(
            id=new_id(now),
            matchers=tuple(matchers),
            starts_at=now,
            ends_at=now + seconds,
            author=author,
            reason=reason,
            created_at=now,
        )
        await self._store.save_silence(made.as_row())
        self._silences[made.id] = made
        self._commit(self._notifier.silence(self._silences.values(), now))
        return made

    async def expire_silence(self, silence_id: str) -> Silence:
        """End a silence now: what is still news is told. KeyError for none that goes on."""
        now = self._clock.time()
        silence = self._silences[silence_id]
        if now >= silence.ends_at:
            raise KeyError(silence_id)
        ended = replace(silence, ends_at=now, starts_at=min(silence.starts_at, now))
        await self._store.save_silence(ended.as_row())
        self._silences.pop(silence_id, None)
        self._commit(self._notifier.silence(self._silences.values(), now))
        return ended

    async def try_receiver(self, receiver: str, *, dry_run: bool) -> list[dict[str, Any]]:
        """Send a test message to each integration of a receiver, or only render it; KeyError.

        It goes past the outbox and the breakers: a person waits for what comes of it. A receiver
        that was gone and takes it is back.
        """
        found = [one for one in self._config.receivers if one.name == receiver]
        if not found:
            raise KeyError(receiver)
        tried = [
            await trial(receiver, kind, options, self._environment, self._site, dry_run=dry_run)
            for kind, options in found[0].integrations
        ]
        for one in tried:
            if one["outcome"] == Verdict.DELIVERED:
                self._dispatcher.revive(one["line"])
        return tried

    # --- the outbox ----------------------------------------------------------------------

    async def messages(
        self,
        *,
        receiver: str | None = None,
        state: MessageState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Message]:
        """Messages as they lie in the outbox, newest first; raises StoreError."""
        return await self._store.messages(
            receiver=receiver, state=state, limit=limit, before=before
        )

    async def retry(self, message_id: str) -> bool:
        """Send a dead letter again, with what was dropped behind it; False if it is none."""
        done = await self._store.resend(message_id, now=self._clock.time())
        if done:
            self._dispatcher.wake()
        return done
