"""The audit log as a chain: each row's hash covers its content and the hash of the row before.

Rule: rows are numbered without a gap in the order of writing. Who edits, removes or inserts one
breaks the chain at that place. What the retention dropped is remembered as an anchor, and the
newest row as the head, so that rows missing at either end show too. Whoever can write to the
database can make a new chain of it all: note the head elsewhere to prove that nobody did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from cbmon.events import Action
from cbmon.store import rows
from cbmon.store.rows import Row
from cbmon.store.schema import audit, meta

HEAD: Final = "audit_head"
ANCHOR: Final = "audit_anchor"
CHUNK: Final = 500
COVERED: Final = (
    "seq", "id", "at", "component", "action", "actor", "text", "refused", "request", "details",
)  # fmt: skip


class Link(NamedTuple):
    """A place in the chain; 0 is before the first row."""

    seq: int = 0
    hash: str = "0" * 64

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Link:
        """Read what ``str`` wrote. Raises ValueError."""
        seq, colon, digest = text.strip().partition(":")
        if not colon or not seq.isdecimal() or len(digest) != 64 or not set(digest) <= _HEX:
            raise ValueError(f"expected NUMBER:HASH, got {text[:80]!r}")
        return cls(int(seq), digest)


_HEX: Final = frozenset("0123456789abcdef")


def hash_of(previous: str, row: Mapping[str, Any]) -> str:
    """SHA-256 in hex of the hash before, a line feed and the row's content as a JSON list."""
    content = json.dumps([row[name] for name in COVERED], separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()


def append(connection: Connection, actions: Sequence[Action]) -> None:
    """Write actions at the end of the chain; those that are known already are skipped."""
    fresh = _unknown(connection, actions)
    if not fresh:
        return
    link = _link(connection, HEAD)
    if link == Link():  # none yet, or somebody removed it: the rows go on all the same
        newest = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
        link = next((Link(*row) for row in connection.execute(newest)), link)
    new: list[Row] = []
    for action in fresh:
        row = {"seq": link.seq + 1, **rows.action_row(action)}
        link = Link(link.seq + 1, hash_of(link.hash, row))
        new.append({**row, "hash": link.hash})
    connection.execute(insert(audit), new)
    _put(connection, HEAD, link)


def adopt(connection: Connection) -> None:
    """Number and hash what is there from before there was a chain."""
    link = Link()
    for known in connection.execute(select(audit).order_by(audit.c.id)).mappings().all():
        row = {**known, "seq": link.seq + 1}
        link = Link(link.seq + 1, hash_of(link.hash, row))
        mine = audit.c.id == known["id"]
        connection.execute(update(audit).where(mine).values(seq=link.seq, hash=link.hash))
    first, last = {"key": ANCHOR, "value": str(Link())}, {"key": HEAD, "value": str(link)}
    connection.execute(insert(meta), [first, last])


def prune(connection: Connection, before: float, limit: int) -> int:
    """Drop at most ``limit`` old rows at the beginning and move the anchor; how many."""
    young = connection.execute(select(func.min(audit.c.seq)).where(audit.c.at >= before)).scalar()
    oldest = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq).limit(limit)
    if young is not None:
        oldest = oldest.where(audit.c.seq < young)
    doomed = connection.execute(oldest).all()
    if doomed:
        last = Link(*doomed[-1])
        connection.execute(delete(audit).where(audit.c.seq <= last.seq))
        _put(connection, ANCHOR, last)
    return len(doomed)


def verify(connection: Connection) -> dict[str, Any]:
    """Whether the chain is whole; see :meth:`cbmon.keeping.RecordStore.verify`."""
    anchor, head = _link(connection, ANCHOR), _link(connection, HEAD)
    query = select(audit).order_by(audit.c.seq)
    streamed = connection.execution_options(yield_per=CHUNK).execute(query).mappings()
    with closing(streamed):  # the server's cursor, too, when the first wrong row ends it early
        return judge(anchor, head, streamed)


def judge(anchor: Link, head: Link, chain: Iterable[Any]) -> dict[str, Any]:
    """Follow the rows from the anchor to the head; where it first breaks, if it does."""
    link, count, broken = anchor, 0, None
    for row in chain:
        count += 1
        broken = _fault(link, row)
        if broken is not None:
            break
        link = Link(row["seq"], row["hash"])
    if broken is None and link != head:
        missing = head.seq > link.seq
        why = "the newest rows are missing" if missing else "the head is not the newest row"
        broken = {"seq": link.seq + 1 if missing else link.seq, "id": None, "why": why}
    return {
        "ok": broken is None,
        "rows": count,
        "first_seq": anchor.seq + 1,
        "head": str(link),
        "broken": broken,
    }


def _fault(link: Link, row: Mapping[str, Any]) -> dict[str, Any] | None:
    where = {"seq": row["seq"], "id": row["id"]}
    if row["seq"] > link.seq + 1:
        return {"seq": link.seq + 1, "id": None, "why": "this row is missing"}
    if row["seq"] <= link.seq:
        return {**where, "why": "a row was put in here"}
    if row["hash"] != hash_of(link.hash, row):
        return {**where, "why": "its content, or the row before, is not what was recorded"}
    return None


def _unknown(connection: Connection, actions: Sequence[Action]) -> list[Action]:
    distinct = {action.id: action for action in actions}
    names, known = list(distinct), set[str]()
    for start in range(0, len(names), CHUNK):
        some = audit.c.id.in_(names[start : start + CHUNK])
        known.update(connection.execute(select(audit.c.id).where(some)).scalars())
    return [action for name, action in distinct.items() if name not in known]


def _link(connection: Connection, key: str) -> Link:
    """What is noted; where it was removed or spoilt, the place before the first row."""
    text = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    try:
        return Link.parse(text or "")
    except ValueError:
        return Link()


def _put(connection: Connection, key: str, link: Link) -> None:
    changed = update(meta).where(meta.c.key == key).values(value=str(link))
    if connection.execute(changed).rowcount == 0:
        connection.execute(insert(meta).values(key=key, value=str(link)))
