"""When the lanes are open, and what a machine is made of under its policy.

Rule: :func:`hold` closes the lanes and learns what they counted, :func:`refresh` opens those that
the state allows; between the two whoever holds the lock is alone with the machine. What the
lanes read is described in :mod:`cbmon.breaker.lanes`.
"""

from __future__ import annotations

import sys
from math import inf
from typing import TYPE_CHECKING, Final

from cbmon.breaker.adaptive import Learner
from cbmon.breaker.shedding import Shedding, sheds
from cbmon.breaker.states import State
from cbmon.breaker.verdicts import success_is_harmless
from cbmon.breaker.windows import CallWindow, TimeWindow, Window

if TYPE_CHECKING:
    from cbmon.breaker.machine import Machine
    from cbmon.breaker.policy import BreakerPolicy

HAS_GIL: Final[bool] = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether other threads wait for this one between calls: the lanes need that."""

LONG_AGO: Final = float("-inf")

LIVE: Final = frozenset({State.CLOSED, State.OBSERVE})
"""The states that admit and record all."""
_SHUT: Final = frozenset({State.OPEN, State.FORCED_OPEN, State.DISABLED})


def hold(machine: Machine) -> None:
    """Send every call to the lock until :func:`refresh`, and learn what the lanes counted."""
    machine.free = machine.door = machine.calm = machine.brisk = 0
    machine.shut = 0.0
    machine.until = LONG_AGO
    machine.last = 0
    machine.version += 1
    missed = machine.successes - machine.known
    if missed:
        machine.known = machine.successes
        if machine.window is not None:
            machine.window.catch_up(missed)
        if machine.learner is not None:
            machine.learner.catch_up(missed, baseline=machine.state is State.CLOSED)


def refresh(machine: Machine) -> None:
    """Open the lanes that the state allows."""
    machine.known = machine.successes
    if machine.state not in LIVE:
        if HAS_GIL and machine.state in _SHUT and "rejected" not in machine.heard:
            opening = machine.opening
            if opening is None:
                machine.shut = inf
            elif not opening.margin:  # else the wait that is told is not the deadline
                machine.shut = opening.until
        return
    shedding = machine.shedding
    if (
        HAS_GIL
        and machine.policy.call_timeout is None
        and (shedding is None or shedding.is_idle(machine.window))
    ):
        machine.free = machine.generation
        if machine.plain and not machine.timed:
            machine.door = machine.generation
    if machine.plain and not machine.high and not machine.run:
        _let_successes_pass(machine)


def _let_successes_pass(machine: Machine) -> None:
    window = machine.window
    if window is None or window.edge == inf:
        machine.calm = machine.generation
    elif success_is_harmless(machine):
        machine.brisk = machine.generation
        if isinstance(window, TimeWindow):
            machine.until = window.edge
        else:
            machine.last = machine.successes + int(window.edge)


def reshape(machine: Machine) -> None:
    """Set what depends on policy, window and listeners only."""
    policy = machine.policy
    machine.learner = learner_for(policy, machine.learner)
    if not sheds(policy):
        machine.shedding = None
    elif machine.shedding is None:
        machine.shedding = Shedding(policy, machine.seeded())
    else:
        machine.shedding.follow(policy)
    machine.timed = policy.measures or machine.observed
    machine.limit = inf if policy.slow_call_seconds is None else policy.slow_call_seconds
    machine.reads = machine.timed or isinstance(machine.window, TimeWindow)
    machine.plain = (
        HAS_GIL
        and not machine.observed
        and "success" not in machine.heard
        and policy.is_failure is None
    )


def window_for(policy: BreakerPolicy) -> Window | None:
    """An empty window of the kind that the policy needs."""
    if policy.kind == "count":
        return None
    if policy.kind == "percentage":
        return CallWindow(policy.window_size)
    return TimeWindow(policy.window_seconds)


def learner_for(policy: BreakerPolicy, old: Learner | None) -> Learner | None:
    """A learner if the policy needs one: the old one, under the new policy."""
    if policy.kind != "adaptive":
        return None
    if old is None:
        return Learner(policy)
    old.policy = policy
    return old
