"""Draws what the daemon showed of the shop's breakers over time, as SVG without any library."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from html import escape
from itertools import pairwise
from pathlib import Path

COLOURS = {"closed": "#3a9d5d", "half_open": "#d9a400", "open": "#c8372d"}
LEFT, WIDTH, ROW, GAP = 110, 760, 22, 10


class Film:
    """Asks for the states again and again, in a thread, and keeps when they changed."""

    def __init__(self, states: Callable[[], dict[str, str]], pause: float = 0.1) -> None:
        self._states, self._pause = states, pause
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.changes: dict[str, list[tuple[float, str]]] = {}
        self._thread.start()

    def stop(self) -> float:
        """End it; how many seconds it has."""
        self._stopped.set()
        self._thread.join(10)
        return time.monotonic() - self._began

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            at = time.monotonic() - self._began
            for name, state in self._states().items():
                known = self.changes.setdefault(name, [])
                if not known or known[-1][1] != state:
                    known.append((at, state))


def draw(changes: dict[str, list[tuple[float, str]]], seconds: float, path: Path) -> None:
    """One row for each breaker, one colour for each state."""
    scale = WIDTH / max(seconds, 1.0)
    height = len(changes) * (ROW + GAP) + 60
    size = f'viewBox="0 0 {LEFT + WIDTH + 20} {height}"'
    font = 'font-family="sans-serif" font-size="13" fill="#444"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>']
    for row, name in enumerate(sorted(changes)):
        top = 10 + row * (ROW + GAP)
        parts.append(f'<text x="0" y="{top + 16}">{escape(name.removeprefix("shop:"))}</text>')
        moves = [*changes[name], (seconds, "")]
        for (since, state), (until, _) in pairwise(moves):
            box = f'x="{LEFT + since * scale:.1f}" width="{(until - since) * scale:.1f}"'
            colour = COLOURS.get(state, "#888")
            parts.append(f'<rect {box} y="{top}" height="{ROW}" fill="{colour}"/>')
    bottom = height - 40
    parts += [
        f'<text x="{LEFT + second * scale:.1f}" y="{bottom}">{second} s</text>'
        for second in range(0, int(seconds) + 1, 10)
    ]
    for number, (state, colour) in enumerate(COLOURS.items()):
        x = LEFT + 120 * number
        parts.append(f'<rect x="{x}" y="{height - 22}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{height - 11}">{state}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
