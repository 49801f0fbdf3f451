"""Events as log lines: the sink that a person reads with journalctl.

Rule: leaving closed is WARNING with its cause, a skip streak is WARNING once, the way back and
everything an operator does is INFO, a refused row of settings is WARNING, a refused configuration
is ERROR.
"""

from __future__ import annotations

import logging
from functools import singledispatch

from cbmon.events import (
    Action,
    Event,
    Reloaded,
    RunFailed,
    SettingsChanged,
    SkipStreak,
    Transition,
)
from cbmon.logs import fields

log = logging.getLogger(__name__)

_WORSE = frozenset({"open", "disabled"})


@singledispatch
def log_event(event: Event) -> None:
    """Write one line about an event."""
    log.info(event.kind, extra=fields(id=event.id))


@log_event.register
def _(event: Transition) -> None:
    level = logging.WARNING if event.to_state in _WORSE else logging.INFO
    log.log(
        level,
        "breaker moved",
        extra=fields(
            component=event.component,
            category=event.category,
            from_state=event.from_state,
            to_state=event.to_state,
            cause=event.cause,
            reason=event.reason,
            error=event.last_error if event.to_state in _WORSE else None,
            retry_after=event.retry_after,
            actor=event.actor,
            incident=event.incident,
        ),
    )


@log_event.register
def _(_: RunFailed) -> None:
    """Whoever wants each run has DEBUG; a failing one moves the breaker, and that is told."""


@log_event.register
def _(event: SkipStreak) -> None:
    log.warning(
        "runs are skipped",
        extra=fields(
            component=event.component,
            category=event.category,
            cause=event.cause,
            for_seconds=None if event.until is None else event.until - event.at,
        ),
    )


@log_event.register
def _(event: Action) -> None:
    by_hand = event.refused is not None and event.actor == "database"
    log.log(
        # Nobody waits for an answer to an edited row: the log has to be it.
        logging.WARNING if by_hand else logging.INFO,
        "operator acted" if event.refused is None else "operator was refused",
        extra=fields(
            component=event.component,
            action=event.action,
            actor=event.actor,
            reason=event.text or None,
            refused=event.refused,
            request=event.request,
        ),
    )


@log_event.register
def _(event: SettingsChanged) -> None:
    log.info(
        "settings changed",
        extra=fields(
            component=event.component,
            actor=event.actor,
            reason=event.text or None,
            changes=", ".join(f"{name}={after}" for name, (_, after) in event.changes.items()),
            request=event.request,
        ),
    )


@log_event.register
def _(event: Reloaded) -> None:
    if event.ok:
        counts = {name: len(getattr(event, name)) for name in ("added", "removed", "changed")}
        log.info("configuration reloaded", extra=fields(**counts))
        return
    for problem in event.problems:
        log.error("configuration refused", extra=fields(problem=problem))
