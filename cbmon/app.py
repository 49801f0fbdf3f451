"""The composition root: builds everything, starts it in order, reloads it, stops it in reverse.

Rule: the only place where rooms are joined; it decides nothing that a room could decide.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from cbmon import __version__
from cbmon.apps import Apps
from cbmon.blackbox.service import Probing
from cbmon.breaker import SystemClock
from cbmon.build import Builder, info_of, plan_of
from cbmon.config import ConfigError
from cbmon.config.fields import HostPort
from cbmon.errors import StartupError
from cbmon.events import Action, Event, RunFailed, Transition
from cbmon.exports.base import ExportEnvironment
from cbmon.files import Files, Told
from cbmon.housekeeping import Housekeeping
from cbmon.lifecycle import Lifecycle, stop_on_signals
from cbmon.logs import default_stream, fields, logging_to
from cbmon.loop import loop_factory
from cbmon.metrics import Metrics
from cbmon.model import BreakerInfo, Category, SkipCause
from cbmon.monitor import Monitor
from cbmon.narration import log_event
from cbmon.notify.board import Plan
from cbmon.notify.policy import Why
from cbmon.notify.service import Notifying
from cbmon.operations import Operations, Rooms
from cbmon.options import RunOptions
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.programs import ProgramPolicy
from cbmon.recording import Recorder
from cbmon.reload import Changes, Item, active, changes, start_only
from cbmon.scheduler import Scheduler
from cbmon.sdnotify import Notifier as Systemd
from cbmon.sources.watch import LIST_EVERY, Watch
from cbmon.store import Journal, open_store
from cbmon.store.journal import Entry
from cbmon.store.sampler import Sampler
from cbmon.tuning import Tuning
from cbmon.web.control import control_path
from cbmon.web.server import WebServer
from cbmon.web.services import ReloadOutcome
from cbmon.web.stream import Stream
from cbmon.web.webconfig import WebConfig
from cbmon.wiring import (
    MetricsOfNotifying,
    data_of,
    descriptors_for_runs,
    reloaded,
    site_of,
    storage_url,
    tracked,
)
from cbmon.workers.pool import Workers

log = logging.getLogger(__name__)

GARBAGE: Final = 5_000
"""Objects after which garbage is looked for; all that lives is looked through very seldom, as that
takes a tenth of a second with ten thousand checks."""
STOP_DEADLINE: Final = 20.0
"""Seconds that a stop may take in all."""
DRAIN_DEADLINE: Final = 10.0
"""Seconds that runs which are going on get to end by themselves."""
FLUSH_DEADLINE: Final = 5.0
DELIVERY_DEADLINE: Final = 5.0
HEAR_EVERY: Final = 1.0
"""Seconds after which it is noticed that an application has fallen silent."""


def run(options: RunOptions) -> int:
    """Run the daemon until it is told to stop; the exit code.

    0 after an orderly stop, 1 when it could not start or was forced, 2 for a configuration that
    cannot be used, whose problems are on standard error.
    """
    files = Files(options)
    try:
        told = files.read()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with (
        logging_to(default_stream(), level=options.log_level, form=options.log_format),
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        return runner.run(Daemon(options, files, told).run())


class Daemon:
    """One running daemon."""

    def __init__(self, options: RunOptions, files: Files, told: Told) -> None:
        self._clock = clock = SystemClock()
        self._options = options
        self._files = files
        self._config = config = told.config
        self._started_with = replace(config, checks=())
        self._not_ready = "starting"
        self._lifecycle = Lifecycle()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._systemd = Systemd.from_environment()
        self._metrics = metrics = Metrics(clock, suppressions=[str(why) for why in Why])
        self._probing = ProbeEnvironment(clock=clock, programs=ProgramPolicy(config.exec_allow))
        self._scheduler = Scheduler(
            clock,
            lateness=metrics.lateness,
            lag=metrics.loop_lag,
            breath=self._probing.hear,
            before=metrics.exposition.prepare,
        )
        metrics.next_run = self._scheduler.next_run
        self._store = open_store(storage_url(options, config))
        self._notifying = Notifying(
            self._store,
            clock=clock,
            write=self._plan,
            hooks=MetricsOfNotifying(metrics),
            version=__version__,
        )
        self._journal = Journal(self._store, hooks=self)
        keeps = lambda: self._config.storage.results.enabled  # noqa: E731
        self._sampler = Sampler(self._store.results, clock=clock, hooks=metrics, enabled=keeps)
        self._stream = Stream()
        self._monitor = Monitor(
            timetable=self._scheduler,
            clock=clock,
            sinks=(log_event, self._record, self._sampler.follow, self._stream.publish),
            max_in_flight=descriptors_for_runs(),
            gate=lambda it: SkipCause.WINDOW if self._notifying.skips(it.info) else None,
            blind=lambda: self._notifying.isolated,
        )
        self._apps = Apps(
            clock=clock,
            metrics=metrics,
            publish=self._monitor.publish,
            forget=lambda gone: self._own(self._forget(gone)),
            taken=self._monitor.__contains__,
            labels=lambda: self._config.labels,
        )
        self._exporting = ExportEnvironment(clock=clock, data=data_of(options, config))
        self._watch = Watch(self._exporting, metrics.discoveries, clock)
        self._workers = Workers(
            metrics.add_workers(options.workers if options.workers > 1 else 0),
            log_level=options.log_level,
            log_format=options.log_format,
        )
        self._builder = Builder(
            probing=self._probing,
            exporting=self._exporting,
            metrics=metrics,
            exposition=metrics.exposition,
            clock=clock,
            elsewhere=self._workers.runner,
        )
        self._tuning = Tuning(self._store.settings, self._monitor, clock)
        self._recorder = Recorder(self._store.record, self._journal, self._monitor.publish, clock)
        self._asked = Probing(self._probing, unknown_module=metrics.unknown_module)
        self._asked.configure(config.web.probe, told.modules, enable=options.enable_probe)
        self._web = self._made_web(told.web_config)

    def _made_web(self, web_config: WebConfig | None) -> WebServer:
        """The web, with everything that it may ask."""
        operations = Operations(
            Rooms(
                clock=self._clock,
                monitor=self._monitor,
                apps=self._apps,
                scheduler=self._scheduler,
                journal=self._journal,
                store=self._store,
                notifying=self._notifying,
                metrics=self._metrics,
                probing=self._probing,
                settings=self._tuning,
                record=self._recorder,
                watch=self._watch,
                sampler=self._sampler,
            ),
            config=lambda: self._config,
            not_ready=lambda: self._not_ready,
            reload=self.reload,
        )
        return WebServer(
            operations,
            tokens=self._config.web.tokens,
            probing=self._asked,
            web_config=web_config,
            certificate_role=self._config.web.certificate_role,
            stream=self._stream,
            apps=self._apps,
            on_refusal=self._recorder.turned_away,
        )

    # --- life ----------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, serve until told to stop, stop; the exit code."""
        try:
            code = await self._serve()
            self._not_ready = "stopping"
            self._systemd.stopping()
            clean = await self._lifecycle.stop(STOP_DEADLINE)
        except asyncio.CancelledError:
            log.warning("stop forced by a second signal")
            return 1
        log.info("stopped", extra=fields(clean=clean))
        return code

    async def _serve(self) -> int:
        self._listen_to_signals(asyncio.current_task())
        try:
            await self._start()
        except StartupError as error:
            log.error("start failed", extra=fields(error=str(error)))  # noqa: TRY400 - said in full
            return 1
        gc.freeze()  # what lives as long as the process is not looked through again, nor now
        gc.set_threshold(GARBAGE, 10, 100)
        gc.enable()
        self._not_ready = ""
        self._systemd.ready(f"watching {len(self._monitor)} components")
        log.info("ready", extra=fields(version=__version__, components=len(self._monitor)))
        await self._stopping.wait()
        return 0

    def _listen_to_signals(self, main: asyncio.Task[Any] | None) -> None:
        stop_on_signals(self._stopping, main)
        reload = partial(self.reload, "SIGHUP")
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: self._own(reload()))

    def _own(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- start ---------------------------------------------------------------------------

    async def _start(self) -> None:
        step, config = self._lifecycle.start, self._config
        await step("workers", self._workers.start, self._workers.stop)
        await step("store", self._store.open, self._store.close)
        await step("journal", self._start_journal, self._stop_journal)
        await step("results", self._sampler.start, partial(self._sampler.stop, FLUSH_DEADLINE))
        await step("probes", None, self._probing.close)
        await step("exports", None, self._exporting.close)
        end = partial(self._notifying.stop, DELIVERY_DEADLINE)
        await step("notifications", self._start_notifying, end)
        await step("discovery", self._discover, self._watch.close)
        await step("settings", None, self._tuning.stop)
        await step("components", self._restore, self._monitor.close)
        await step("web", self._bind, self._stop_web)
        await step("timeline", self._start_timeline, self._stop_timeline)
        self._metrics.reloaded(ok=True, at=self._clock.time(), hash=config.hash)

    async def _start_journal(self) -> None:
        self._journal.start()

    async def _stop_journal(self) -> None:
        self._journal.refresh(self._monitor.snapshots())
        await self._journal.stop(FLUSH_DEADLINE)

    async def _start_notifying(self) -> None:
        await self._notifying.start(self._config.notifications, site_of(self._config))

    async def _discover(self) -> None:
        self._config = await self._watch.settled(self._config)

    async def _restore(self) -> None:
        snapshots = await self._store.breakers()
        await self._tuning.start(self._config)
        for item in active(self._config):
            component = self._builder.component(item, self._config)
            self._tuning.settle(component)
            self._monitor.add(component, snapshots.pop(item.name, None))
            tracked(component, self._sampler)
        self._sampler.settle(component.name for component in self._monitor)
        if others := self._apps.restore(snapshots):
            gone = [BreakerInfo(name=name, category=Category.CHECK) for name in others]
            await self._forget(gone)

    async def _forget(self, gone: Sequence[BreakerInfo]) -> None:
        """What is no longer configured has no incident and no state any more."""
        log.info("forgotten", extra=fields(components=len(gone)))
        self._sampler.forget([info.name for info in gone])
        self._plan(self._notifying.withdraw(gone))
        await self._store.forget([info.name for info in gone])

    async def _bind(self) -> None:
        listen = [HostPort.parse(text, listen=True) for text in self._options.listen]
        control = control_path(self._config, self._options.data_dir)
        await self._web.bind(listen or self._config.web.listen, control)
        await self._web.serve()

    async def _stop_web(self) -> None:
        self._apps.close()
        await self._web.stop()

    async def _start_timeline(self) -> None:
        await self._workers.ready()
        self._scheduler.every("applications", HEAR_EVERY, self._apps.tick)
        Housekeeping(
            clock=self._clock,
            config=lambda: self._config,
            scheduler=self._scheduler,
            monitor=self._monitor,
            store=self._store,
            journal=self._journal,
            tuning=self._tuning,
            exporting=self._exporting,
            systemd=self._systemd,
        ).schedule()
        self._scheduler.every("targets", LIST_EVERY, self._retarget)
        self._scheduler.start()

    async def _stop_timeline(self) -> None:
        self._scheduler.pause()
        cancelled = await self._monitor.drain(DRAIN_DEADLINE)
        if cancelled:
            log.warning("runs were cut off by the stop", extra=fields(runs=cancelled))
        await self._scheduler.stop()

    # --- sinks ---------------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        """Durable together: a move and the messages that it causes."""
        if isinstance(event, Transition):
            plan = self._notifying.follow(event)
            self._journal.write(event, plan.messages, plan.rows)
        elif isinstance(event, Action):
            self._journal.write(event)
        elif isinstance(event, RunFailed):
            self._journal.note(event)

    def _plan(self, plan: Plan) -> None:
        self._journal.write(None, plan.messages, plan.rows)

    def store_failed(self) -> None:
        """The journal could not write (:class:`cbmon.store.JournalHooks`)."""
        self._metrics.store_error()

    def committed(self, batch: Sequence[Entry]) -> None:
        """These are durable: their messages may leave."""
        self._notifying.committed(message for entry in batch for message in entry.messages)

    # --- reload --------------------------------------------------------------------------

    async def reload(self, actor: str, request: str | None = None) -> ReloadOutcome:
        """Read the configuration again and bring it into force, or change nothing."""
        async with self._reloading:
            log.info("reload asked for", extra=fields(actor=actor))
            self._systemd.reloading()
            try:
                outcome = await self._reload()
            finally:
                self._systemd.ready(f"watching {len(self._monitor)} components")
            now = self._clock.time()
            self._metrics.reloaded(ok=outcome.ok, at=now, hash=self._config.hash)
            self._monitor.publish(reloaded(outcome, now))
            self._recorder.reloaded(outcome, actor, request)
            return outcome

    async def _reload(self) -> ReloadOutcome:
        try:
            told = await self._files.read_again()
        except ConfigError as error:
            return ReloadOutcome(ok=False, problems=tuple(str(each) for each in error.problems))
        if problems := await self._tuning.problems_with(told.config):
            return ReloadOutcome(ok=False, problems=tuple(problems))
        new = await self._watch.settled(told.config)
        found = await asyncio.to_thread(changes, self._config, new)  # thousands of comparisons
        waiting = tuple(start_only(self._started_with, new))
        for path in waiting:
            log.warning("this change needs a restart", extra=fields(path=path))
        self._config = new
        self._tuning.rebase(new)
        self._probing.programs = ProgramPolicy(new.exec_allow)
        self._web.reconfigure(new.web.tokens, new.web.certificate_role)
        await self._web.apply(told.web_config)
        self._asked.configure(new.web.probe, told.modules, enable=self._options.enable_probe)
        await self._notifying.reconfigure(new.notifications, site_of(new))
        await self._apply(found)
        return ReloadOutcome(
            ok=True,
            added=tuple(item.name for item in found.added),
            removed=found.removed,
            changed=tuple(item.name for _, item in found.changed),
            needs_restart=waiting,
        )

    async def _retarget(self) -> None:
        """Take up targets that came or went as a reload does, without reading the file."""
        if not await self._watch.tick():
            return
        async with self._reloading:
            new = await self._watch.expanded(self._config)
            found = changes(self._config, new)
            self._config = new
            self._tuning.rebase(new)
            await self._apply(found)
        log.info("targets taken up", extra=fields(**found.counts()))

    async def _apply(self, found: Changes) -> None:
        gone = []
        for name in found.removed:
            gone.append(self._monitor.component(name).info)
            await self._monitor.remove(name)
            self._metrics.remove_component(name)
        if gone:
            await self._forget(gone)
        for old, item in found.changed:
            await self._change(old, item)
        for item in found.added:
            component = self._builder.component(item, self._config)
            self._tuning.settle(component)
            self._monitor.add(component)
            tracked(component, self._sampler)

    async def _change(self, old: Item, new: Item) -> None:
        """Bring one changed item into force; its breaker and its counters stay."""
        component = self._monitor.component(new.name)
        component.timeout = new.timeout
        component.track.expect(new.interval + new.timeout)
        component.plan = plan_of(new)
        component.info = component.record.info = info_of(new, self._config)
        self._tuning.settle(component)
        if old.interval != new.interval:
            self._monitor.reschedule(component, new.interval)
        if (old.type, old.options) != (new.type, new.options):
            await self._monitor.replace_runner(component, self._builder.runner(new))
