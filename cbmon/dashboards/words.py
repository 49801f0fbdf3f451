"""What a number is called and which colour it has, the same on every dashboard.

Rule: never a colour without its word. "No data" is a value of its own (``NO_DATA``) and not a
gap, because a state timeline draws the last state through a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cbmon.breaker import State

Json = dict[str, Any]

NO_DATA: Final = -1
GREY: Final = "#8e8e8e"
RED: Final = "red"
ORANGE: Final = "orange"
GREEN: Final = "green"
BLUE: Final = "blue"
PURPLE: Final = "purple"

WORDS: Final[Mapping[State, tuple[int, str, str]]] = {
    State.CLOSED: (1, "closed", GREEN),
    State.OBSERVE: (2, "observe", BLUE),
    State.FORCED_CLOSED: (3, "forced closed", BLUE),
    State.HALF_OPEN: (4, "half-open", ORANGE),
    State.OPEN: (5, "open", RED),
    State.FORCED_OPEN: (6, "forced open", PURPLE),
    State.DISABLED: (7, "disabled", PURPLE),
}
"""Each state with a number, so that a timeline can show all seven; the worst has the largest."""


def mapping(*entries: tuple[float, str, str]) -> list[Json]:
    """Value mappings: each number with its word and colour, and "no data" for all that is none."""
    options = {
        f"{value:g}": {"color": color, "index": index, "text": text}
        for index, (value, text, color) in enumerate(entries)
    }
    nothing = {"color": GREY, "index": len(entries), "text": "no data"}
    return [
        {"options": options, "type": "value"},
        {"options": {"match": "null+nan", "result": nothing}, "type": "special"},
    ]


STATE: Final = mapping(
    (State.OPEN.gauge, "open", RED),
    (State.HALF_OPEN.gauge, "half-open", ORANGE),
    (State.CLOSED.gauge, "closed", GREEN),
    (NO_DATA, "no data", GREY),
)
"""For ``circuit_breaker_state``."""
EVERY_STATE: Final = mapping(*WORDS.values(), (NO_DATA, "no data", GREY))
"""For the numbers of WORDS."""
UP: Final = mapping((0, "down", RED), (1, "up", GREEN), (NO_DATA, "no data", GREY))
APPLICATION: Final = mapping((0, "silent", RED), (1, "reports", GREEN), (NO_DATA, "no data", GREY))
"""For ``cbmon_app_up``."""
YES_NO: Final = mapping((0, "no", RED), (1, "yes", GREEN))
