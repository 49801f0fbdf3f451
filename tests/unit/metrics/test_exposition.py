"""What a scrape shows: everything from the start, the same as prometheus_client, nothing stale."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from cbmon.backlog import Backlog, DropCause
from cbmon.metrics import BreakerCollector, ComponentRecord
from cbmon.metrics import families as f
from cbmon.metrics.records import DiscoveryRecord
from cbmon.model import Category, Phase, Reason, Result, SkipCause, Unit

if TYPE_CHECKING:
    from tests.unit.metrics.conftest import Daemon

Parsed = dict[str, tuple[str, str, frozenset[tuple[str, frozenset[tuple[str, str]], float]]]]


def parsed(families: object) -> Parsed:
    """By name: type, unit and samples; families without samples and the process's own left out."""
    return {
        family.name: (
            family.type,
            family.unit,
            frozenset((s.name, frozenset(s.labels.items()), s.value) for s in family.samples),
        )
        for family in families  # type: ignore[attr-defined]
        if family.samples and not family.name.startswith(("process_", "python_"))
    }


def only(found: Parsed, *prefixes: str) -> Parsed:
    return {name: told for name, told in found.items() if name.startswith(prefixes)}


def runs(found: Parsed) -> Parsed:
    """What checks and exports have in common."""
    apart = {family.name.removesuffix("_total") for family in f.WAITING}
    shared = only(found, "cbmon_check", "cbmon_export")
    return {name: told for name, told in shared.items() if name.removesuffix("_total") not in apart}


class TestAgainstPrometheusClient:
    def test_checks_and_exports_parse_to_the_same_families_in_text(
        self, busy: Daemon, reference: Callable[[Daemon], CollectorRegistry]
    ) -> None:
        ours = parsed(parse_text(busy.text()))
        theirs = parsed(parse_text(generate_latest(reference(busy)).decode()))
        assert runs(ours) == theirs
        assert len(theirs) == 23 - 1  # no export saw a certificate

    def test_checks_and_exports_parse_to_the_same_families_in_openmetrics(
        self, busy: Daemon, reference: Callable[[Daemon], CollectorRegistry]
    ) -> None:
        text = busy.metrics.exposition.openmetrics().decode()
        ours = parsed(parse_openmetrics(text))  # type: ignore[no-untyped-call]
        latest = openmetrics_latest(reference(busy)).decode()  # type: ignore[no-untyped-call]
        theirs = parsed(parse_openmetrics(latest))  # type: ignore[no-untyped-call]
        assert runs(ours) == theirs

    def test_what_exports_keep_is_told_of_every_export(self, busy: Daemon) -> None:
        record = busy.metrics.records(Category.EXPORT)[0]
        assert isinstance(record, ComponentRecord)
        record.backlog = backlog = Backlog()
        backlog.queue, backlog.bytes, backlog.oldest, backlog.samples = 3, 70, 12.5, 9
        backlog.drop(DropCause.FULL, 4)
        lines = busy.text().splitlines()
        label = f'export="{record.name}"'
        assert f"cbmon_export_queue_length{{{label}}} 3" in lines
        assert f"cbmon_export_queue_bytes{{{label}}} 70" in lines
        assert f"cbmon_export_oldest_timestamp_seconds{{{label}}} 12.500" in lines
        assert f"cbmon_export_samples_total{{{label}}} 9" in lines
        dropped = [line for line in lines if line.startswith("cbmon_export_dropped_samples_total")]
        of_it = [line for line in dropped if label in line]
        assert len(of_it) == len(DropCause)
        assert sum(line.endswith(" 4") for line in of_it) == 1
        exports = len(busy.metrics.records(Category.EXPORT))
        assert len(dropped) == exports * len(DropCause), "all of them from the start"

    def test_breakers_parse_to_what_the_librarys_collector_gives(
        self, busy: Daemon, breaker_reference: Callable[[Daemon], list[Metric]]
    ) -> None:
        records = [record for category in Category for record in busy.metrics.records(category)]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(BreakerCollector(record.breaker for record in records))
        ours = only(parsed(parse_text(busy.text())), "circuit_breaker")
        theirs = parsed(parse_text(generate_latest(registry).decode()))
        durations = "circuit_breaker_call_duration_seconds"
        (family,) = breaker_reference(busy)
        assert ours.pop(durations)[2] == theirs.pop(durations)[2] | frozenset(
            (s.name, frozenset(s.labels.items()), s.value) for s in family.samples
        )
        assert ours == theirs
        assert len(ours) == len(f.BREAKERS) - 1

    def test_both_formats_show_the_same_samples(self, busy: Daemon) -> None:
        def samples(text: str) -> list[str]:
            lines = text.splitlines()
            return [line for line in lines if not line.startswith(("#", "process_", "python_"))]

        exposition = busy.metrics.exposition
        assert samples(exposition.text().decode()) == samples(exposition.openmetrics().decode())

    def test_openmetrics_ends_with_its_mark_and_only_there(self, busy: Daemon) -> None:
        text = busy.metrics.exposition.openmetrics()
        assert text.endswith(b"\n# EOF\n")
        assert text.count(b"# EOF") == 1


class TestFromTheStart:
    def test_every_value_of_a_closed_set_has_its_series_at_0(self, daemon: Daemon) -> None:
        daemon.add("api")
        daemon.add("out", Category.EXPORT)
        zero = [
            f'cbmon_{word}_{name}{{{word}="{of}",{label}="{value}"}}'
            for word, of in (("check", "api"), ("export", "out"))
            for name, label, values in (
                ("failures_total", "reason", Reason),
                ("skipped_total", "cause", SkipCause),
                ("phase_last_seconds", "phase", Phase),
            )
            for value in values
        ]
        zero += [
            f'circuit_breaker_transitions_total{{category="check",component="api",{move}}}'
            for move in (
                'from_state="closed",to_state="open"',
                'from_state="open",to_state="half_open"',
                'from_state="half_open",to_state="closed"',
                'from_state="half_open",to_state="open"',
                'from_state="half_open",to_state="disabled"',
            )
        ]
        assert {series: daemon.value(series) for series in zero} == dict.fromkeys(zero, 0.0)

    def test_a_new_check_has_a_series_of_every_family_but_those_that_may_be_absent(
        self, daemon: Daemon
    ) -> None:
        daemon.add("api")
        daemon.metrics.add_receiver("oncall")
        daemon.add("out", Category.EXPORT)
        daemon.metrics.discoveries["fleet"] = DiscoveryRecord("fleet")
        daemon.metrics.add_perfdata("api", {unit: unit for unit in get_args(Unit)})
        text = daemon.text()
        for family in f.every():
            suffix = "_count" if family.type == "histogram" else ""
            shown = f"\n{family.name}{suffix}" in text
            assert shown or family.absent, family.name

    def test_the_state_is_one_hot(self, busy: Daemon) -> None:
        shown = {
            state: busy.value(
                f'circuit_breaker_status{{category="export",component="gateway",state="{state}"}}'
            )
            for state in f.STATES
        }
        assert shown == {state: float(state == "forced_open") for state in f.STATES}
        assert busy.value('circuit_breaker_state{category="export",component="gateway"}') == 0

    def test_a_ratio_is_absent_below_its_minimum_and_never_negative(self, daemon: Daemon) -> None:
        record, breaker = daemon.add("api", kind="percentage", minimum_calls=2)
        series = 'circuit_breaker_failure_ratio{category="check",component="api"}'
        daemon.run(record, breaker, Result(ok=True, duration=0.1))
        assert daemon.value(series) is None
        daemon.run(record, breaker, Result(ok=True, duration=0.1))
        assert daemon.value(series) == 0.0

    def test_the_recovery_deadline_is_shown_while_there_is_one(self, daemon: Daemon) -> None:
        record, breaker = daemon.add("api", failure_threshold=1)
        series = 'circuit_breaker_open_until_timestamp_seconds{category="check",component="api"}'
        assert daemon.value(series) is None
        daemon.run(record, breaker, Result(ok=False, duration=0.1, reason=Reason.DNS, error="x"))
        assert daemon.value(series) == pytest.approx(daemon.clock.time() + 60.0)
        daemon.clock.advance(61.0)
        assert daemon.value('circuit_breaker_state{category="check",component="api"}') == 0.5
        assert daemon.value(series) is None

    def test_a_persons_move_has_its_series_once_it_was_made(self, busy: Daemon) -> None:
        series = (
            'circuit_breaker_transitions_total{category="export",component="gateway",'
            'from_state="closed",to_state="forced_open"}'
        )
        assert busy.value(series) == 1
        assert series.replace("gateway", "plain").replace("export", "check") not in busy.series()

    def test_runs_that_an_open_breaker_passes_over_show_while_they_pass(
        self, daemon: Daemon
    ) -> None:
        record, _ = daemon.add("api")
        record.hold(10.0, daemon.clock.monotonic())
        daemon.clock.advance(35.0)
        assert daemon.value('cbmon_check_skipped_total{check="api",cause="breaker"}') == 3

    def test_the_next_run_is_shown_in_wall_time_and_0_when_parked(self, busy: Daemon) -> None:
        series = 'cbmon_check_next_run_timestamp_seconds{check="%s"}'
        assert busy.value(series % "plain") == pytest.approx(busy.clock.time() + 7.5)
        assert busy.value(series % "windowed") == 0

    def test_the_daemons_own_numbers_are_there(self, busy: Daemon) -> None:
        assert busy.value("cbmon_config_hash") == 0xFFEE
        assert busy.value("cbmon_config_last_reload_successful") == 1
        assert busy.value("cbmon_config_last_reload_success_timestamp_seconds") == 1_767_225_600.25
        assert busy.value('cbmon_scheduler_lateness_seconds_bucket{le="0.005"}') == 1
        assert busy.value("cbmon_event_loop_lag_seconds") == 0.02
        assert busy.value("cbmon_store_errors_total") == 1
        assert busy.value('cbmon_notifications_total{receiver="oncall"}') == 2
        failed = 'cbmon_notifications_failed_total{reason="%s",receiver="oncall"}'
        assert (busy.value(failed % "connect"), busy.value(failed % "dns")) == (1, 0)
        held = 'cbmon_notifications_suppressed_total{reason="%s",receiver="oncall"}'
        assert (busy.value(held % "silenced"), busy.value(held % "flapping")) == (1, 0)
        assert busy.value('cbmon_notification_queue_length{receiver="hook"}') == 3
        assert busy.value('cbmon_notification_dead_letters{receiver="hook"}') == 1
        assert "process_resident_memory_bytes" in busy.series()
        assert any(line.startswith('cbmon_build_info{python_version="3') for line in busy.series())

    def test_a_receivers_breaker_has_all_that_a_checks_breaker_has(self, busy: Daemon) -> None:
        durations = "circuit_breaker_call_duration_seconds_count"
        assert busy.value(f'{durations}{{category="receiver",component="oncall"}}') == 1
        assert (
            busy.value('circuit_breaker_calls_total{category="receiver",component="oncall"}') == 1
        )

    def test_a_refused_configuration_keeps_the_time_of_the_last_good_one(
        self, daemon: Daemon
    ) -> None:
        daemon.metrics.reloaded(ok=True, at=100.0, hash="no hex digits")
        before = daemon.value("cbmon_config_hash")
        daemon.metrics.reloaded(ok=False, at=200.0, hash="no hex digits")
        assert daemon.value("cbmon_config_last_reload_successful") == 0
        assert daemon.value("cbmon_config_last_reload_success_timestamp_seconds") == 100.0
        assert daemon.value("cbmon_config_hash") == before != 0

    def test_an_unknown_receiver_is_no_error_and_makes_no_series(self, daemon: Daemon) -> None:
        daemon.metrics.notified("gone", 1.0)
        daemon.metrics.notification_failed("gone", Reason.DNS)
        daemon.metrics.notification_suppressed("gone", "silenced")
        daemon.metrics.backlog("gone", 1, None, 0)
        assert "gone" not in daemon.text()

    def test_only_checks_and_exports_are_components(self, daemon: Daemon) -> None:
        with pytest.raises(ValueError, match="neither a check nor an export"):
            daemon.add("oncall", Category.RECEIVER)


class TestAfterwards:
    def test_what_was_removed_is_gone_at_the_next_scrape(self, busy: Daemon) -> None:
        for category in Category:
            for record in list(busy.metrics.records(category)):
                if category in {Category.CHECK, Category.EXPORT}:
                    busy.metrics.remove_component(record.breaker.name)
                else:
                    busy.metrics.remove_breaker(record.breaker)
        for receiver in ("oncall", "hook"):
            busy.metrics.remove_receiver(receiver)
        busy.metrics.remove_component("never there")
        assert not {
            series for series in busy.series() if "component=" in series or "receiver=" in series
        }
        assert not {series for series in busy.series() if "check=" in series}

    def test_the_output_is_sorted_and_does_not_depend_on_who_came_first(
        self, daemon: Daemon
    ) -> None:
        for name in ("b", "c", "a"):
            daemon.add(name)
        runs = [line for line in daemon.text().splitlines() if line.startswith("cbmon_check_runs")]
        assert [line.split('"')[1] for line in runs] == ["a", "b", "c"]
        daemon.metrics.remove_component("b")
        daemon.add("b")
        again = [line for line in daemon.text().splitlines() if line.startswith("cbmon_check_runs")]
        assert again == runs

    def test_no_label_collides_with_what_prometheus_adds(self, busy: Daemon) -> None:
        forbidden = {"job", "instance", "type", "service", "env"}
        assert not forbidden & {label for family in f.every() for label in family.labels}
        for family in parse_text(busy.text()):
            if not family.name.startswith(("process_", "python_")):
                assert not forbidden & {label for s in family.samples for label in s.labels}

    def test_the_labels_are_those_that_the_table_says(self, busy: Daemon) -> None:
        table = {family.name: set(family.labels) for family in f.every()}
        for family in parse_text(busy.text()):
            for sample in family.samples:
                base = sample.name
                for suffix in ("_bucket", "_sum", "_count"):
                    base = base.removesuffix(suffix) if family.type == "histogram" else base
                if base in table:
                    assert set(sample.labels) - {"le"} == table[base], base
                else:
                    assert base.startswith(("process_", "python_")), base


class TestSlices:
    async def test_others_get_their_turn_while_a_scrape_is_rendered(self, daemon: Daemon) -> None:
        for number in range(600):
            daemon.add(f"check-{number}")
        turns = 0

        async def neighbour() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(neighbour())
        text = await daemon.metrics.exposition.render(pause_after=0.0)
        task.cancel()
        assert turns > 100
        assert text.count(b"cbmon_check_up{") == 600

    async def test_a_check_that_goes_or_comes_during_a_scrape_does_not_break_it(
        self, daemon: Daemon
    ) -> None:
        for number in range(300):
            daemon.add(f"check-{number:03}")
        chunks = []
        stream = daemon.metrics.exposition.stream(pause_after=0.0)
        chunks.append(await anext(stream))
        daemon.metrics.remove_component("check-200")
        daemon.add("newcomer")
        chunks += [chunk async for chunk in stream]
        text = b"".join(chunks).decode()
        assert text.count("cbmon_check_up{") == 300
        assert list(parse_text(text))
        assert 'check="check-200"' not in daemon.text()

    @pytest.mark.parametrize("openmetrics", [False, True])
    async def test_all_ways_of_rendering_give_the_same(
        self, busy: Daemon, openmetrics: bool
    ) -> None:
        def stable(text: bytes) -> list[bytes]:
            lines = text.splitlines()
            return [line for line in lines if not line.startswith((b"process_", b"python_"))]

        exposition = busy.metrics.exposition
        plain = exposition.openmetrics() if openmetrics else exposition.text()
        sliced = await exposition.render(openmetrics=openmetrics, pause_after=0.0)
        packed = await exposition.render_gzip(openmetrics=openmetrics)
        assert stable(sliced) == stable(plain) == stable(gzip.decompress(packed))


def test_promtool_has_nothing_to_say(busy: Daemon) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed")
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=busy.metrics.exposition.text(),
        capture_output=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
