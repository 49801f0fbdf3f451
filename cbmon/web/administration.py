"""What the web needs to change settings at run time and to show what was done: two seams.

Rule: as in :mod:`cbmon.web.services`: the web asks, the daemon decides, records and brings into
force. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cbmon.keeping import EventFilter
from cbmon.settings import Difference, Effective
from cbmon.settings.sheet import Author, Sheet


class Settings(Protocol):
    """Settings at run time: override per breaker > defaults in the database > YAML.

    ``name`` is a breaker's, or None for the defaults of all. Every method raises KeyError for a
    name that is not configured.
    """

    def sheet(self, name: str | None) -> Sheet:
        """What is set for one breaker or for all, with its tag; ``sheet.effective`` has the
        policy in force and the source of every value."""
        ...

    def check(self, name: str | None, given: Mapping[str, Any]) -> Effective | None:
        """What would hold if just this were set (None for the defaults); nothing is changed.

        ``given`` is JSON: field → value, durations and ratios also as texts such as ``90s`` and
        ``40%``. Raises SettingsError, whose ``problems`` say field, value and bound of everything
        that is wrong: the live validation of an editor.
        """
        ...

    async def put(
        self, name: str | None, given: Mapping[str, Any], author: Author, *, tag: str | None
    ) -> Sheet:
        """Set just this, in force and durable when it returns, recorded in one transaction.

        ``tag`` is that of the sheet that was edited; None edits unseen. Raises SettingsError,
        StaleError for another tag, UnseenError when without one something would be unset,
        TooManyChangesError, StoreError. A refusal is recorded too.
        """
        ...

    async def remove(self, name: str | None, author: Author, *, tag: str | None) -> Sheet:
        """Set nothing: back to the layers below; doing it twice is as good as once."""
        ...

    def differences(self) -> Sequence[Difference]:
        """Every value in force that is not what the YAML says, by breaker."""
        ...


class Record(Protocol):
    """What happened, and who did what."""

    async def events(
        self, wanted: EventFilter, *, limit: int, before: str | None = None
    ) -> list[dict[str, Any]]:
        """Failed runs, moves, actions, refusals and changes of settings, newest first; each with
        ``id``, ``kind``, ``at``, ``component``. StoreError."""
        ...

    async def audit(
        self, wanted: EventFilter, *, limit: int, before: int | None = None
    ) -> list[dict[str, Any]]:
        """Actions and refusals with their place in the chain, newest first. StoreError."""
        ...

    async def verify(self) -> dict[str, Any]:
        """Whether the chain is whole: ``ok``, ``rows``, ``head``, ``broken``. StoreError."""
        ...

    def note(
        self,
        action: str,
        author: Author,
        *,
        component: str = "",
        refused: str | None = None,
        details: Mapping[str, Any] | None = None,
        flood: bool = False,
    ) -> None:
        """Record what somebody did or was refused that no other service records: a silence, a
        login, a request without the role for it. Never waits, never fails. ``flood``: anybody may
        provoke it, so beyond some in a minute they are counted rather than written one by one.
        """
        ...
