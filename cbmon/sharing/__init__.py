"""Breakers shared by several instances of a program, over Redis or PostgreSQL.

Rule: decisions stay local and wait for nobody; what is shared is caught up with between calls.
"""

from cbmon.sharing.group import SharedBreakers, SharingEvent
from cbmon.sharing.record import Record
from cbmon.sharing.store import MemoryStore, Seen, SharedStore, StoreDownError

__all__ = [
    "MemoryStore",
    "Record",
    "Seen",
    "SharedBreakers",
    "SharedStore",
    "SharingEvent",
    "StoreDownError",
]
