"""The page ``docs/breaker-states.md``, drawn from the table of moves.

Rule: the page is written by this module only; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

from cbmon.breaker.states import BY_HAND, MEANING, MOVES, State, Trigger

_HEAD: Final = """\
# The states of a breaker

*Written by `python -m cbmon.breaker.diagram > docs/breaker-states.md` from the table of moves in
`cbmon/breaker/states.py`; a test fails when the two differ. A move that is not here raises
`InvalidTransitionError` and changes nothing; a move to the present state does nothing.*

"""


def page() -> str:
    """The whole page."""
    return f"{_HEAD}{_states()}\n## What it does by itself\n\n{drawing()}\n{_by_hand()}"


def drawing() -> str:
    """The moves that need no person, as a Mermaid state diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> closed"]
    for source, moves in MOVES.items():
        targets: dict[State, list[str]] = {}
        for trigger, target in moves.items():
            if trigger not in BY_HAND:
                targets.setdefault(target, []).append(trigger.replace("_", " "))
        lines.extend(
            f"    {source} --> {target}: {', '.join(triggers)}"
            for target, triggers in targets.items()
        )
    return "\n".join([*lines, "```", ""])


def _states() -> str:
    rows = [f"| `{state}` | {state.gauge:g} | {MEANING[state]} |\n" for state in State]
    return f"| state | gauge | what it does |\n|---|---|---|\n{''.join(rows)}"


def _by_hand() -> str:
    triggers = [trigger for trigger in Trigger if trigger in BY_HAND]
    head = " | ".join(f"`{trigger}`" for trigger in triggers)
    rows = []
    for state, moves in MOVES.items():
        cells = [f"{moves[each]}" if each in moves else "" for each in triggers]
        rows.append(f"| `{state}` | {' | '.join(cells)} |\n")
    return (
        "## What a person does\n\n"
        f"| from | {head} |\n|---|{'---|' * len(triggers)}\n{''.join(rows)}\n"
        "`enable` is `enable(reset_counters=True)`, `enable_on_trial` is\n"
        "`enable(reset_counters=False)`: half-open with its cycles kept, one more chance.\n"
    )


if __name__ == "__main__":  # pragma: no cover - the test calls page()
    import sys

    sys.stdout.write(page())
