"""What a person at the command line can mend."""

from __future__ import annotations

from typing import Final

FINE: Final = 0
BAD_NEWS: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3


class CommandError(Exception):
    """Ends a command: one message, lower case, with the next step, and an exit code."""

    def __init__(self, message: str, exit_code: int = BAD_NEWS) -> None:
        super().__init__(message)
        self.exit_code = exit_code
