"""The dashboard *cbmon itself*: whether what the others show can be believed."""

from __future__ import annotations

from typing import Final

from cbmon.dashboards import frame, helpers, traffic
from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import Look, Query, chart, heatmap, override, stat, table
from cbmon.dashboards.queries import LONG, PER_MINUTE, RATE, Scope
from cbmon.dashboards.words import BLUE, GREEN, ORANGE, RED, UP, YES_NO, Json
from cbmon.rules.plan import Plan

UID: Final = "cbmon-itself"
_BUILD: Final = "cbmon_build_info"
_HASH_DIGITS: Final = 12
"""As ``cbmon_config_hash`` has them."""
_ON: Final = "ignoring (version, python_version) group_left ()"
"""Everything but what is the build's alone: clusters may share a job's and an instance's name."""


def itself(plan: Plan) -> Json:
    """The dashboard for a configuration."""
    scope = Scope(plan)
    read = scope.of("cbmon_config_last_reload_success_timestamp_seconds")
    started = f"{scope.of('process_start_time_seconds')} * {_ON} {scope.of(_BUILD)}"
    return frame.dashboard(
        plan,
        uid=UID,
        title="cbmon / Itself",
        about="The daemon: punctuality, configuration, store, exports, applications, resources.",
        variables=frame.daemon_variables(scope, _BUILD),
        annotations=[
            frame.moments("Configurations", f"1000 * ({read} > 0)", BLUE, "{{instance}}"),
            frame.moments("Starts", f"1000 * {started}", ORANGE, "{{instance}}"),
        ],
        sections=[
            Section("Now", [Line(4, _now(scope)), Line(5, [_instances(scope)])]),
            Section(
                "Punctuality",
                [Line(8, _punctuality(scope)), Line(8, [*_runs(scope), helpers.kept(scope)])],
            ),
            Section(
                "Exports",
                [Line(7, [_exports(scope)]), Line(8, _exporting(scope)), traffic.waiting(scope)],
            ),
            traffic.discovered(scope),
            traffic.applications(scope),
            Section("Resources", [Line(8, _resources(scope))]),
            helpers.workers(scope),
        ],
        links=[
            ("Runbook: absent", "/runbooks/CbmonDaemonAbsent"),
            ("Runbook: reload failed", "/runbooks/CbmonReloadFailed"),
            ("Runbook: late", "/runbooks/CbmonSchedulerLate"),
            ("Runbook: store", "/runbooks/CbmonStoreErrors"),
            ("Runbook: workers", "/runbooks/CbmonWorkersDying"),
        ],
    )


def _now(scope: Scope) -> list[Json]:
    number = int(scope.plan.config.hash[:_HASH_DIGITS], 16)
    lag = scope.plan.threshold("CbmonEventLoopLag")
    state = ((None, RED), (1, GREEN))
    return [
        stat(
            "Daemons",
            "Daemons that Prometheus gets metrics of.",
            f"count({scope.of(_BUILD)})",
            Look(unit="short", nothing="none", steps=state),
            colored=True,
        ),
        stat(
            "Configuration in force",
            "Whether the last configuration that was read came into force everywhere.",
            f"min({scope.of('cbmon_config_last_reload_successful')})",
            Look(mappings=YES_NO, nothing="no data", steps=state),
            colored=True,
        ),
        stat(
            "Dashboards are of it",
            "Whether these dashboards were made from the configuration in force everywhere; "
            "if not, run `cbmon dashboards` again.",
            f"min({scope.of('cbmon_config_hash')} == bool {number})",
            Look(mappings=YES_NO, nothing="no data", steps=state),
        ),
        stat(
            "Store errors",
            "Accesses to the store that failed in the time shown.",
            f"sum(increase({scope.of('cbmon_store_errors_total')}[{LONG}]))",
            Look(unit="short", decimals=0, nothing="no data", steps=((None, GREEN), (1, RED))),
        ),
        stat(
            "Event loop lag",
            "The longest time in the last minute that something held up everything else.",
            f"max({scope.of('cbmon_event_loop_lag_seconds')})",
            Look(unit="s", nothing="no data", steps=((None, GREEN), (lag, RED))),
        ),
        stat(
            "Checks",
            "Configured checks.",
            f"count(count by (check) ({scope.of('cbmon_check_info')}))",
            Look(unit="short", nothing="none", steps=((None, BLUE),)),
        ),
    ]


def _instances(scope: Scope) -> Json:
    build = scope.of(_BUILD)
    started = scope.of("process_start_time_seconds")
    read = scope.of("cbmon_config_last_reload_success_timestamp_seconds")
    return table(
        "Each daemon",
        "Each daemon with its version, its start and the moment its configuration came into force.",
        [
            Query(
                expr="1000 * max by (job, instance, version, python_version) "
                f"({build} * {_ON} {started})",
                instant=True,
            ),
            Query(expr=f"1000 * max by (job, instance) ({read})", instant=True),
        ],
        Look(unit="dateTimeAsIso"),
        columns={
            "instance": "Instance",
            "job": "Job",
            "version": "Version",
            "python_version": "Python",
            "Value #A": "Started",
            "Value #B": "Configuration since",
        },
    )


def _punctuality(scope: Scope) -> list[Json]:
    late = f"sum by (le) (increase({scope.of('cbmon_scheduler_lateness_seconds_bucket')}[{RATE}]))"
    by = "sum by (instance, le)"
    rate = f"rate({scope.of('cbmon_scheduler_lateness_seconds_bucket')}[{RATE}])"
    limit = scope.plan.threshold("CbmonSchedulerLate")
    return [
        chart(
            "Lateness of one run in a hundred",
            f"One run in a hundred started so late or later; an alert fires above {limit:g} s.",
            [Query(expr=f"histogram_quantile(0.99, {by} ({rate})) >= 0", legend="{{instance}}")],
            Look(unit="s"),
        ),
        heatmap(
            "Lateness of runs",
            "By how much runs started later than they were due.",
            Query(expr=late, legend="{{le}}", heatmap=True),
        ),
        chart(
            "Event loop lag over time",
            "The longest time in the last minute that something held up everything else.",
            [
                Query(
                    expr=f"max by (instance) ({scope.of('cbmon_event_loop_lag_seconds')})",
                    legend="{{instance}}",
                )
            ],
            Look(unit="s"),
        ),
    ]


def _runs(scope: Scope) -> list[Json]:
    runs, skipped = scope.of("cbmon_check_runs_total"), scope.of("cbmon_check_skipped_total")
    errors = scope.of("cbmon_store_errors_total")
    return [
        chart(
            "Runs of checks",
            "Runs of checks per minute.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (instance) (rate({runs}[{RATE}]))",
                    legend="{{instance}}",
                )
            ],
            Look(unit="cpm"),
        ),
        chart(
            "Skipped runs by cause",
            "Planned runs of checks that did not happen, per minute.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (cause) (rate({skipped}[{RATE}])) > 0",
                    legend="{{cause}}",
                )
            ],
            Look(unit="cpm"),
            stacked="areas",
        ),
        chart(
            "Store errors over time",
            "Accesses to the store that failed per minute.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (instance) (rate({errors}[{RATE}]))",
                    legend="{{instance}}",
                )
            ],
            Look(unit="short", decimals=0),
        ),
    ]


def _exports(scope: Scope) -> Json:
    by = "export, kind, target"
    good = scope.of("cbmon_export_last_success_timestamp_seconds")
    info = f"max by ({by}) ({scope.of('cbmon_export_info')})"
    last = f"(max by (export) ({good}) > 0)"
    up = f"min by (export) ({scope.of('cbmon_export_up')})"
    return table(
        "Exports",
        "Where metrics are pushed to, and when that last worked.",
        [
            Query(expr=f"{info} * on (export) group_left () {up}", instant=True),
            Query(expr=f"1000 * {last}", instant=True),
        ],
        Look(
            overrides=[
                override("Up", mappings=UP, custom__cellOptions={"type": "color-text"}),
                override("Last success", unit="dateTimeFromNow"),
                override(
                    "Export",
                    links=[
                        frame.to(
                            "cbmon-breaker", "Breaker", component="${__value.raw:percentencode}"
                        )
                    ],
                ),
            ]
        ),
        columns={
            "export": "Export",
            "kind": "Type",
            "target": "Target",
            "Value #A": "Up",
            "Value #B": "Last success",
        },
    )


def _exporting(scope: Scope) -> list[Json]:
    failed = scope.of("cbmon_export_failures_total")
    spent = scope.of("cbmon_export_last_duration_seconds")
    return [
        chart(
            "Failed exports by reason",
            "Runs of exports that failed per minute, by what was wrong.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (export, reason) (rate({failed}[{RATE}])) > 0",
                    legend="{{export}}: {{reason}}",
                )
            ],
            Look(unit="cpm"),
            stacked="bars",
        ),
        chart(
            "Duration of exports",
            "How long the last run of each export took.",
            [Query(expr=f"max by (export) ({spent})", legend="{{export}}")],
            Look(unit="s"),
        ),
    ]


def _resources(scope: Scope) -> list[Json]:
    def ours(expr: str) -> str:
        return f"sum by (instance) ({expr} * {_ON} {scope.of(_BUILD)})"

    cpu = f"rate({scope.of('process_cpu_seconds_total')}[{RATE}])"
    memory = scope.of("process_resident_memory_bytes")
    files = f"{scope.of('process_open_fds')} / {scope.of('process_max_fds')}"
    return [
        chart(
            "Processor",
            "Share of one processor that the daemon uses.",
            [Query(expr=ours(cpu), legend="{{instance}}")],
            Look(unit="percentunit"),
        ),
        chart(
            "Memory",
            "Memory that the daemon holds.",
            [Query(expr=ours(memory), legend="{{instance}}")],
            Look(unit="bytes"),
        ),
        chart(
            "Open files",
            "Open files and connections, as a share of what the system allows.",
            [Query(expr=ours(f"({files})"), legend="{{instance}}")],
            Look(unit="percentunit"),
        ),
    ]
