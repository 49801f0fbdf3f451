"""What the page shows of one component, ready to be written into a template.

Rule: pure; a template only places what is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cbmon.breaker import State
from cbmon.model import Result
from cbmon.web import timeline, views
from cbmon.web.moves import Moves
from cbmon.web.services import ComponentView
from cbmon.web.words import STATES, StateWords

HOUR: Final = 3600.0
HEALTHY_NAMES: Final = frozenset(state.value for state in views.HEALTHY)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One component on the page."""

    view: ComponentView
    state: str
    words: StateWords
    wait_label: str
    """What the countdown leads to; empty without one."""
    wait_seconds: float | None
    reason: str | None
    error: str | None
    failing: bool
    """Its last run failed, whatever the breaker makes of it."""
    parts: Sequence[timeline.Part]
    share: float | None
    last_run_ago: float | None
    since: float | None
    """When it came into the present state."""
    cycles: int
    moved_by: str
    """What a person said who put it into this state; empty when it moved by itself."""
    failures: str
    """How far it is from opening; empty when its last run was fine."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.view.info.name

    @property
    def last(self) -> Result | None:
        """Its last run."""
        return self.view.last

    @property
    def quiet(self) -> bool:
        """Nothing about it asks for attention."""
        return self.state in HEALTHY_NAMES and not self.failing


def card(
    view: ComponentView,
    *,
    now: float,
    next_run_in: float | None,
    moves: Moves,
    started_at: float,
    span: float = HOUR,
) -> Card:
    """A component's card with a history of ``span`` seconds; ``moves`` may hold others' too."""
    state = view.breaker.state
    label, seconds = _wait(view, state, next_run_in)
    its = view.breaker.get_state()
    failing = view.last is not None and not view.last.ok
    rows = moves.by_component.get(view.info.name, [])
    known_since = min(float(rows[-1]["at"]), started_at) if rows else started_at
    stretch = timeline.parts(
        rows,
        state=state.value,
        now=now,
        span=span,
        known_since=max(known_since, moves.complete_since),
        absences=moves.absences,
    )
    troubled = failing or state not in views.HEALTHY
    return Card(
        view=view,
        state=state.value,
        words=STATES[state],
        wait_label=label,
        wait_seconds=seconds,
        reason=its["last_failure_reason"] if troubled else None,
        error=its["last_error"] if troubled else None,
        failing=failing,
        parts=stretch,
        share=timeline.share(stretch, HEALTHY_NAMES),
        last_run_ago=None if view.last_run_at is None else max(0.0, now - view.last_run_at),
        since=its["last_transition_at"],
        cycles=its["failure_cycles"],
        moved_by=_moved_by(rows, state),
        failures=_failures(view, its) if failing else "",
    )


def _moved_by(rows: Sequence[Row], state: State) -> str:
    latest = rows[0] if rows else {}
    if not latest.get("actor") or latest.get("to_state") != state.value:
        return ""
    return f"{latest['text']} ({latest['actor']})"


def _failures(view: ComponentView, its: dict[str, Any]) -> str:
    policy, count = view.breaker.policy, its["failure_count"]
    if view.breaker.state is not State.CLOSED:
        return ""
    if policy.kind == "count":
        return f"{count} of {policy.failure_threshold} failures in a row"
    return f"{count} failures in the window"


def _wait(view: ComponentView, state: State, next_run_in: float | None) -> tuple[str, float | None]:
    if state is State.OPEN:
        return "next trial", view.breaker.retry_after
    if state in {State.FORCED_OPEN, State.DISABLED}:
        return "", None
    if next_run_in is None:
        return "", None
    return ("next trial" if state is State.HALF_OPEN else "next run"), next_run_in
