"""What runs when: intervals on the monotonic clock, housekeeping and calendars on APScheduler.

Rule: the only file that imports apscheduler. APScheduler 3 follows the wall clock, so intervals
never go through it: a step of the wall clock moves no run. It carries what is wall-clock by nature
and one supervisor job; when the wall clock steps, its own jobs are anchored anew before any of
them is looked at.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from cbmon.interfaces import Clock
from cbmon.logs import fields
from cbmon.timeline import Fire, Firing, Timeline

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[object] | None]
Observer = Callable[[float], object]

TICK: Final = 1 / 96
"""Seconds of the grid on which wake-ups lie: runs due within one cell share a wake-up and what it
costs, and find warm caches. Longer ones cost no less: whom so many ask at once, on this machine,
may have to wait for the processor until all are begun, and all are told as slow."""
BREATH: Final = 4
"""Runs of a wake-up after which what has come for others meanwhile is heard, so that an answer is
not kept waiting, and told as slow, for longer than a few of them take."""
SHORTEST: Final = 0.001
"""Seconds below which no timer is set: uvloop's have milliseconds, and 0 would spin."""
BURST: Final = 96
"""Runs that one wake-up may always start."""
CATCH_UP: Final = 8.0
"""How many times the ordinary rate a late timeline may start runs at."""
STEP: Final = 1.0
"""Seconds by which the wall clock must leave the monotonic one at once to have been stepped."""
SUPERVISION: Final = 1.0
"""Seconds between two looks of the supervisor."""
LAG_PERIOD: Final = 0.1
"""Seconds between two samples of the event loop's lag."""
_SUPERVISOR: Final = "supervisor"


class Scheduler:
    """Fires the runs of a :class:`~cbmon.timeline.Timeline` on the running event loop.

    ``lateness`` is told the seconds between due and done for every firing, ``lag`` ten times a
    second by how much the loop came late to a timer. ``breath`` is called after every few runs of
    one wake-up, so that what runs wait for is not kept waiting by those that begin after them;
    ``before`` at the begin of each, for work that would keep a run waiting at any other time.
    ``clock.monotonic`` must run as fast as the loop's clock. Names may be added before
    :meth:`start`; nothing fires before it.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        lateness: Observer | None = None,
        lag: Observer | None = None,
        breath: Callable[[], object] = lambda: None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._lateness = lateness
        self._lag = lag
        self._breath = breath
        self._before = before
        self._timeline = Timeline()
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._not_before = 0.0
        self._lag_timer: asyncio.TimerHandle | None = None
        self._housekeeping = _Housekeeping(clock, self._supervise)
        self.failures = 0
        """Firings whose callback raised."""

    # --- intervals -----------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._timeline)

    def __contains__(self, name: object) -> bool:
        return name in self._timeline

    def add(self, name: str, interval: float, fire: Fire, *, first: float | None = None) -> None:
        """Fire ``name`` every ``interval`` seconds; again with the same name: change it.

        The runs lie at a phase that a hash of the name spreads over the interval, the same after
        a restart, and a changed interval keeps it. ``first`` is a monotonic moment for the first
        run only. ``fire(name, due, missed)`` must return quickly; what it raises is logged and
        counted. Raises ValueError for an interval that is not a positive number of seconds.
        """
        self._timeline.add(name, interval, fire, now=self._clock.monotonic(), first=first)
        self._arm()

    def remove(self, name: str) -> None:
        """Never fire a name again; an unknown one is no error."""
        self._timeline.remove(name)

    def at(self, name: str, when_monotonic: float) -> None:
        """Fire next exactly then instead of at the tick, then at the ordinary ticks again.

        A moment that is past means as soon as possible. Raises KeyError for an unknown name.
        """
        self._timeline.at(name, when_monotonic, now=self._clock.monotonic())
        self._arm()

    def park(self, name: str) -> None:
        """Do not fire a name until :meth:`resume`, :meth:`at` or :meth:`run_now`."""
        self._timeline.park(name)

    def resume(self, name: str) -> None:
        """Back to the ordinary ticks, from park or an appointment."""
        self._timeline.resume(name, now=self._clock.monotonic())
        self._arm()

    def run_now(self, name: str) -> None:
        """Fire a name at the next wake-up, never from within this call; nothing while paused."""
        self.at(name, self._clock.monotonic())

    def next_run(self, name: str) -> float | None:
        """When a name fires next, in monotonic seconds; None when it is parked or unknown."""
        return self._timeline.next_run(name)

    def overdue(self) -> float:
        """Seconds by which the earliest run is late; 0.0 while none is, or while paused."""
        due = self._timeline.next_due()
        if due is None or not self._running:
            return 0.0
        return max(0.0, self._clock.monotonic() - due)

    # --- housekeeping and calendars ------------------------------------------------------

    def every(self, name: str, seconds: float, job: Job) -> None:
        """Run a job of the daemon itself every so often, first after ``seconds``.

        One run at a time; one that is late runs once, however late; what it raises is logged. A
        plain function runs on the event loop and must not block. The same name replaces.
        """
        self._housekeeping.add(name, IntervalTrigger(seconds=seconds, timezone=UTC), job)

    def calendar(self, name: str, crontab: str, job: Job, *, timezone: str = "UTC") -> None:
        """Run a job by the wall clock, as five crontab fields say; else like :meth:`every`.

        Raises ValueError for fields that are none, ZoneInfoNotFoundError for an unknown zone.
        """
        self._housekeeping.add(name, CronTrigger.from_crontab(crontab, ZoneInfo(timezone)), job)

    # --- lifecycle -----------------------------------------------------------------------

    def start(self) -> None:
        """Fire from now on, on the running loop. Ticks from before, or of a pause, are let go."""
        if self._running:
            return
        self._running = True
        self._timeline.skip(self._clock.monotonic())
        self._housekeeping.start()
        if self._lag is not None and self._lag_timer is None:
            self._sample_lag(asyncio.get_running_loop(), None)
        self._arm()

    def pause(self) -> None:
        """Fire nothing more, at once; housekeeping goes on. :meth:`start` ends it."""
        self._running = False
        self._disarm()

    async def stop(self, grace: float = 5.0) -> None:
        """Pause, let housekeeping that is running end within ``grace`` seconds, and stop."""
        self.pause()
        if self._lag_timer is not None:
            self._lag_timer.cancel()
            self._lag_timer = None
        await self._housekeeping.stop(grace)

    # --- the wake-up ---------------------------------------------------------------------

    def _arm(self) -> None:
        due = self._timeline.next_due()
        if not self._running or due is None:
            return
        wake = max(ceil(due / TICK) * TICK, self._not_before)
        if self._timer is not None:
            if self._armed_for <= wake:
                return
            self._timer.cancel()
        self._armed_for = wake
        delay = max(wake - self._clock.monotonic(), SHORTEST)
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self._prepare()
        now = self._clock.monotonic()
        try:
            for number in range(1, 1 + max(BURST, ceil(self._timeline.rate * TICK * CATCH_UP))):
                firing = self._timeline.pop(now)
                if firing is None:
                    break
                self._fire(firing)
                if not self._running:
                    break
                if not number % BREATH:
                    self._breath()
            else:
                self._not_before = now + TICK
        finally:
            self._arm()

    def _prepare(self) -> None:
        try:
            self._before()
        except Exception:
            log.exception("preparation failed, which is a defect of cbmon; it is left out now")
            self._before = lambda: None

    def _fire(self, firing: Firing) -> None:
        name, due, missed, fire = firing
        try:
            fire(name, due, missed)
        except Exception:
            self.failures += 1
            log.exception("firing failed", extra=fields(name=name))
        if self._lateness is not None:
            self._lateness(self._clock.monotonic() - due)

    # --- watching over it ----------------------------------------------------------------

    def _supervise(self) -> None:
        due = self._timeline.next_due()
        if self._running and due is not None and self._timer is None:
            log.error("timer of the timeline was lost, armed anew", extra=fields(due=due))
            self._arm()

    def _sample_lag(self, loop: asyncio.AbstractEventLoop, expected: float | None) -> None:
        now = self._clock.monotonic()
        if expected is not None and self._lag is not None:
            self._lag(max(0.0, now - expected))
        self._lag_timer = loop.call_later(LAG_PERIOD, self._sample_lag, loop, now + LAG_PERIOD)


class _Housekeeping:
    """Named jobs on APScheduler, of which at most one run each is going on."""

    def __init__(self, clock: Clock, supervise: Callable[[], None]) -> None:
        self._clock = clock
        self._jobs: dict[str, tuple[Any, Job]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._carrier: _Carrier | None = None
        self._jobs[_SUPERVISOR] = IntervalTrigger(seconds=SUPERVISION, timezone=UTC), supervise

    def add(self, name: str, trigger: Any, job: Job) -> None:
        self._jobs[name] = trigger, job
        if self._carrier is not None:
            self._carry(self._carrier, name)

    def start(self) -> None:
        if self._carrier is not None:
            return
        self._carrier = _Carrier(self._clock)
        for name in self._jobs:
            self._carry(self._carrier, name)
        self._carrier.start()

    async def stop(self, grace: float) -> None:
        carrier, self._carrier = self._carrier, None
        if carrier is None:
            return
        carrier.pause()
        if waiting := self._tasks - {asyncio.current_task()}:
            _, late = await asyncio.wait(waiting, timeout=grace)
            for task in late:
                log.warning("housekeeping did not end in time", extra=fields(job=task.get_name()))
        carrier.shutdown(wait=False)  # cancels what still runs, in a callback of the loop
        await asyncio.sleep(0)

    def _carry(self, carrier: _Carrier, name: str) -> None:
        trigger, job = self._jobs[name]
        carrier.add_job(self._run, trigger, args=(name, job), id=name, replace_existing=True)

    async def _run(self, name: str, job: Job) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        task.set_name(name)
        self._tasks.add(task)
        try:
            result = job()
            if inspect.isawaitable(result):
                await result
        finally:
            self._tasks.discard(task)


class _Carrier(AsyncIOScheduler):  # type: ignore[misc]  # apscheduler has no types
    """APScheduler that survives a step of the wall clock and does not spin on uvloop."""

    def __init__(self, clock: Clock) -> None:
        quiet = logging.getLogger("apscheduler")
        quiet.setLevel(logging.WARNING)  # each run at INFO would drown what a person reads
        super().__init__(
            timezone=UTC,
            logger=quiet,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._clock = clock
        self._ahead = clock.time() - clock.monotonic()

    def _process_jobs(self) -> Any:
        ahead = self._clock.time() - self._clock.monotonic()
        step, self._ahead = ahead - self._ahead, ahead
        if abs(step) >= STEP:
            log.warning("wall clock was stepped", extra=fields(seconds=round(step, 3)))
            self._anchor(timedelta(seconds=step))
        return super()._process_jobs()

    def _anchor(self, step: timedelta) -> None:
        """Move intervals along with the step; let calendars go on from the new time."""
        now = datetime.now(UTC)
        for job in self.get_jobs():
            if job.next_run_time is not None:
                interval = isinstance(job.trigger, IntervalTrigger)
                job.modify(
                    next_run_time=job.next_run_time + step
                    if interval
                    else job.trigger.get_next_fire_time(None, now)
                )

    def _start_timer(self, wait_seconds: float | None) -> None:
        # uvloop rounds to milliseconds: a timer that is early finds nothing due and is set to 0
        # again and again until the moment comes.
        super()._start_timer(None if wait_seconds is None else wait_seconds + SHORTEST)
