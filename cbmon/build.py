"""Components from their configuration: type, probe or export, breaker and record in one piece.

Rule: the only place that knows both what is configured and what it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any, Protocol
from zlib import crc32

from cbmon.breaker import CircuitBreaker
from cbmon.component import Component, Runner
from cbmon.config import CheckConfig, Config, ConfigTypes, ExportConfig
from cbmon.config.fields import Options
from cbmon.exports import EXPORTS, export_type
from cbmon.exports.base import ExportEnvironment, Keeping
from cbmon.interfaces import Attempt, Clock, Export, Exposition, Probe
from cbmon.metrics import Metrics
from cbmon.model import BreakerInfo, Category, Result, Unit
from cbmon.notify.receivers import RECEIVERS, receiver_type
from cbmon.probes import PROBES, ProbeEnvironment, probe_type
from cbmon.probes.run import ONCE, Plan
from cbmon.sources import SOURCES, source_type


def config_types() -> ConfigTypes:
    """The types that a configuration may name; each is imported when it is first named."""
    return ConfigTypes(
        checks={name: partial(_options, probe_type, name) for name in PROBES},
        exports={name: partial(_options, export_type, name) for name in EXPORTS},
        receivers={name: partial(_options, receiver_type, name) for name in RECEIVERS},
        discovery={name: partial(_options, source_type, name) for name in SOURCES},
    )


class _Described(Protocol):
    @property
    def options(self) -> type[Options]: ...


def _options(find: Callable[[str], _Described], name: str) -> type[Options]:
    return find(name).options


class Builder:
    """Makes components for one daemon."""

    def __init__(
        self,
        *,
        probing: ProbeEnvironment,
        exporting: ExportEnvironment,
        metrics: Metrics,
        exposition: Exposition,
        clock: Clock,
        elsewhere: Callable[[str, str, Options], Runner | None] = lambda *_: None,
    ) -> None:
        """``elsewhere`` makes what runs a check in another process, from its name, type and
        options; None for one that is to be run here."""
        self._elsewhere = elsewhere
        self._probing = probing
        self._exporting = exporting
        self._metrics = metrics
        self._exposition = exposition
        self._clock = clock

    def component(self, item: CheckConfig | ExportConfig, config: Config) -> Component:
        """A new component with a closed breaker; its series exist from now on."""
        info = info_of(item, config)
        seed = crc32(item.name.encode())
        breaker = CircuitBreaker(
            item.name, item.policy, clock=self._clock, seed=seed, category=info.category
        )
        record = self._metrics.add_component(info, breaker)
        if info.category is Category.EXPORT:
            record.backlog = self._exporting.backlog(item.name)
        return Component(
            info=info,
            breaker=breaker,
            record=record,
            runner=self.runner(item),
            interval=item.interval,
            timeout=item.timeout,
            plan=plan_of(item),
        )

    def runner(self, item: CheckConfig | ExportConfig) -> Runner:
        """What a component of this configuration runs."""
        if isinstance(item, CheckConfig):
            if (runner := self._elsewhere(item.name, item.type, item.options)) is not None:
                return runner
            kind = probe_type(item.type)
            probe = kind.build(item.options, self._probing)
            units = kind.values(item.options)
            return _Told(probe, self._metrics, item.name, units) if units else probe
        export = export_type(item.type).build(item.options, self._exporting, item.name)
        return _Bound(export, self._exposition)


def plan_of(item: CheckConfig | ExportConfig) -> Plan:
    """How often a component of this configuration looks before it counts."""
    if not isinstance(item, CheckConfig):
        return ONCE
    return _plan(
        item.confirmations, item.confirmation_delay, item.other_address, item.every_address
    )


@cache
def _plan(confirmations: int, delay: float, other_address: bool, every_address: bool) -> Plan:
    """One for all that look alike."""
    return Plan(
        confirmations=confirmations,
        delay=delay,
        other_address=other_address,
        every_address=every_address,
    )


def info_of(item: CheckConfig | ExportConfig, config: Config) -> BreakerInfo:
    """What is known of a component besides its state."""
    if isinstance(item, CheckConfig):
        return BreakerInfo(
            name=item.name,
            category=Category.CHECK,
            group=item.group,
            target=probe_type(item.type).target(item.options),
            kind=item.type,
            tags=tuple(item.tags),
            labels={**config.labels, **item.labels} if item.labels else config.labels,
            depends_on=tuple(item.depends_on),
            receivers=tuple(item.receivers),
        )
    return BreakerInfo(
        name=item.name,
        category=Category.EXPORT,
        target=export_type(item.type).target(item.options),
        kind=item.type,
        labels={**config.labels, **item.labels} if item.labels else config.labels,
    )


class _Told:
    """A probe of which the listed performance data become metrics, as long as it is there."""

    def __init__(
        self, probe: Probe, metrics: Metrics, check: str, units: Mapping[str, Unit]
    ) -> None:
        self._probe = probe
        self._metrics = metrics
        self._record = metrics.add_perfdata(check, units)

    async def run(self, attempt: Attempt) -> Result:
        told: Iterable[Mapping[str, Any]] = ()
        try:
            result = await self._probe.run(attempt)
            told = result.facts.get("perfdata", ())
            return result
        finally:  # a run that is cut off has told nothing
            self._record.tell(told)

    async def close(self) -> None:
        self._metrics.remove_perfdata(self._record)
        await self._probe.close()


class _Bound:
    """An export as something to run: it is given the exposition each time."""

    def __init__(self, export: Export, exposition: Exposition) -> None:
        self._export = export
        self._exposition = exposition

    async def run(self, attempt: Attempt) -> Result:
        return await self._export.run(attempt, self._exposition)

    async def collect(self) -> None:
        if isinstance(self._export, Keeping):
            await self._export.collect(self._exposition)

    async def close(self) -> None:
        await self._export.close()
