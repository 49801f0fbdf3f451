"""What a person, or the daemon for one, does to a breaker.

Rules: a move to the present state does nothing; an impossible one raises and changes nothing;
from ``disabled`` only ``enable`` and ``reset`` lead out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbmon.breaker.gate import reshape, window_for
from cbmon.breaker.parts import Opening
from cbmon.breaker.states import State, Trigger
from cbmon.breaker.telling import tell_reconfigured, tell_reset
from cbmon.breaker.validation import LONGEST

if TYPE_CHECKING:
    from cbmon.breaker.machine import Machine
    from cbmon.breaker.policy import BreakerPolicy

_TARGET = {
    Trigger.CLOSE: State.CLOSED,
    Trigger.HALF_OPEN: State.HALF_OPEN,
    Trigger.FORCE_OPEN: State.FORCED_OPEN,
    Trigger.FORCE_CLOSE: State.FORCED_CLOSED,
    Trigger.OBSERVE: State.OBSERVE,
    Trigger.DISABLE: State.DISABLED,
}


def go(machine: Machine, trigger: Trigger, actor: str | None, reason: str | None) -> None:
    """Move by hand, unless the breaker is there already."""
    if machine.state is not _TARGET[trigger]:
        machine.move(trigger, text=_said(trigger, reason), actor=actor, reason=reason)


def reset(machine: Machine, actor: str | None, reason: str | None) -> None:
    """Closed, with window, run, cycles and backoff as new; calls under way become stale."""
    if machine.state is not State.CLOSED:
        machine.move(Trigger.RESET, text=_said(Trigger.RESET, reason), actor=actor, reason=reason)
    else:
        machine.begin_anew()
    if machine.learner is not None:
        machine.learner.forget()
    tell_reset(machine, actor, reason)


def open_for(
    machine: Machine, seconds: float | None, actor: str | None, reason: str | None
) -> None:
    """Open: by the backoff, or for just so many seconds, which counts as no opening."""
    if seconds is not None and not (_is_number(seconds) and 0 < seconds <= LONGEST):
        bound = f"a finite number > 0 and <= {LONGEST:.0f}"
        raise ValueError(f"for_seconds: {seconds!r} is not allowed; expected {bound}")
    if machine.state is not State.OPEN:
        text = _said(Trigger.OPEN, reason)
        machine.move(Trigger.OPEN, text=text, actor=actor, reason=reason, wait=seconds)
    elif seconds is not None:
        machine.opening = Opening(machine.now, machine.now + seconds, counted=False)


def hold(machine: Machine, until: float, *, margin: float, soonest: float) -> None:
    """Keep it open for so many seconds, the last ``margin`` of them for safety only."""
    if machine.state is State.OPEN:
        at = machine.now
        machine.opening = Opening(at, at + until, counted=False, margin=margin, soonest=soonest)


def enable(machine: Machine, actor: str | None, reason: str | None, *, anew: bool) -> None:
    """Back into service: as new, or half-open with the cycles kept."""
    if machine.state is State.DISABLED:
        trigger = Trigger.ENABLE if anew else Trigger.ENABLE_ON_TRIAL
        machine.move(trigger, text=_said(trigger, reason), actor=actor, reason=reason)


def reconfigure(
    machine: Machine, policy: BreakerPolicy, actor: str | None, reason: str | None
) -> None:
    """Another policy, the same history."""
    machine.policy = policy
    _refit(machine)
    opening = machine.opening
    if opening is not None and opening.counted:
        opening.until = min(opening.until, opening.at + machine.wait())
    tell_reconfigured(machine, actor, reason)
    reshape(machine)
    if machine.trials is not None:
        machine.judge_trials(machine.trials)


def follow(machine: Machine, openings: int, cycles: int) -> None:
    """Go on with a series of openings that others have begun."""
    for name, value in (("openings", openings), ("cycles", cycles)):
        if not (_is_number(value) and value >= 0 and value == int(value)):
            raise ValueError(f"{name}: {value!r} is not allowed; expected an integer >= 0")
    machine.openings, machine.cycles = openings, cycles


def _refit(machine: Machine) -> None:
    """A window of the new shape with as much of the old one as fits."""
    before, after = machine.window, window_for(machine.policy)
    if type(before) is type(after) and before is not None and after is not None:
        after.load(before.dump(machine.now, 0.0), machine.now, 0.0)
    machine.window = after


def _said(trigger: Trigger, reason: str | None) -> str:
    return f"{trigger.replace('_', ' ')} by hand" + (f": {reason}" if reason else "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
