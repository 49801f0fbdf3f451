"""What services answered to the first message of a thread, such as the number of a Slack message.

Rule: kept in the store beside what lines know, so that a restart still finds the message to update.
Losing one costs a reference, never a message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from cbmon.errors import StoreError
from cbmon.interfaces import Commit, Store
from cbmon.logs import fields
from cbmon.model import Message

log = logging.getLogger(__name__)

RECEIPT_ROW: Final = "receipt:"
LONGEST_KEPT: Final = 90 * 86_400.0
"""Seconds after which the receipt of an end that never came is forgotten."""

Receipt = Mapping[str, Any]


class Receipts:
    """By line and thread; without a store they last as long as the process."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self._rows: dict[str, Receipt] = {}
        self._stale: dict[str, None] = {}

    @classmethod
    def restored(cls, store: Store, rows: Mapping[str, Receipt], now: float) -> Receipts:
        """From the rows of the store."""
        made = cls(store)
        for key, row in rows.items():
            if key.startswith(RECEIPT_ROW):
                if row.get("kept_at", 0.0) > now - LONGEST_KEPT:
                    made._rows[key] = row
                else:
                    made._stale[key] = None
        return made

    def get(self, message: Message) -> Receipt | None:
        """That of the message's thread at its line."""
        return self._rows.get(_row(message))

    async def keep(self, message: Message, receipt: Receipt, now: float) -> None:
        """Note it for the next messages of the thread."""
        row = {**receipt, "kept_at": now}
        self._rows[_row(message)] = row
        await self._write({_row(message): row})

    async def forget(self, message: Message) -> None:
        """The thread is at its end."""
        if self._rows.pop(_row(message), None) is not None:
            await self._write({_row(message): None})

    async def _write(self, rows: Mapping[str, Receipt | None]) -> None:
        if self._store is None:
            return
        try:
            await self._store.commit(Commit(planning={**self._stale, **rows}))
            self._stale = {}
        except StoreError as error:
            log.warning("receipt not kept", extra=fields(error=error))


def _row(message: Message) -> str:
    return f"{RECEIPT_ROW}{message.receiver}:{message.incident}"
