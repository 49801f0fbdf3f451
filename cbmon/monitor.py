"""Use cases: run a check or export behind its breaker, act on a breaker, snapshot them all.

Rule: the sole owner of the daemon's breakers. Everything that happens to one goes through here
and leaves as an event to the sinks, in their order; a sink that raises is logged and harms
nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from cbmon.breaker import InvalidTransitionError, State, TransitionEvent
from cbmon.component import HELD, Component, Runner
from cbmon.events import Action, Event, RunFailed, SkipStreak, new_id
from cbmon.interfaces import Clock, Lasting
from cbmon.logs import fields
from cbmon.model import Reason, Result, SkipCause
from cbmon.probes.run import Elsewhere, run_planned
from cbmon.probes.steps import Deadlines, Done, LightRun
from cbmon.results.summary import NUMBER_OF
from cbmon.timeline import Timetable, phase_of

log = logging.getLogger(__name__)

Sink = Callable[[Event], None]

ACTIONS: Final = (
    "reset", "close", "open", "half_open", "force_open", "force_close", "observe", "disable",
    "enable",
)  # fmt: skip
FIRST_LOOK: Final = 10.0
"""Seconds within which a new component is looked at first, however long its interval is."""
EARLY: Final = 0.001
"""Seconds a held component is woken after its deadline, so that no clock's rounding is before."""


class Monitor:
    """Owns the components, runs them and tells the sinks what happened."""

    def __init__(
        self,
        *,
        timetable: Timetable,
        clock: Clock,
        sinks: Sequence[Sink] = (),
        max_in_flight: int = 10_000,
        gate: Callable[[Component], SkipCause | None] = lambda _: None,
        blind: Callable[[], bool] = lambda: False,
    ) -> None:
        """``gate`` gives the cause why a planned run is skipped; while ``blind`` says that cbmon
        itself is cut off, a failure says nothing of its target and counts for no breaker."""
        self._timetable = timetable
        self._clock = clock
        self._sinks = tuple(sinks)
        self._components: dict[str, Component] = {}
        self._in_flight: set[asyncio.Future[None]] = set()
        self._deadlines = Deadlines(clock)
        self._queue: dict[str, None] = {}
        self._max_in_flight = max_in_flight
        self._gate = gate
        self._blind = blind
        self._unsaved: set[str] = set()
        self._closing = self._starting = False
        self._firing, self._hear = self._fire, self._moved  # bound once, not for each component

    # --- what is watched -----------------------------------------------------------------

    def __iter__(self) -> Iterator[Component]:
        return iter(self._components.values())

    def __len__(self) -> int:
        return len(self._components)

    def __contains__(self, name: object) -> bool:
        return name in self._components

    def component(self, name: str) -> Component:
        """The component of that name; raises KeyError."""
        return self._components[name]

    def add(self, component: Component, snapshot: Mapping[str, Any] | None = None) -> None:
        """Watch a component from now on: from where ``snapshot`` left it, or as new.

        One that was open stays held for what remains of its wait.
        """
        self._components[component.name] = component
        component.breaker.add_listener(self._hear, kinds=("transition",))
        soon = phase_of(component.name) * min(component.interval, FIRST_LOOK)
        self._timetable.add(
            component.name, component.interval, self._firing, first=self._clock.monotonic() + soon
        )
        if snapshot is not None:
            component.restore(snapshot)
        if component.breaker.state in HELD:
            component.streak = True
            self._hold(component)

    def reschedule(self, component: Component, interval: float) -> None:
        """Give a component another interval; a held one stays held."""
        component.interval = interval
        self._timetable.add(component.name, interval, self._firing)
        if component.breaker.state in HELD:
            self._hold(component)

    async def remove(self, name: str) -> None:
        """Watch it no more: a run that is going on is cancelled, its resources are given back."""
        component = self._components.pop(name)
        self._timetable.remove(name)
        if component.recovery_wake is not None:
            component.recovery_wake.cancel()
        await self._cancel(component)
        await component.runner.close()

    # --- running -------------------------------------------------------------------------

    def _fire(self, name: str, _due: float, missed: int) -> None:
        component = self._components.get(name)
        if component is None or self._closing:
            return
        if missed:
            component.record.skip(SkipCause.MISSED, missed)
        if (cause := self._gate(component)) is not None:
            component.record.skip(cause, 1)
            component.track.leave(self._clock.time())
            return
        if component.task is not None:
            component.record.skip(SkipCause.OVERRUN, 1)
            return
        self.start(component)

    def start(self, component: Component) -> asyncio.Future[None] | None:
        """Run it now if its breaker admits it and nothing of it runs; else None."""
        if component.task is not None or self._closing:
            return component.task
        if len(self._in_flight) >= self._max_in_flight:
            self._queue[component.name] = None
            return None
        permit = component.breaker.try_acquire()
        if permit is None:
            self._hold(component)
            if component.collects:
                self._launch(component, self._collect(component))
            return None
        self._release_hold(component)
        over = partial(self._over, component, permit)
        if component.is_elsewhere:
            return self._send(component, over)
        if component.is_light:
            return self._step(component, over)
        return self._launch(component, self._run(component, over))

    def _send(self, component: Component, over: Done) -> asyncio.Future[None]:
        worker = cast("Elsewhere", component.runner)
        return self._going(component, worker.begin(component.timeout, component.plan, over))

    def _step(self, component: Component, over: Done) -> asyncio.Future[None]:
        run = LightRun(component.runner, component.timeout, self._deadlines, over)
        self._going(component, run)
        run.step()
        return run

    def _launch(
        self, component: Component, work: Coroutine[Any, Any, None]
    ) -> asyncio.Future[None]:
        return self._going(component, asyncio.get_running_loop().create_task(work))

    def _going(self, component: Component, run: asyncio.Future[None]) -> asyncio.Future[None]:
        component.task = run
        self._in_flight.add(run)
        return run

    def _ended(self, component: Component) -> None:
        task, component.task = component.task, None
        if task is not None:
            self._in_flight.discard(task)

    async def _collect(self, component: Component) -> None:
        try:
            await component.collect()
        finally:
            self._ended(component)

    async def _run(self, component: Component, over: Done) -> None:
        result: Result | None = None
        try:
            result = await run_planned(
                component.runner, component.timeout, self._clock, component.plan
            )
        finally:
            over(result)

    def _over(self, component: Component, permit: Any, result: Result | None) -> None:
        self._ended(component)
        if result is None:
            component.breaker.release(permit)
        else:
            self._finished(component, permit, result)
        if self._queue and not self._starting:
            self._start_waiting()

    def _finished(self, component: Component, permit: Any, result: Result) -> None:
        now = self._clock.time()
        if not result.ok or (component.last is not None and not component.last.ok):
            self._unsaved.add(component.name)
        component.last = result
        component.last_run_at = now
        if result.ok:
            component.last_success_at = now
        component.record.observe(result, now)
        if not result.ok and self._blind():
            component.track.leave(now)
            component.breaker.release(permit)
            return
        component.track.add(now, result.duration, NUMBER_OF[result.reason])
        if not result.ok:
            self._tell_failure(component, result, now)
        component.breaker.record(
            permit,
            failed=not result.ok,
            duration=result.duration,
            reason=result.reason,
            error=result.error,
        )
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "run finished",
                extra=fields(
                    component=component.name,
                    ok=result.ok,
                    duration=result.duration,
                    reason=result.reason,
                    error=result.error,
                ),
            )

    def _tell_failure(self, component: Component, result: Result, now: float) -> None:
        self.publish(
            RunFailed(
                id=new_id(now),
                at=now,
                component=component.name,
                category=component.info.category,
                reason=result.reason or Reason.INTERNAL,
                error=result.error or "",
                duration=result.duration,
            )
        )

    def _start_waiting(self) -> None:
        self._starting = True  # a run that is over at once comes back here
        try:
            while self._queue and len(self._in_flight) < self._max_in_flight:
                name = next(iter(self._queue))
                del self._queue[name]
                if (component := self._components.get(name)) is not None:
                    self.start(component)
        finally:
            self._starting = False

    async def run_now(self, name: str) -> Result | None:
        """Run a component once outside its plan; None when its breaker does not admit it."""
        component = self.component(name)
        task = self.start(component)
        if task is None:
            return None
        await asyncio.wait([task])
        return component.last

    def nudge(self, component: Component, *, actor: str, reason: str) -> None:
        """Look now, because something was heard of the target; an open breaker tries at once."""
        if component.breaker.state is State.OPEN:
            component.breaker.half_open(actor=actor, reason=reason)
        else:
            self.start(component)

    async def drain(self, deadline: float) -> int:
        """Start nothing more, wait for what runs, cancel the rest; how many were cancelled.

        A cancelled run is neutral for its breaker. ``deadline`` is in seconds.
        """
        self._closing = True
        self._queue.clear()
        running = set(self._in_flight)
        if not running:
            return 0
        _, late = await asyncio.wait(running, timeout=deadline)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return len(late)

    async def close(self) -> None:
        """Give back what the components hold between runs."""
        for component in self._components.values():
            if component.recovery_wake is not None:
                component.recovery_wake.cancel()
            await component.runner.close()

    async def replace_runner(self, component: Component, runner: Runner) -> None:
        """Look at another target, or in another way, from the next run on.

        A run that is going on is cancelled, and what an open breaker knew of the old target
        says nothing of the new one: it is tried at once, as a trial.
        """
        old, component.runner = component.runner, runner
        if isinstance(old, Lasting) and isinstance(runner, Lasting):
            runner.restore(old.snapshot())
        await self._cancel(component)
        await old.close()
        if component.breaker.state is State.OPEN:
            component.breaker.half_open(actor="reload", reason="its configuration changed")

    @staticmethod
    async def _cancel(component: Component) -> None:
        if (run := component.task) is not None:
            run.cancel()  # which may end it at once
            await asyncio.wait([run])

    # --- moves ---------------------------------------------------------------------------

    def act(
        self,
        name: str,
        action: str,
        *,
        actor: str,
        reason: str = "",
        request: str | None = None,
        **options: Any,
    ) -> None:
        """Carry out an operator's action on a breaker and tell the sinks, refusals included.

        ``action`` is one of ACTIONS; ``options`` are those of the breaker's method
        (``for_seconds`` of open, ``reset_counters`` of enable). Raises KeyError,
        or InvalidTransitionError when the breaker cannot move so.
        """
        component = self.component(name)
        refused: str | None = None
        try:
            getattr(component.breaker, action)(actor=actor, reason=reason, **options)
        except InvalidTransitionError as error:
            refused = str(error)
            raise
        finally:
            now = self._clock.time()
            self.publish(
                Action(
                    id=new_id(now),
                    at=now,
                    component=name,
                    action=action,
                    actor=actor,
                    text=reason,
                    refused=refused,
                    request=request,
                    details={key: value for key, value in options.items() if value is not None},
                )
            )

    def publish(self, event: Event) -> None:
        """Tell the sinks, in order; one that raises is logged and the next is told."""
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:  # the bus: a sink that raises harms no other
                log.exception("sink failed", extra=fields(event=event.kind, id=event.id))

    def _moved(self, moved: TransitionEvent) -> None:
        if (component := self._components.get(moved.name)) is None:
            return  # it is being removed
        self.publish(component.transition(moved))
        breaker, state = component.breaker, State(moved.to_state)
        if component.recovery_wake is not None:
            component.recovery_wake.cancel()
            component.recovery_wake = None
        if state in HELD:
            self._hold(component)
            return
        if moved.actor is not None and not self._closing:
            self._release_hold(component)
            self._timetable.run_now(component.name)
        if state is State.HALF_OPEN and (deadline := breaker.next_deadline) is not None:
            self._wake_at(component, deadline)
        if state is State.CLOSED:
            component.streak = False

    def _wake_at(self, component: Component, deadline: float) -> None:
        delay = deadline - self._clock.monotonic() + EARLY
        loop = asyncio.get_running_loop()
        component.recovery_wake = loop.call_later(max(0.0, delay), component.breaker.poll)

    def _hold(self, component: Component) -> None:
        """Run it no more until its breaker's deadline; without one, until someone acts.

        What keeps things for later is fired on, so that it can.
        """
        deadline = component.breaker.next_deadline
        next_run = self._timetable.next_run(component.name) if component.collects else None
        if next_run is not None and (deadline is None or next_run < deadline):
            pass
        elif deadline is None:
            self._timetable.park(component.name)
        else:
            self._timetable.at(component.name, deadline + EARLY)
        if component.held_since is None:
            component.held_since = self._clock.monotonic()
            component.record.hold(component.interval, component.held_since)
        if not component.streak:
            component.streak = True
            now = self._clock.time()
            retry_after = component.breaker.retry_after
            self.publish(
                SkipStreak(
                    id=new_id(now),
                    at=now,
                    component=component.name,
                    category=component.info.category,
                    cause=SkipCause.BREAKER,
                    until=None if retry_after is None else now + retry_after,
                )
            )

    def _release_hold(self, component: Component) -> None:
        if component.held_since is not None:
            component.record.release(self._clock.monotonic())
            component.held_since = None

    # --- what survives -------------------------------------------------------------------

    def unsaved(self) -> dict[str, Mapping[str, Any]]:
        """Snapshots of the components whose counts a restart needs and that changed since.

        That is those that failed, and those that failed no more: one that only succeeds has
        nothing that a crash could make wrong, so ten thousand healthy checks cost nothing here.
        """
        names, self._unsaved = self._unsaved, set()
        return {
            name: component.snapshot()
            for name in names
            if (component := self._components.get(name)) is not None
        }

    def snapshots(self) -> dict[str, Mapping[str, Any]]:
        """Every component's snapshot."""
        return {component.name: component.snapshot() for component in self._components.values()}
