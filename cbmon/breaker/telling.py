"""Making events of what a machine did.

Rule: an event that nobody listens to is not made, nor are its classes imported: making them costs
more than any other part of ``import cbmon``. ``forced_closed`` tells transitions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbmon.breaker.states import State

if TYPE_CHECKING:
    from cbmon.breaker.events import BreakerEvent
    from cbmon.breaker.machine import Machine
    from cbmon.breaker.parts import LastMove
    from cbmon.breaker.verdicts import Finding


def tell_call(
    machine: Machine,
    kind: str,
    duration: float | None = None,
    reason: str | None = None,
    error: str | None = None,
) -> None:
    """A call ended, or was rejected."""
    if kind in machine.heard and machine.state is not State.FORCED_CLOSED:
        from cbmon.breaker.events import CallEvent

        _keep(
            machine,
            CallEvent(
                kind=kind,
                name=machine.name,
                at=machine.now + machine.offset,
                state=machine.state,
                duration=duration,
                reason=reason,
                error=error,
            ),
        )


def tell_rate(machine: Machine, finding: Finding) -> None:
    """A rate is at its threshold."""
    if finding.event in machine.heard:
        from cbmon.breaker.events import RateEvent

        _keep(
            machine,
            RateEvent(
                kind=finding.event,
                name=machine.name,
                at=machine.now + machine.offset,
                state=machine.state,
                rate=finding.rate,
                threshold=finding.threshold,
                calls=finding.calls,
            ),
        )


def tell_move(machine: Machine, move: LastMove) -> None:
    """The machine has just made this move."""
    if "transition" not in machine.heard:
        return
    from cbmon.breaker.events import TransitionEvent

    last, opening = machine.last_failure, machine.opening
    _keep(
        machine,
        TransitionEvent(
            kind="transition",
            name=machine.name,
            at=move.at,
            from_state=move.source,
            to_state=machine.state,
            cause=move.cause,
            text=move.text,
            actor=move.actor,
            reason=move.reason,
            last_reason=None if last is None else last.reason,
            last_error=None if last is None else last.error,
            failure_count=machine.kept_failures,
            cycles=machine.cycles,
            retry_after=None if opening is None else opening.left(opening.at),
        ),
    )


def tell_reset(machine: Machine, actor: str | None, reason: str | None) -> None:
    """Somebody reset it, or a snapshot was corrupt."""
    if "reset" in machine.heard:
        from cbmon.breaker.events import ResetEvent

        at = machine.now + machine.offset
        _keep(
            machine,
            ResetEvent(kind="reset", name=machine.name, at=at, actor=actor, reason=reason),
        )


def tell_reconfigured(machine: Machine, actor: str | None, reason: str | None) -> None:
    """Another policy is in force."""
    if "reconfigured" in machine.heard:
        from cbmon.breaker.events import ReconfiguredEvent

        _keep(
            machine,
            ReconfiguredEvent(
                kind="reconfigured",
                name=machine.name,
                at=machine.now + machine.offset,
                policy=machine.policy,
                actor=actor,
                reason=reason,
            ),
        )


def _keep(machine: Machine, event: BreakerEvent) -> None:
    if machine.events is None:
        machine.events = [event]
    else:
        machine.events.append(event)
