"""A call whose end may be somewhere else than its beginning: a request and its body, a stream.

Rules:

* A permit taken is given back once: by a verdict, by a cancellation, or by the collector when
  whoever held the call has dropped it.
* A call made inside another one of the same breaker passes uncounted (rule R20 of the engine).
* The policy is asked before the client's judge: its ``ignored_exceptions`` and
  ``expected_exceptions`` hold here too, and its ``is_failure`` replaces the judge of results.
"""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any, Final, ParamSpec, TypeVar

from cbmon.breaker import BreakerWarning, CircuitBreaker, CircuitOpenError, State
from cbmon.breaker.arguments import refuse_type, shown
from cbmon.breaker.identity import is_inside
from cbmon.breaker.lanes import count_success
from cbmon.breaker.outcomes import Outcome, classify, in_words
from cbmon.breaker.registry import BreakerRegistry
from cbmon.integrations.verdicts import ANSWERED, NEUTRAL, TIMEOUT, Verdict

P = ParamSpec("P")
R = TypeVar("R")

Breakers = CircuitBreaker | BreakerRegistry
"""One breaker for every call of a client, or a registry with one for each key."""
Judge = Callable[[BaseException], Verdict]
"""What an exception says of the target."""
Refusal = Callable[[str, State, float | None], CircuitOpenError]
"""Makes the client's own kind of rejection from name, state and seconds to wait. Its attribute
``late``, if it has one, makes the client's own kind of TimeoutError for ``call_timeout``."""

_MOVABLE: Final = frozenset({State.CLOSED, State.HALF_OPEN, State.OPEN})
"""The states that the breaker decides by itself: others a person has set."""
_REFUSING: Final = frozenset({State.OPEN, State.FORCED_OPEN, State.DISABLED})


class HeldCall:
    """One admitted call. The first verdict counts, later ones do nothing."""

    __slots__ = ("_begun", "_breaker", "_paused", "_permit", "_refusal", "_token", "timed")

    def __init__(
        self,
        breaker: CircuitBreaker,
        permit: int,
        refusal: Refusal | None = None,
        token: object = None,
    ) -> None:
        core = breaker._core  # noqa: SLF001 - the shell's own registration, which is what is cheap
        self._breaker = breaker
        self._permit = permit
        self._refusal = refusal
        self._begun: float | None = None
        self._paused: float | None = None
        self._token = token
        self.timed = core.machine.timed
        if permit:
            if token is None:
                self._token = object()
                core.owners[self._token] = None
            if self.timed:
                self._begun = core.monotonic()

    @property
    def open(self) -> bool:
        """Whether it still waits for its verdict."""
        return bool(self._permit)

    @property
    def limited(self) -> bool:
        """Whether ``call_timeout`` holds for it: for a counted call, and for one that is let
        through uncounted because it ends something; not for one inside another."""
        return bool(self._permit) or self._refusal is not None

    # --- its clock -------------------------------------------------------------------------

    def pause(self) -> None:
        """From here on the target is not what takes the time."""
        if self._begun is not None and self._paused is None:
            self._paused = self._breaker._core.monotonic()  # noqa: SLF001

    def resume(self) -> None:
        """The target is at work again."""
        if self._begun is not None and self._paused is not None:
            self._begun += self._breaker._core.monotonic() - self._paused  # noqa: SLF001
            self._paused = None

    def untimed(self) -> None:
        """How long it takes is the caller's wish: a blocking read, a subscription."""
        self._begun = None

    # --- its end ---------------------------------------------------------------------------

    def answered(self) -> None:
        """The target did what it is for."""
        permit = self._permit
        self._permit = 0  # at once, so that two threads cannot both end it
        if not permit:
            return
        if self._paused is not None:
            self.resume()
        core = self._breaker._core  # noqa: SLF001
        if not count_success(core, self._token, permit, self._begun):
            core.record(self._token, permit, self._begun, failed=False)

    def end(self, verdict: Verdict, error: str | None = None) -> None:
        """What came of it; ``error`` tells a failure in words."""
        if verdict is ANSWERED:
            self.answered()
            return
        permit = self._permit
        self._permit = 0
        if not permit:
            return
        self.resume()
        core = self._breaker._core  # noqa: SLF001
        if verdict is NEUTRAL:
            core.release(self._token, permit, ignored=True)
        else:
            core.record(
                self._token, permit, self._begun, failed=True, reason=verdict.reason, error=error
            )

    def give_back(self) -> None:
        """It ended without a verdict: cancelled, or dropped."""
        permit = self._permit
        self._permit = 0
        if permit:
            self._breaker._core.release(self._token, permit)  # noqa: SLF001

    def raised(self, error: BaseException, judge: Judge) -> None:
        """It ended with an exception."""
        outcome = classify(self._breaker.policy, error)
        if outcome is Outcome.FAILURE:
            self.end(judge(error), in_words(error))
        elif outcome is Outcome.SUCCESS:
            self.answered()
        elif outcome is Outcome.IGNORED:
            self.end(NEUTRAL)
        else:
            self.give_back()

    def late(self) -> TimeoutError:
        """The policy's ``call_timeout`` ran out: a failure, as the client's own kind of error."""
        breaker = self._breaker
        seconds = breaker.policy.call_timeout
        make: Callable[[str], TimeoutError] = getattr(self._refusal, "late", TimeoutError)
        error = make(f"no answer within the {seconds} s of circuit breaker {breaker.name!r}")
        self.end(TIMEOUT, in_words(error))
        return error

    def said(self, result: object) -> Verdict | None:
        """What the policy's ``is_failure`` says of a result; None if it has none.

        When the predicate raises, the call is a failure and the caller gets its error.
        """
        predicate = self._breaker._core.machine.policy.is_failure  # noqa: SLF001
        if predicate is None or not self._permit:
            return None
        try:
            failed = bool(predicate(result))
        except Exception as error:
            self.end(Verdict("internal"), in_words(error))
            raise
        except BaseException:
            self.give_back()
            raise
        return Verdict("body") if failed else ANSWERED

    def refuse_for(self, seconds: float, why: str) -> None:
        """The target has said when to come back: open until then, unless it is longer already."""
        breaker = self._breaker
        state = breaker.state
        if state not in _MOVABLE:
            return
        if state is not State.OPEN or (breaker.retry_after or 0.0) < seconds:
            breaker.open(for_seconds=seconds, actor="target", reason=why)

    def wall(self) -> float:
        """Unix time by the breaker's clock."""
        return self._breaker._core.clock.time()  # noqa: SLF001

    def __del__(self) -> None:
        if getattr(self, "_permit", 0):
            self.give_back()


def admit(breaker: CircuitBreaker, refusal: Refusal) -> HeldCall:
    """Begin a call, or raise what ``refusal`` makes of the rejection."""
    core = breaker._core  # noqa: SLF001
    machine = core.machine
    if (machine.inside is not None or core.owners) and is_inside(core):
        return HeldCall(breaker, 0)
    permit = machine.free
    if permit:
        return HeldCall(breaker, permit, refusal)
    token = object()
    permit = core.enter(token)
    if permit:
        return HeldCall(breaker, permit, refusal, token)
    raise refusal(machine.name, machine.state, machine.retry_after)


def admit_unless_shut(breaker: CircuitBreaker, refusal: Refusal | None = None) -> HeldCall:
    """Begin a call that must not be refused: counted if the breaker admits, else not at all.

    With a ``refusal`` the policy's ``call_timeout`` ends it either way: what must not be refused
    must not wait for ever for a target that is known to be down.
    """
    core = breaker._core  # noqa: SLF001
    state, trials = breaker.state, core.machine.trials
    full = trials is not None and trials.admitted >= breaker.policy.trial_calls
    if state in _REFUSING or full:
        return HeldCall(breaker, 0, refusal)
    if permit := core.machine.free:
        return HeldCall(breaker, permit, refusal)
    token = object()
    return HeldCall(breaker, core.enter(token), refusal, token)


def tell_loss(breaker: CircuitBreaker, error: BaseException, judge: Judge) -> None:
    """What is no call of its own has raised: it counts only if it is the target's failure."""
    verdict = judge(error)
    if verdict is not ANSWERED and verdict is not NEUTRAL:
        admit_unless_shut(breaker).raised(error, judge)


def breaker_of(breakers: Breakers, key: str) -> CircuitBreaker:
    """The breaker of a key: asked for each call, since a registry may have evicted it."""
    return breakers if isinstance(breakers, CircuitBreaker) else breakers.get(key)


def checked(breakers: Any, unstoppable: str | None = None) -> Breakers:
    """TypeError for what is neither a breaker nor a registry.

    ``unstoppable`` names a client whose calls nobody can cut off, with what to use instead: a
    ``call_timeout`` is a warning then.
    """
    if not isinstance(breakers, CircuitBreaker | BreakerRegistry):
        hint = f"; CircuitBreaker({shown(breakers)}) is one" if isinstance(breakers, str) else ""
        refuse_type("breakers", breakers, f"a CircuitBreaker or a BreakerRegistry{hint}")
    if unstoppable is not None and breakers.policy.call_timeout is not None:
        text = f"call_timeout={breakers.policy.call_timeout} does nothing for {unstoppable}"
        warnings.warn(text, BreakerWarning, stacklevel=3)
    found: Breakers = breakers
    return found


def run(
    breaker: CircuitBreaker,
    refusal: Refusal,
    judge: Judge,
    func: Callable[P, R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Call ``func`` behind the breaker."""
    held = admit(breaker, refusal)
    try:
        result = func(*args, **kwargs)
    except BaseException as error:
        held.raised(error, judge)
        raise
    finish(held, result)
    return result


async def run_async(
    breaker: CircuitBreaker,
    refusal: Refusal,
    judge: Judge,
    func: Callable[P, Awaitable[R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Await ``func`` behind the breaker, under the policy's ``call_timeout`` if it has one."""
    held = admit(breaker, refusal)
    result = await awaited(held, judge, func, *args, **kwargs)
    finish(held, result)
    return result


async def awaited(
    held: HeldCall,
    judge: Judge,
    func: Callable[P, Awaitable[R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Await ``func`` for a held call; only its failure ends the call."""
    scope = held._breaker._core.timeout() if held.limited else None  # noqa: SLF001
    try:
        if scope is None:
            return await func(*args, **kwargs)
        async with scope:
            return await func(*args, **kwargs)
    except BaseException as error:
        if scope is not None and scope.expired() and isinstance(error, TimeoutError):
            raise held.late() from error
        held.raised(error, judge)
        raise


def finish(held: HeldCall, result: Any) -> None:
    """A call without a body ended with a result."""
    said = held.said(result)
    if said is None:
        held.answered()
    else:
        held.end(said, "is_failure said so")
