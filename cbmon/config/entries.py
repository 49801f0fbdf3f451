"""Checks, exports and receivers: a name, a type named by its key, and what the two need.

Rule: what an entry does not say comes from the defaults, here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Final, TypeVar

from cbmon.breaker import BreakerPolicy
from cbmon.config.discovering import DiscoveryEntry
from cbmon.config.fields import Options
from cbmon.config.model import (
    CheckConfig,
    ConfigTypes,
    ExportConfig,
    OptionsSource,
    ReceiverConfig,
)
from cbmon.config.nodes import key_place, place_of, value_place
from cbmon.config.policies import Policies
from cbmon.config.problems import Problems
from cbmon.config.programs import may_start
from cbmon.config.references import References
from cbmon.config.sections import (
    CheckEntry,
    ConfirmSettings,
    DefaultsSection,
    ExportEntry,
    ReceiverEntry,
)
from cbmon.config.translate import keys_of
from cbmon.config.units import format_duration
from cbmon.config.validation import Part, Validator
from cbmon.config.words import nearest

_NO_LABELS: Final[Mapping[str, str]] = {}
_UNCONFIRMED: Final = ConfirmSettings()
EntryT = TypeVar("EntryT", ExportEntry, CheckEntry, ReceiverEntry, DiscoveryEntry)

_KEYS: Final[Mapping[type[Options], frozenset[str]]] = {
    model: frozenset(keys_of(model))
    for model in (CheckEntry, ExportEntry, ReceiverEntry, DiscoveryEntry)
}


@dataclass(slots=True, kw_only=True)
class Entries:
    """Makes the entries of one configuration."""

    types: ConfigTypes
    defaults: DefaultsSection
    policies: Policies
    validator: Validator
    references: References
    problems: Problems
    programs: tuple[str, ...] = ()
    """Patterns of what may be started."""

    def check(self, part: Part) -> CheckConfig | None:
        """A check, or None after telling what is wrong."""
        self.references.claim_check(part)
        entry = self._entry(CheckEntry, part, self.types.checks)
        typed = self._typed(CheckEntry, part, self.types.checks, "checks")
        common = None if entry is None else self._scheduled(entry, part)
        if entry is None or common is None or typed is None:
            return None
        self._check_programs(typed, part)
        confirm = entry.confirm or _UNCONFIRMED
        if entry.confirm is not None:
            self._check_confirm(entry.confirm, common, part)
        return CheckConfig(
            **common,
            type=intern(typed[0]),
            options=typed[1],
            depends_on=entry.depends_on,
            tags=entry.tags,
            group=entry.group or "",
            receivers=entry.receivers,
            enabled=entry.enabled,
            confirmations=confirm.attempts if entry.confirm else 0,
            confirmation_delay=confirm.delay,
            other_address=confirm.other_address,
            every_address=entry.addresses == "all",
        )

    def export(self, part: Part) -> ExportConfig | None:
        """An export, or None after telling what is wrong."""
        self.references.claim_export(part)
        entry = self._entry(ExportEntry, part, self.types.exports)
        typed = self._typed(ExportEntry, part, self.types.exports, "exports")
        common = None if entry is None else self._scheduled(entry, part)
        if common is None or typed is None:
            return None
        return ExportConfig(**common, type=intern(typed[0]), options=typed[1])

    def discovery(self, part: Part) -> tuple[DiscoveryEntry, str, Options] | None:
        """A discovery with the type and the options of its source, or None after telling."""
        sources = self.types.discovery
        entry = self._entry(DiscoveryEntry, part, sources)
        typed = self._typed(DiscoveryEntry, part, sources, "discovery")
        return None if entry is None or typed is None else (entry, *typed)

    def receiver(self, part: Part) -> ReceiverConfig | None:
        """A receiver, or None after telling what is wrong."""
        self.references.claim_receiver(part)
        sources = self.types.receivers
        entry = self._entry(ReceiverEntry, part, sources)
        kinds = _kinds(ReceiverEntry, part, sources)
        if not kinds:
            self._tell_no_type(ReceiverEntry, part, sources)
        found = [
            (kind, options)
            for kind in kinds
            if (options := self.validator.options(sources, "receivers", kind, part)) is not None
        ]
        if entry is None:
            return None
        policy = self.policies.make(entry.breaker, part.block, part.path)
        return ReceiverConfig(
            name=entry.name,
            integrations=tuple(found),
            policy=policy,
            send_resolved=entry.send_resolved,
            time_to_live=entry.time_to_live,
            fallback=entry.fallback,
            fallback_after=entry.fallback_after,
        )

    def _entry(
        self, model: type[EntryT], part: Part, sources: Mapping[str, OptionsSource]
    ) -> EntryT | None:
        """What the entry has besides its type."""
        keys = _KEYS[model]
        data = {
            key: value for key, value in part.block.items() if key in keys or key not in sources
        }
        return self.validator.validate(model, part, data=data, known=sources)

    def _typed(
        self,
        model: type[Options],
        part: Part,
        sources: Mapping[str, OptionsSource],
        family: str,
    ) -> tuple[str, Options] | None:
        """The type that the entry names, and its options."""
        kinds = _kinds(model, part, sources)
        if not kinds:
            self._tell_no_type(model, part, sources)
            return None
        for extra in kinds[1:]:
            message = f"a second type besides {kinds[0]}; make it an entry of its own"
            self.problems.add(key_place(part.block, extra), part.at(extra), message)
        found = [self.validator.options(sources, family, kind, part) for kind in kinds]
        return None if found[0] is None else (kinds[0], found[0])

    def _tell_no_type(
        self, model: type[Options], part: Part, sources: Mapping[str, OptionsSource]
    ) -> None:
        """An unknown key that looks like a type is told already."""
        strange = [key for key in part.block if key not in _KEYS[model]]
        if not any(nearest(key, sources) for key in strange):
            message = f"no type; expected one of the keys {', '.join(sorted(sources))}"
            self.problems.add(place_of(part.block), part.path, message)

    def _scheduled(self, entry: ExportEntry, part: Part) -> dict[str, Any]:
        interval = self.defaults.interval if entry.interval is None else entry.interval
        policy = self.policies.make(entry.breaker, part.block, part.path)
        self._check_window(policy, interval, part)
        return {
            "name": entry.name,
            "labels": entry.labels or _NO_LABELS,
            "interval": interval,
            "timeout": self._timeout(entry.timeout, interval, part),
            "policy": policy,
        }

    def _timeout(self, timeout: float | None, interval: float, part: Part) -> float:
        """One's own timeout must fit into the interval; the default one is cut to it."""
        if timeout is None:
            return min(self.defaults.timeout, interval)
        if timeout > interval:
            message = (
                f"{format_duration(timeout)} is longer than the interval "
                f"{format_duration(interval)}; a run must end before the next one starts"
            )
            self.problems.add(value_place(part.block, "timeout"), part.at("timeout"), message)
        return timeout

    def _check_programs(self, typed: tuple[str, Options], part: Part) -> None:
        for program in typed[1].programs:
            if not may_start(program, self.programs):
                message = f"starting {program} is not allowed; name it in global.exec_allow"
                place = value_place(part.block, typed[0])
                self.problems.add(place, part.at(typed[0]), message)

    def _check_confirm(
        self, confirm: ConfirmSettings, common: Mapping[str, Any], part: Part
    ) -> None:
        """All looks together must fit into the interval."""
        looks = confirm.attempts + 1
        longest = looks * common["timeout"] + confirm.attempts * confirm.delay
        if longest > common["interval"]:
            message = (
                f"{looks} looks may take {format_duration(longest)}, longer than the interval "
                f"{format_duration(common['interval'])}; shorten the timeout or the delay"
            )
            self.problems.add(value_place(part.block, "confirm"), part.at("confirm"), message)

    def _check_window(self, policy: BreakerPolicy, interval: float, part: Part) -> None:
        """A window that is too short for the interval makes a breaker that never opens."""
        if policy.kind != "time":
            return
        runs = math.ceil(policy.window_seconds / interval)
        if runs < policy.required_calls:
            message = (
                f"a window of {format_duration(policy.window_seconds)} holds at most {runs} runs "
                f"at an interval of {format_duration(interval)}, fewer than minimum_calls "
                f"{policy.required_calls}; the breaker would never open"
            )
            self.problems.add(value_place(part.block, "breaker"), part.at("breaker"), message)


def _kinds(model: type[Options], part: Part, sources: Mapping[str, OptionsSource]) -> list[str]:
    return [key for key in part.block if key in sources and key not in _KEYS[model]]
