"""The circuit breaker that applications and the daemon hold.

Rule: every public name of a breaker is here; what it does is in the modules beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from cbmon.breaker import arguments, blocks, commands
from cbmon.breaker import snapshot as snapshots
from cbmon.breaker.blocks import Call
from cbmon.breaker.clock import SYSTEM_CLOCK, Clock
from cbmon.breaker.core import Core, Listener
from cbmon.breaker.counts import Counts, Glance, glance
from cbmon.breaker.explain import describe, explain
from cbmon.breaker.gate import refresh, reshape
from cbmon.breaker.histogram import Histogram
from cbmon.breaker.machine import Machine
from cbmon.breaker.permits import count_success, given, hand_out, take_back
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.settings import check_policy, merged
from cbmon.breaker.states import State, Trigger
from cbmon.breaker.unique import Unique
from cbmon.breaker.wrapping import bare, wrap

P = ParamSpec("P")
R = TypeVar("R")

DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class CircuitBreaker(Unique):
    """Admits calls while the target is well, rejects them while it is not, and tries again.

    ``policy_fields`` replace single fields of ``policy``. ``seed`` makes jitter reproducible.
    ``listeners`` hear every event unless they carry an attribute ``kinds``. ``fallback(error)``
    gives the value for a rejected or failed call. Raises ValueError for a bad field or state and
    for a name that is not 1 to 300 printable characters, TypeError for a field that there is not
    and for arguments of the wrong type. A field that the kind has no use for is a BreakerWarning.
    """

    __slots__ = ("__weakref__", "_core", "category")

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy | None = None,
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        listeners: Iterable[Listener] = (),
        fallback: Callable[[Any], Any] | None = None,
        initial_state: str = "closed",
        category: str = "app",
        **policy_fields: Any,
    ) -> None:
        arguments.check_name(name)
        if not isinstance(category, str):
            arguments.refuse_type("category", category, "a string")
        if fallback is not None and not callable(fallback):
            raise TypeError(f"fallback: {fallback!r} is not callable; expected fallback(error)")
        if clock is not None:
            arguments.check_clock(clock)
        arguments.check_seed(seed)
        chosen = merged(policy, policy_fields)
        machine = Machine(name, chosen, seed, arguments.state_of(initial_state, "initial_state"))
        self._core = Core(machine, SYSTEM_CLOCK if clock is None else clock, fallback)
        self.category = category
        if machine.state is State.OPEN:
            self._core.do(Machine.begin_open)
        for listener in arguments.several(listeners, "listeners", "functions"):
            self.add_listener(listener, getattr(listener, "kinds", None))

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self._core.machine.state}>"

    # --- what it is ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name given to it; the ``component`` label."""
        return self._core.machine.name

    @property
    def policy(self) -> BreakerPolicy:
        """The policy in force."""
        return self._core.machine.policy

    @property
    def state(self) -> State:
        """The state now; a deadline that has passed shows without a call."""
        self.poll()
        return self._core.machine.state

    @property
    def retry_after(self) -> float | None:
        """Seconds until a call may try; 0.0 means now, None means not by itself."""
        self.poll()
        return self._core.machine.retry_after

    @property
    def next_deadline(self) -> float | None:
        """When the state moves by itself, in the clock's monotonic seconds; None if never."""
        return self._core.machine.next_deadline

    @property
    def counts(self) -> Counts:
        """The numbers of this moment."""
        return self._core.look(_counts)

    @property
    def version(self) -> int:
        """A number that has grown whenever anything but time alone has changed the numbers."""
        machine = self._core.machine
        return machine.version + machine.successes

    def glance(self) -> Glance:
        """What every call changes of :attr:`counts`, far cheaper. The event loop or thread that
        asks should be the one that calls: no lock is taken."""
        self.poll()
        core = self._core
        running = len(core.owners) + (core.machine.inside is not None)
        return glance(core.machine, core.machine.successes, running)

    @property
    def listener_errors(self) -> int:
        """How many times a listener raised."""
        return self._core.listener_errors

    def get_state(self) -> dict[str, Any]:
        """What a status page shows, JSON-able; times are Unix seconds."""
        return self._core.look(describe)

    def explain(self) -> str:
        """Why it is in this state, in words."""
        return self._core.look(explain)

    # --- around a call ---------------------------------------------------------------------

    def call(self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``func`` through the breaker; an awaitable when ``func`` is async.

        Raises what ``func`` raises, and :class:`CircuitOpenError` when rejected, unless there is
        a fallback. The call that trips the breaker raises its own exception.
        """
        return cast("R", bare(self._core, func)(*args, **kwargs))

    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]:
        """Decorate ``func``: the same kind of function, the same signature."""
        return wrap(self._core, func)

    def __enter__(self) -> Call:
        return blocks.enter(self._core)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            blocks.leave(self._core, error)
        except BaseException:
            blocks.abandon(self._core)
            raise

    __aenter__ = blocks.aenter
    __aexit__ = blocks.aexit

    # --- driving it ------------------------------------------------------------------------

    def try_acquire(self) -> int | None:
        """A permit to call, or None: rejected and counted. A permit must be given back by
        :meth:`record` or :meth:`release`, once."""
        core = self._core
        plain = hand_out(core)
        if plain is not None:
            return plain
        with core.lock:
            machine = core.advance()
            generation = machine.acquire(alone=core.is_empty())
            permit = given(core, generation) if generation else None
            refresh(machine)
        core.tell()
        return permit

    def record(
        self,
        permit: int,
        *,
        failed: bool,
        duration: float | None = None,
        reason: str | None = None,
        error: str | None = None,
    ) -> None:
        """The outcome of an admitted call, which took ``duration`` seconds. Raises ValueError for
        a permit of another breaker, and for one that has been given back."""
        core = self._core
        if not failed and count_success(core, permit, duration):
            return
        with core.lock:
            generation = take_back(core, permit)
            machine = core.advance()
            core.count_outcome(generation, duration, failed=failed, reason=reason, error=error)
            refresh(machine)
        core.tell()

    def release(self, permit: int, *, ignored: bool = False) -> None:
        """The admitted call ended without a verdict: cancelled, or ignored. Raises ValueError as
        :meth:`record` does."""
        core = self._core
        with core.lock:
            generation = take_back(core, permit)
            machine = core.advance()
            machine.release(generation, ignored=ignored)
            refresh(machine)
        core.tell()

    def poll(self) -> None:
        """Do what is due, if anything is."""
        core = self._core
        if core.machine.next_deadline is not None:
            core.do(_nothing)

    # --- moving it by hand -----------------------------------------------------------------

    def reset(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Closed and as new, whatever it was; calls under way become stale."""
        self._core.do(commands.reset, actor, reason)

    def close(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Closed, with empty windows. Raises InvalidTransitionError when disabled."""
        self._core.do(commands.go, Trigger.CLOSE, actor, reason)

    def open(
        self,
        for_seconds: float | None = None,
        *,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Open, for the backoff's wait or for just ``for_seconds``, which is no opening for the
        backoff. Raises InvalidTransitionError when disabled, ValueError for a bad number."""
        self._core.do(commands.open_for, for_seconds, actor, reason)

    def half_open(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Let trial calls through now. Raises InvalidTransitionError unless open."""
        self._core.do(commands.go, Trigger.HALF_OPEN, actor, reason)

    def force_open(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Reject all until released. Raises InvalidTransitionError when disabled."""
        self._core.do(commands.go, Trigger.FORCE_OPEN, actor, reason)

    def force_close(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Admit all and record nothing. Raises InvalidTransitionError when disabled."""
        self._core.do(commands.go, Trigger.FORCE_CLOSE, actor, reason)

    def observe(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Admit and record all, never trip. Raises InvalidTransitionError when disabled."""
        self._core.do(commands.go, Trigger.OBSERVE, actor, reason)

    def disable(self, *, actor: str | None = None, reason: str | None = None) -> None:
        """Take it out of service until :meth:`enable` or :meth:`reset`."""
        self._core.do(commands.go, Trigger.DISABLE, actor, reason)

    def enable(
        self,
        reset_counters: bool = True,
        *,
        actor: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Back into service: closed and as new, or half-open with its cycles kept, for one more
        chance. Does nothing on a breaker that is not disabled."""
        self._core.do(commands.enable, actor, reason, anew=reset_counters)

    def reconfigure(
        self, policy: BreakerPolicy, *, actor: str | None = None, reason: str | None = None
    ) -> None:
        """Another policy from now on; state, counters, listeners and what fits of the window
        stay. A shorter wait shortens a running one, a longer one does not lengthen it. Raises
        TypeError for what is no BreakerPolicy."""
        check_policy(policy)
        self._core.do(commands.reconfigure, policy, actor, reason)

    def hold(self, seconds: float, *, margin: float, soonest: float) -> None:
        """Keep an open breaker open for ``seconds``, where somebody else is expected to end it
        before the last ``margin`` of them. ``retry_after`` tells the wait without the margin, and
        at least ``soonest``. Nothing happens unless it is open. Raises ValueError for numbers
        below 0."""
        for name, value in (("seconds", seconds), ("margin", margin), ("soonest", soonest)):
            if not value >= 0:
                raise ValueError(f"{name}: {value!r} is not allowed; expected a number >= 0")
        self._core.do(commands.hold, seconds, margin=margin, soonest=soonest)

    def follow(self, *, openings: int, cycles: int) -> None:
        """Go on with a series of openings that was begun elsewhere, by another instance for
        one: the next wait and the next failed cycle count from these. Raises ValueError for
        numbers below 0."""
        self._core.do(commands.follow, openings, cycles)

    # --- keeping and watching it -----------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Everything that must survive a restart, JSON-able."""
        core = self._core
        with core.lock:
            machine = core.advance()
            data = snapshots.take(machine)
            refresh(machine)
        core.tell()
        return data

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says. A corrupt one gives a closed breaker and a ``reset``
        event that says why; nothing is raised."""
        self._core.do(snapshots.put, snapshot)

    def add_listener(self, listener: Listener, kinds: Iterable[str] | None = None) -> None:
        """Call ``listener(event)`` outside any lock, in order, for these kinds of event (None:
        all). One that raises is logged and counted. Raises ValueError for an unknown kind,
        TypeError for what cannot be called."""
        self._core.listen(listener, kinds)

    def remove_listener(self, listener: Listener) -> None:
        """It hears nothing more. Raises ValueError if it does not listen."""
        self._core.unlisten(listener)

    def enable_duration_histogram(self, buckets: Iterable[float] = DURATION_BUCKETS) -> None:
        """Measure every call from now on, in buckets of these upper bounds (seconds)."""
        core = self._core
        with core.lock:
            if core.histogram is None:
                core.histogram = Histogram(tuple(buckets))
                core.advance().observed = True
                reshape(core.machine)
                refresh(core.machine)


def _counts(_machine: Machine, counts: Counts) -> Counts:
    return counts


def _nothing(_machine: Machine) -> None:
    """Coming to the clock's time is all that a poll does."""
