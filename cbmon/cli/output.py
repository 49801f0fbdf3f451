"""How a command shows things: a table on a terminal, plain columns in a pipe, JSON for machines.

Rule: what is piped has no colour and no frame, one entry a line, columns separated by tabs.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from cbmon.cli.durations import Duration
from cbmon.cli.problem import UNREACHABLE, CommandError

T = TypeVar("T")
_OBEYED: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and line feed, reversals, and halves of characters."""

STYLES: Final = {
    "closed": "green",
    "forced_closed": "green",
    "half_open": "yellow",
    "open": "bold red",
    "forced_open": "bold red",
    "disabled": "bright_black",
    "observe": "blue",
    "ok": "green",
    "degraded": "yellow",
    "down": "bold red",
}


def safe(text: str) -> str:
    """The text as a terminal may show it: what it would obey instead is escaped."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print what may come from elsewhere: names, errors, reasons."""
    click.echo(safe(text), err=err, nl=nl)


def show_json(data: Any) -> None:
    """Readable JSON; what a terminal would obey is escaped as JSON does."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    click.echo(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def on_terminal() -> bool:
    """Whether a person looks at it."""
    return sys.stdout.isatty()


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; cells that are states are coloured on a terminal."""
    if not on_terminal():
        for row in rows:
            echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell), style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def show_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        echo(f"{name:<{width}}  {value}".rstrip())


def plain(value: Any) -> str:
    """A value as the configuration spells it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def seconds(value: float | None) -> str:
    """A duration: ``23.4 ms``, ``45 s``, ``3 min 20 s``; empty for None."""
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.1f} ms"
    if value < 60:
        return f"{value:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


watch_option: Final = click.option(
    "--watch", is_flag=False, flag_value="2s", type=Duration(0.2, 3600.0), metavar="[DURATION]",
    help="Show it again every 2 s, or so often; Ctrl-C ends.",
)  # fmt: skip


def watched(show: Callable[[], T], every: float | None) -> T | None:
    """``show()``, once or again and again; what it gave last.

    A daemon that cannot be reached ends a single look, and is said in the place of the others.
    """
    if every is None:
        return show()
    last: T | None = None
    try:
        while True:
            if on_terminal():
                click.clear()
            try:
                last = show()
            except CommandError as problem:
                if problem.exit_code != UNREACHABLE:
                    raise
                echo(f"cbmon: {problem}", err=True)
            time.sleep(every)
    except KeyboardInterrupt:
        return last
