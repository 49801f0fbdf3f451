"""What a new configuration changes: a pure difference between two of them.

Rule: by name. What stands in both and is equal is not touched at all: it keeps its breaker,
its counters and its timers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cbmon.config import CheckConfig, Config, ExportConfig

Item = CheckConfig | ExportConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to add, remove and change."""

    added: tuple[Item, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[tuple[Item, Item], ...] = ()
    """Pairs of old and new."""

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {
            "added": len(self.added), "removed": len(self.removed), "changed": len(self.changed),
        }  # fmt: skip


def changes(old: Config, new: Config) -> Changes:
    """The difference that leads from ``old`` to ``new``.

    A check whose kind of thing changes (a check becomes an export) is removed and added anew.
    """
    before = {item.name: item for item in active(old)}
    after = {item.name: item for item in active(new)}
    moved = {
        name for name in before.keys() & after.keys() if type(before[name]) is not type(after[name])
    }
    return Changes(
        added=tuple(item for name, item in after.items() if name not in before or name in moved),
        removed=tuple(name for name in before if name not in after or name in moved),
        changed=tuple(
            (before[name], item)
            for name, item in after.items()
            if name in before and name not in moved and _differ(before[name], item)
        ),
    )


def _differ(old: Item, new: Item) -> bool:
    """What a reload did not look at again is the same object."""
    return old is not new and old != new


def active(config: Config) -> Iterable[Item]:
    """The checks that are enabled, then the exports, in the order of the configuration."""
    yield from (check for check in config.checks if check.enabled)
    yield from config.exports


def start_only(old: Config, new: Config) -> Iterable[str]:
    """Paths of the keys that differ from those started with and are read only at start."""
    if old.storage.url != new.storage.url:
        yield "storage.url"
    if old.web.listen != new.web.listen:
        yield "web.listen"
    if old.web.control_socket != new.web.control_socket:
        yield "web.control_socket"
