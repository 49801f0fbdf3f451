"""cbmon cut off from everything: said once, and once that it is over. Pure.

Rule: while none of the reference targets answers, what checks see says nothing of their targets, so
nothing of it is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cbmon.model import Message
from cbmon.notify.board import Rows
from cbmon.notify.messages import Body, Site

ISOLATION_ROW: Final = "isolation"
ISOLATED: Final = "isolated"
RECONNECTED: Final = "reconnected"
CUT_OFF: Final = (
    "none of the reference targets answers: cbmon itself is cut off, "
    "and tells nothing of other outages until it is not"
)
BACK: Final = "the reference targets answer again; what is still down after its next trial is told"
_ABOUT: Final[Body] = {
    "component": "cbmon",
    "category": "daemon",
    "group": "",
    "target": "",
    "type": "",
    "tags": [],
    "depends_on": [],
    "cause": "isolation",
    "actor": None,
    "retry_after": None,
    "failure_count": 0,
    "cycles": 0,
    "trials": 0,
    "reason": "connect",
    "last_error": None,
}


class IsolationNotice:
    """Whether cbmon is cut off, and who was told. ``since`` in Unix seconds."""

    def __init__(self, since: float | None = None, lines: Iterable[str] = ()) -> None:
        self.since = since
        self._lines = tuple(lines)

    @classmethod
    def restored(cls, rows: Mapping[str, Mapping[str, Any]]) -> IsolationNotice:
        """From the rows of the store."""
        row = rows.get(ISOLATION_ROW)
        return cls() if row is None else cls(float(row["since"]), row["lines"])

    def rows(self) -> Rows:
        """What to write after a change."""
        if self.since is None:
            return {ISOLATION_ROW: None}
        return {ISOLATION_ROW: {"since": self.since, "lines": list(self._lines)}}

    def change(
        self, isolated: bool, now: float, lines: Iterable[str], site: Site
    ) -> list[Message] | None:
        """The messages of a change; None when nothing changed."""
        if isolated == (self.since is not None):
            return None
        if isolated:
            self.since, self._lines = now, tuple(lines)
            return [_message(line, now, None, site) for line in self._lines]
        began, self.since = self.since or now, None
        return [_message(line, began, now, site) for line in self._lines]

    def standing(self, line: str, site: Site) -> list[Message]:
        """What the line was told of it and goes on."""
        told = self.since is not None and line in self._lines
        return [_message(line, self.since or 0.0, None, site)] if told else []


def _message(line: str, began: float, ended: float | None, site: Site) -> Message:
    thread = f"isolation-{began:.3f}"
    kind = ISOLATED if ended is None else RECONNECTED
    digest = hashlib.sha256(f"{line}\0{thread}\0{kind}".encode()).hexdigest()
    said = _ABOUT | {
        "labels": dict(site.labels),
        "external_url": site.external_url,
        "incident": thread,
        "episode": thread,
        "started_at": began,
        "ended_at": ended,
        "over": ended is not None,
        "state": "open" if ended is None else "closed",
        "from_state": "closed" if ended is None else "open",
        "text": CUT_OFF if ended is None else BACK,
        "at": began if ended is None else ended,
        "kind": kind,
        "receiver": line.partition("/")[0],
    }
    return Message(
        id=f"msg_{digest[:32]}",
        receiver=line,
        incident=thread,
        sequence=1 if ended is None else 2,
        kind=kind,
        created_at=said["at"],
        body=said,
    )
