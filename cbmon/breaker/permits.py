"""Permits for drivers: who gave them, and whether they are still out.

Rule: a permit is given back once, to the breaker that gave it; anything else is refused and
changes nothing. Guarded calls have their permits inside and need none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbmon.breaker.unique import Unique

if TYPE_CHECKING:
    from cbmon.breaker.core import Core


class Permit(Unique, int):
    """The generation that a call was admitted in; ``giver`` is None when it has been given back."""

    giver: Core | None = None


def hand_out(core: Core) -> Permit | None:
    """A permit without the lock, where that is possible (:mod:`cbmon.breaker.lanes`)."""
    machine = core.machine
    generation = machine.free
    if not generation:
        return None
    permit = Permit(generation)
    permit.giver = core
    if machine.free == generation:  # at once
        machine.out += 1
        machine.version += 1
        return permit
    return None


def count_success(core: Core, permit: object, duration: float | None) -> bool:
    """Take a permit back with a plain success, unless that takes the lock."""
    machine = core.machine
    if machine.learner is not None or (duration is not None and not duration <= machine.limit):
        return False
    now = core.monotonic() if machine.reads else 0.0
    if (  # at once
        permit.__class__ is Permit
        and permit.giver is core
        and (
            machine.calm == permit
            or (
                machine.brisk == permit
                and (now < machine.until or machine.successes < machine.last)
            )
        )
    ):
        permit.giver = None
        machine.out -= 1
        machine.successes += 1
        return True
    return False


def given(core: Core, generation: int) -> Permit:
    """A permit that is out from now on; hold the lock."""
    permit = Permit(generation)
    permit.giver = core
    core.machine.out += 1
    return permit


def take_back(core: Core, permit: object) -> int:
    """The generation of a permit that is out no more; hold the lock. Raises ValueError."""
    if not isinstance(permit, Permit) or permit.giver is not core:
        name = core.machine.name
        raise ValueError(
            f"permit: {permit!r} is none that circuit breaker {name!r} waits for; expected what "
            "its try_acquire() gave, once"
        )
    permit.giver = None
    if core.machine.out:  # else it was handed out before a fork
        core.machine.out -= 1
    return int(permit)
