"""Whether an application would carry an order out, as far as the daemon can know.

Rule: what is going to be refused there is refused here, with the reason and the way out.
"""

from __future__ import annotations

from typing import Final

from cbmon.apps.members import Reported
from cbmon.breaker import State

OUT_OF_DISABLED: Final = frozenset({"enable", "reset", "disable"})
HELD: Final = {"open": "force_open", "close": "force_close"}
"""What ``hold`` makes of a move; an application may accept the one and not the other."""


def why_not(found: Reported, action: str) -> str | None:
    """Why this order is not passed on; None when it is."""
    process = found.process
    name, report = process.application, process.report
    if not report.takes_orders:
        return f"{name!r} takes no orders from here; start its reporter with accept_orders=True"
    if report.accepts is not None and action not in report.accepts:
        known = ", ".join(sorted(report.accepts))
        return f"{name!r} does not accept {action}, only {known}{_hint(action, report.accepts)}"
    if process.silent or found.breaker.silent:
        return f"{name!r} has been silent for {found.breaker.age:.0f} s"
    if found.breaker.state is State.DISABLED and action not in OUT_OF_DISABLED:
        return f"{found.name!r} is disabled: cannot {action}; enable or reset it first"
    return None


def _hint(action: str, accepts: frozenset[str]) -> str:
    if HELD.get(action) in accepts:
        return "; ask with hold"
    plain = next((move for move, held in HELD.items() if held == action), None)
    return "; ask without hold" if plain in accepts else ""
