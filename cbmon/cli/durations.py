"""Durations on the command line: ``30s``, ``1h30m`` or a bare number of seconds.

Rule: every option that takes a time takes it like this, as the configuration does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from cbmon.cli.problem import USAGE, CommandError

if TYPE_CHECKING:
    Base = click.ParamType[float]
else:
    Base = click.ParamType  # click 8.1 has no generic one

YEAR: Final = 366 * 86_400.0


class Duration(Base):
    """Seconds from ``low`` to ``high``; with ``above``, more than ``low``."""

    name = "duration"

    def __init__(self, low: float = 0.0, high: float = YEAR, *, above: bool = False) -> None:
        self._low = low
        self._high = high
        self._above = above

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds that a word means; CommandError names the option."""
        del ctx
        from cbmon.config.units import format_duration, parse_duration

        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise _wrong(param, str(error)) from error
        if self._low <= seconds <= self._high and not (self._above and seconds == self._low):
            return seconds
        low, high = format_duration(self._low), format_duration(self._high)
        words = f"more than {low} and at most {high}" if self._above else f"from {low} to {high}"
        raise _wrong(param, f"expected {words}, got {value!r}")


def _wrong(param: click.Parameter | None, message: str) -> CommandError:
    name = param.opts[0] if param is not None else "duration"
    return CommandError(f"{name}: {message}", USAGE)
