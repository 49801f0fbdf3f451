"""Transitions as log lines: ``CircuitBreaker(…, listeners=[log_transitions])``.

Rule: one constant phrase plus key=value. WARNING when calls are rejected from now on, INFO
otherwise. Nothing else imports this module: logging costs a third of the library's import.
"""

from __future__ import annotations

import logging

from cbmon.breaker.events import TransitionEvent

_LOG = logging.getLogger("cbmon.breaker")


def log_transitions(event: TransitionEvent) -> None:
    """Log one transition with its cause, to the logger ``cbmon.breaker``."""
    level = logging.INFO if event.to_state.gauge else logging.WARNING
    actor = f" actor={event.actor}" if event.actor else ""
    _LOG.log(
        level,
        'breaker moved name=%s from=%s to=%s cause=%s text="%s"%s',
        event.name,
        event.from_state,
        event.to_state,
        event.cause,
        event.text,
        actor,
    )


log_transitions.kinds = ("transition",)  # type: ignore[attr-defined]
