"""The colour of a message, the same in every channel.

Rule: red goes on, green is over, grey is about something that is not watched any more.
"""

from __future__ import annotations

from enum import Enum

from cbmon.model import Message
from cbmon.notify.receivers.wording import is_over


class Colour(Enum):
    """As ``#rrggbb``."""

    RED = "#d92d20"
    GREEN = "#12b76a"
    GREY = "#667085"

    @property
    def number(self) -> int:
        """As 24 bits."""
        return int(self.value[1:], 16)

    @property
    def mark(self) -> str:
        """As a circle that every font has."""
        return {"RED": "\U0001f534", "GREEN": "\U0001f7e2", "GREY": "\u26aa"}[self.name]


def colour_of(message: Message) -> Colour:
    """The colour of a message."""
    if message.kind == "withdrawn":
        return Colour.GREY
    return Colour.GREEN if is_over(message) else Colour.RED
