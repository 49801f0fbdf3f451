"""Looks at the sources of targets again and again, and keeps the last good list of each.

Rule: a list that cannot be had changes nothing: the last good one stays in force, also over a
restart, and it is told how old it is. A look that takes long holds up no other one.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zlib import crc32

from cbmon.config import Config
from cbmon.config.discovering import Expansion, Rejected
from cbmon.config.model import DiscoveryConfig
from cbmon.config.placeholders import Target
from cbmon.config.words import clipped
from cbmon.exports.base import ExportEnvironment
from cbmon.interfaces import Clock
from cbmon.logs import fields
from cbmon.metrics.records import DiscoveryRecord
from cbmon.sources import source_type
from cbmon.sources.base import SourceError, SourceType, targets_of

log = logging.getLogger(__name__)

FIRST_LOOK: Final = 5.0
"""Seconds that a start or a reload waits for sources that were never looked at."""
LONGEST_LOOK: Final = 60.0
LIST_EVERY: Final = 1.0
"""Seconds after which a list that has changed is noticed."""
SHOWN: Final = 100
"""Rejected targets that are shown of one source."""


@dataclass(slots=True, kw_only=True)
class Source:
    """One source and what is known of it. Times named ``…_at`` are Unix seconds."""

    config: DiscoveryConfig
    record: DiscoveryRecord
    kind: SourceType
    targets: tuple[Target, ...] = ()
    error: str | None = None
    due: float = 0.0
    looking: asyncio.Task[bool] | None = None
    rejected: tuple[Rejected, ...] = ()

    def view(self) -> dict[str, Any]:
        """What a person may see of it."""
        record = self.record
        return {
            "name": self.config.name,
            "type": self.config.type,
            "source": self.kind.shown(self.config.options),
            "targets": len(self.targets),
            "checks": record.targets,
            "rejected": [
                {"address": clipped(one.address), "problem": one.problem}
                for one in self.rejected[:SHOWN]
            ],
            "rejected_count": len(self.rejected),
            "last_success_at": record.last_success_at or None,
            "failures": record.failures,
            "error": self.error,
        }


class Watch:
    """The sources of one daemon."""

    def __init__(
        self,
        environment: ExportEnvironment,
        records: dict[str, DiscoveryRecord],
        clock: Clock,
    ) -> None:
        """``records`` are those of the metrics."""
        self._environment = environment
        self._records = records
        self._clock = clock
        self._cache = environment.data and environment.data / "discovery"
        self._sources: dict[str, Source] = {}

    def views(self) -> list[dict[str, Any]]:
        """What a person may see of the sources, by name."""
        return [source.view() for _, source in sorted(self._sources.items())]

    async def settled(self, config: Config) -> Config:
        """Watch what a configuration names, and give it back with the checks of its targets."""
        await self.configure(config.discovery)
        return await self.expanded(config)

    async def configure(self, discoveries: Iterable[DiscoveryConfig]) -> None:
        """Watch these from now on; new ones, and those that changed, are looked at first."""
        before, self._sources = self._sources, {}
        for config in discoveries:
            known = before.pop(config.name, None)
            if known is not None and _same(known.config, config):
                known.config = config
                self._sources[config.name] = known
            else:
                self._sources[config.name] = await self._new(config, known)
        for name, source in before.items():
            self._forget(source)
            self._records.pop(name, None)
        new = [source for source in self._sources.values() if source.due == 0.0]
        if not new:
            return
        await asyncio.wait([self._look(source) for source in new], timeout=FIRST_LOOK)
        for source in new:
            if source.looking is not None and source.looking.done():
                source.looking = None

    async def tick(self) -> bool:
        """Look at what is due, without waiting for it; whether a list has changed since the last
        call."""
        now, changed = self._clock.monotonic(), False
        for source in self._sources.values():
            task = source.looking
            if task is not None and task.done():
                source.looking = None
                changed |= not task.cancelled() and task.result()
            if source.looking is None and now >= source.due:
                self._look(source)
        return changed

    async def expanded(self, config: Config) -> Config:
        """The configuration with the checks of all targets, as they are known now."""
        if config.expander is None:
            return config
        targets = {name: source.targets for name, source in self._sources.items()}
        expansion = await asyncio.to_thread(config.expander.expand, config, targets)
        self._tell(expansion)
        return expansion.config

    async def close(self) -> None:
        """Stop looking."""
        for source in self._sources.values():
            self._forget(source)

    # --- one look ------------------------------------------------------------------------

    def _look(self, source: Source) -> asyncio.Task[bool]:
        interval = source.kind.refresh_interval(source.config.options)
        source.due = self._clock.monotonic() + interval
        task = source.looking = asyncio.get_running_loop().create_task(self._read(source))
        return task

    async def _read(self, source: Source) -> bool:
        """Whether the list is another one now."""
        config = source.config
        try:
            async with asyncio.timeout(LONGEST_LOOK):
                found = await source.kind.read(config.options, self._environment)
        except (SourceError, TimeoutError) as error:
            self._failed(source, str(error) or f"no list within {LONGEST_LOOK:.0f} s")
            return False
        if len(found) > config.max_targets:
            most = config.max_targets
            self._failed(source, f"{len(found)} targets, more than max_targets {most}")
            return False
        if source.error is not None:
            log.info("targets can be read again", extra=fields(discovery=config.name))
        source.error = None
        source.record.last_success_at = self._clock.time()
        targets = tuple(found)
        if targets == source.targets:
            return False
        source.targets = targets
        await self._save(source)
        return True

    def _failed(self, source: Source, error: str) -> None:
        source.record.failures += 1
        if source.error is None:
            log.warning(
                "targets not read, the last list stays in force",
                extra=fields(discovery=source.config.name, error=error, kept=len(source.targets)),
            )
        source.error = error

    @staticmethod
    def _forget(source: Source) -> None:
        if source.looking is not None:
            source.looking.cancel()

    def _tell(self, expansion: Expansion) -> None:
        checks = [check.discovered for check in expansion.config.checks]
        for name, source in self._sources.items():
            rejected = tuple(one for one in expansion.rejected if one.discovery == name)
            if rejected and rejected != source.rejected:
                log.warning(
                    "targets left out",
                    extra=fields(
                        discovery=name,
                        targets=len(rejected),
                        first=clipped(rejected[0].address),
                        problem=rejected[0].problem,
                    ),
                )
            source.rejected = rejected
            source.record.rejected = len(rejected)
            source.record.targets = checks.count(name)

    # --- over a restart ------------------------------------------------------------------

    async def _new(self, config: DiscoveryConfig, known: Source | None) -> Source:
        if known is not None:
            self._forget(known)
        record = self._records.setdefault(config.name, DiscoveryRecord(config.name))
        source = Source(config=config, record=record, kind=source_type(config.type))
        path = self._path(config)
        if path is not None:
            source.targets = await asyncio.to_thread(_loaded, path, source.kind.name)
        return source

    async def _save(self, source: Source) -> None:
        path = self._path(source.config)
        if path is None:
            return
        try:
            await asyncio.to_thread(_store, path, source)
        except OSError as error:
            log.warning("targets not kept for a restart", extra=fields(error=str(error)))

    def _path(self, config: DiscoveryConfig) -> Path | None:
        if self._cache is None:
            return None
        plain = quote(config.name, safe=" ")[:100]
        return self._cache / f"{plain}-{crc32(config.name.encode()):08x}.json"


def _same(one: DiscoveryConfig, other: DiscoveryConfig) -> bool:
    """Whether the list that was read for one is good for the other."""
    return (one.type, one.options, one.max_targets) == (
        other.type, other.options, other.max_targets,
    )  # fmt: skip


def _loaded(path: Path, kind: str) -> tuple[Target, ...]:
    """The list of a former process; none if there is none that can be read."""
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict) or document.get("type") != kind:
            return ()
        return tuple(targets_of(document.get("groups"), str(path)))
    except (OSError, ValueError, RecursionError, SourceError):
        return ()


def _store(path: Path, source: Source) -> None:
    groups: list[Mapping[str, Any]] = [
        {"targets": [one.address], "labels": dict(one.labels)} for one in source.targets
    ]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps({"type": source.kind.name, "groups": groups}))
    beside.replace(path)
