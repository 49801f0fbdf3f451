"""One receiver's worker: takes its messages from the store and delivers them, one at a time.

Rule: at least once. What is delivered is noted in the store before the next one is tried, so that
a crash doubles at most the message that was in flight. Only this receiver waits for this receiver.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from cbmon.breaker.breaker import CircuitBreaker
from cbmon.errors import StoreError
from cbmon.interfaces import Clock, Receiver, Store
from cbmon.logs import fields
from cbmon.model import Delivery, Message, MessageState, Reason, Verdict
from cbmon.notify.endpoint import Endpoint, Repeating, Standing
from cbmon.notify.hooks import NotifyHooks
from cbmon.notify.keeper import Keeper
from cbmon.notify.outbox import (
    FOLDED_INTO,
    TOLD_SINCE,
    Limits,
    Step,
    absorbed,
    dressed,
    judge,
    needs_line,
    past_of,
    said,
    sent_again,
    suppression,
)
from cbmon.notify.relief import Relief
from cbmon.notify.waiting import Waiter

log = logging.getLogger(__name__)

BATCH: Final = 50
STORE_RETRY: Final = 1.0
"""Seconds until a line looks again after the store failed."""
LOOK_AGAIN: Final = 3600.0
"""Seconds until a line that waits for a person looks whether its messages are too old."""
LEAP: Final = 60.0
"""Seconds from which on a wall clock that is set is not just corrected."""
OUTAGE_LOST: Final = "its outage was not delivered"
_DROPPED: Final = {Step.FOLD: FOLDED_INTO, Step.DROP: OUTAGE_LOST, Step.OVERTAKEN: TOLD_SINCE}
EXPIRED: Final = "expired"
ACTOR: Final = "cbmon"
"""Who disables the breaker of a receiver that says it is gone, and enables it again."""

Owed = Callable[[], Awaitable[None]]
"""An outcome that the store has to be told."""


class Line:
    """The worker of one line; owned by the dispatcher."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        store: Store,
        clock: Clock,
        hooks: NotifyHooks,
        limits: Limits,
        wait: Waiter,
        changed: Callable[[], None],
        wake: Callable[[Iterable[str] | None], None] = lambda _: None,
        standing: Standing = tuple,
        seed: int | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.breaker = CircuitBreaker(
            endpoint.name, endpoint.policy, clock=clock, seed=seed, category="receiver"
        )
        self.breaker.add_listener(lambda _: self.wake(), kinds=("transition",))
        self._receiver: Receiver = endpoint.build()
        self._standing = standing
        self._relief = Relief(endpoint.name, store=store, wake=wake)
        self._keeper: Keeper | None = None
        self._store = store
        self._clock = clock
        self._hooks = hooks
        self._usual_limits = limits
        self._limits = self._own_limits()
        self._wait = wait
        self._changed = changed
        self._zero = clock.time() - clock.monotonic()
        self._leaps: list[tuple[float, float]] = []
        """How the wall clock was set: what it would have shown then, and by how much."""
        self._random = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._awake = asyncio.Event()
        self._stopping = False
        self._failing = False
        self._gone = False
        self._delivering = asyncio.Lock()
        self._paused_until = 0.0
        self._owed: Owed | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Such as ``oncall/slack``."""
        return self.endpoint.name

    def start(self) -> None:
        """Begin to deliver."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"line {self.name}")
        self._keep()

    def _keep(self) -> None:
        if isinstance(self._receiver, Repeating):
            self._keeper = Keeper(
                self.name,
                self._receiver,
                standing=self._standing,
                store=self._store,
                clock=self._clock,
                wait=self._wait,
            )
            self._keeper.start()

    async def _stop_keeping(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.stop()

    def wake(self) -> None:
        """There may be something to do."""
        self._awake.set()

    async def replace(self, endpoint: Endpoint) -> None:
        """Deliver elsewhere from now on; the outbox and the breaker stay."""
        await self._stop_keeping()
        async with self._delivering:
            old, self._receiver = self._receiver, endpoint.build()
            self.endpoint = endpoint
            self._limits = self._own_limits()
            self.breaker.reconfigure(endpoint.policy)
            self._paused_until = 0.0
            self.revive("it is configured anew")
        await old.close()
        self._keep()
        self.wake()

    def revive(self, reason: str) -> None:
        """Enable the breaker, if it was disabled because the receiver said that it is gone."""
        if self._gone:
            self._gone = False
            self.breaker.enable(actor=ACTOR, reason=reason)

    async def stop(self, deadline: float) -> None:
        """Let the delivery in flight end, at most ``deadline`` seconds, and stop."""
        self._stopping = True
        await self._stop_keeping()
        self.wake()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=deadline)
            task.cancel()
            await asyncio.wait([task])
        await self._receiver.close()

    def _own_limits(self) -> Limits:
        own = self.endpoint.time_to_live
        return self._usual_limits if own is None else replace(self._usual_limits, time_to_live=own)

    # --- one round after another ----------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping:
            self._awake.clear()
            pause = await self._careful_round()
            if not self._stopping:
                await self._wait(self._awake, pause)

    async def _careful_round(self) -> float | None:
        """A round that ends well whatever happens: a line that died would lose every message."""
        try:
            pause = await self._round()
        except StoreError as error:
            if not self._failing:
                said = fields(receiver=self.name, error=error)
                log.warning("outbox cannot be used", extra=said)
            self._failing = True
        except Exception:
            log.exception("line failed", extra=fields(receiver=self.name))
        else:
            self._failing = False
            return pause
        return STORE_RETRY

    async def _round(self) -> float | None:
        """Try what is due; seconds until something is due again, None for when it is woken."""
        await self._settle_debt()
        while True:
            messages = await self._store.pending(self.name, now=self._steady(), limit=BATCH)
            if not messages:
                return await self._until_next()
            # A head's line changes only by what is done for that head, or grows at its end.
            await self._relieve(messages)
            lines = await self._lines(messages)
            for message in messages:
                if not await self._treat(message, lines.get(message.incident, [message])):
                    return self._held()
            if len(messages) < BATCH:  # what came meanwhile is due at once
                return await self._until_next()

    async def _relieve(self, messages: Sequence[Message]) -> None:
        """Hand over what waits for too long, or for a receiver that is gone."""
        to = self.endpoint.fallback
        if not to:
            return
        long_ago = self._clock.time() - self.endpoint.fallback_after
        for message in messages:
            if self.breaker.state == "disabled" or message.created_at <= long_ago:
                await self._relief.hand_over(message, to)
            else:
                await self._relief.hand_over_what_follows(message, to)

    async def _until_next(self) -> float | None:
        due = await self._store.next_attempt(self.name)
        if due is None:
            return None
        return min(max(0.0, due - self._steady()), self._limits.longest_asked)

    def _steady(self) -> float:
        """Unix seconds on a clock that nobody sets: the time for tries that were put off."""
        return self._zero + self._clock.monotonic()

    def _held(self) -> float:
        """Seconds until this receiver may be tried again, or what waits for it is too old."""
        now = self._clock.monotonic()
        if self._paused_until > now:
            return self._relieved_by(self._paused_until - now)
        deadline = self.breaker.next_deadline
        return self._relieved_by(None if deadline is None else max(0.0, deadline - now))

    def _relieved_by(self, pause: float | None) -> float:
        """The pause, short enough for what waits to be given up or handed over in time."""
        longest = LOOK_AGAIN
        if self.endpoint.fallback:
            longest = min(longest, max(1.0, self.endpoint.fallback_after / 10))
        return longest if pause is None else min(pause, longest)

    async def _lines(self, messages: Sequence[Message]) -> dict[str, list[Message]]:
        """The lines of those messages whose next step depends on them."""
        now = self._clock.time()
        wanted = [one.incident for one in messages if needs_line(one, now, self._limits)]
        return await self._store.lines(self.name, wanted) if wanted else {}

    async def _treat(self, message: Message, own: list[Message]) -> bool:
        """Do the next step for a message; False if the receiver must not be tried now."""
        now = self._clock.time()
        line = [*await self._absorbed(message, own, now), *own]
        past = past_of(message, line, self._going_on()) if sent_again(message) else frozenset()
        lived = now - self._leapt_over(message, now)
        step = judge(message, line, lived, self._limits, past)
        if step in {Step.DELIVER, Step.DELIVER_FOLDED}:
            late = lived - message.created_at
            entries = said(message, line, past)
            return await self._attempt(
                dressed(message, entries, late if late > self._limits.fold_after else None)
            )
        if step is Step.EXPIRE:
            await self._expire(message, now)
        else:
            await self._drop(message, step, now)
        return True

    def _leapt_over(self, message: Message, now: float) -> float:
        """Seconds by which the wall clock was put forward, or back, since the message was made.

        A message does not grow old by that: a machine without a clock of its own may wake up in
        another year, and is told the time when its messages wait already.
        """
        leap = now - self._steady() - sum(size for _, size in self._leaps)
        if abs(leap) > LEAP:
            self._leaps.append((now - leap, leap))
        return sum(size for before, size in self._leaps if message.created_at <= before)

    def _going_on(self) -> frozenset[str]:
        return frozenset(str(one.body["episode"]) for one in self._standing())

    async def _absorbed(
        self, message: Message, own: Sequence[Message], now: float
    ) -> list[Message]:
        """The lines that a message takes over; what still waits in them is folded into it."""
        line: list[Message] = []
        for thread in absorbed(message, own):
            for other in await self._store.line(self.name, thread):
                if other.state is MessageState.PENDING:
                    await self._drop(other, Step.FOLD, now)
            line += await self._store.line(self.name, thread)
        return line

    async def _expire(self, message: Message, now: float) -> None:
        self._hooks.failed(self.name, EXPIRED)
        log.error("message given up", extra=fields(receiver=self.name, id=message.id, why=EXPIRED))
        await self._relief.hand_over(message, self.endpoint.fallback)
        hours = self._limits.time_to_live / 3600.0
        error = f"not delivered within {hours:g} h; last: {message.last_error or 'never tried'}"
        await self._note(partial(self._store.buried, message.id, at=now, error=error))

    async def _drop(self, message: Message, step: Step, now: float) -> None:
        self._hooks.suppressed(self.name, str(suppression(step)))
        reason = _DROPPED[step]
        await self._note(partial(self._store.dropped, [message.id], at=now, reason=reason))

    # --- one attempt ----------------------------------------------------------------------

    async def _attempt(self, message: Message) -> bool:
        if self._stopping or self._paused_until > self._clock.monotonic():
            return False
        permit = self.breaker.try_acquire()
        if permit is None:
            return False
        started = self._clock.monotonic()
        try:
            async with self._delivering:
                delivery = await self._deliver(message)
        except BaseException:
            self.breaker.release(permit)
            raise
        self._judge_receiver(permit, delivery, self._clock.monotonic() - started)
        if delivery.verdict in {Verdict.PERMANENT, Verdict.GONE}:
            await self._relief.hand_over(message, self.endpoint.fallback)
        await self._note(self._outcome(message, delivery))
        return True

    async def _deliver(self, message: Message) -> Delivery:
        timeout = self.endpoint.timeout
        try:
            async with asyncio.timeout(timeout):
                return await self._receiver.deliver(message)
        except TimeoutError:
            error = f"no answer within {timeout:g} s"
            return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.TIMEOUT, error=error)
        except Exception as error:
            log.exception("receiver failed", extra=fields(receiver=self.name, id=message.id))
            text = f"cbmon's own fault: {type(error).__name__}; the log has a traceback"
            return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.INTERNAL, error=text)

    def _judge_receiver(self, permit: int, delivery: Delivery, duration: float) -> None:
        """A refused message says nothing against the receiver, a busy one is not down.

        One that asks for no wait at all, or for a moment that is over, is judged as if silent.
        """
        if delivery.verdict is Verdict.TEMPORARY and delivery.retry_after:
            self._paused_until = self._clock.monotonic() + self._limits.asked(delivery.retry_after)
            self.breaker.release(permit)
            return
        self.breaker.record(
            permit,
            failed=delivery.verdict is Verdict.TEMPORARY,
            duration=duration,
            reason=delivery.reason,
            error=delivery.error,
        )
        if delivery.verdict is Verdict.GONE:
            self._gone = True
            self.breaker.disable(actor=ACTOR, reason=delivery.error or "the receiver is gone")
            said = fields(receiver=self.name, error=delivery.error)
            log.error("receiver is gone; test or enable it when it is back", extra=said)

    def _outcome(self, message: Message, delivery: Delivery) -> Owed:
        now = self._clock.time()
        if delivery.verdict is Verdict.DELIVERED:
            self._hooks.delivered(self.name, max(0.0, now - message.created_at))
            if delivery.error is not None:
                said = fields(receiver=self.name, id=message.id, error=delivery.error)
                log.warning("message taken, but not by all", extra=said)
            return partial(self._store.delivered, message.id, at=now)
        error = delivery.error or "no reason given"
        self._hooks.failed(self.name, str(delivery.reason or Reason.INTERNAL))
        said = fields(receiver=self.name, id=message.id, reason=delivery.reason, error=error)
        if delivery.verdict in {Verdict.PERMANENT, Verdict.GONE}:
            log.error("message refused", extra=said)
            return partial(self._store.buried, message.id, at=now, error=error)
        log.warning("message not delivered, trying again", extra=said)
        wait = self._limits.wait(message.attempts, delivery.retry_after, self._random)
        due = self._steady() + wait
        return partial(self._store.postponed, message.id, next_attempt_at=due, error=error)

    # --- what the store must hear ---------------------------------------------------------

    async def _note(self, owed: Owed) -> None:
        """Write an outcome down; if the store fails, before anything else is done."""
        self._owed = owed
        await self._settle_debt()
        self._changed()

    async def _settle_debt(self) -> None:
        if self._owed is not None:
            await self._owed()
            self._owed = None
