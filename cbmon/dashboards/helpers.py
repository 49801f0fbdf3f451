"""Panels about what helps the daemon: worker processes, plug-ins' measurements, kept results.

Rule: empty where nothing of it is configured. Parts of *cbmon itself* and of *Check*.
"""

from __future__ import annotations

from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import Look, Query, chart
from cbmon.dashboards.queries import PER_MINUTE, RATE, Scope
from cbmon.dashboards.words import Json

_WORKER = "instance, worker"
_EACH = "{{instance}} worker {{worker}}"


def workers(scope: Scope) -> Section:
    """The processes that look at targets beside the main one."""
    return Section("Workers", [Line(8, _working(scope)), Line(8, _used(scope))])


def _working(scope: Scope) -> list[Json]:
    def of(name: str) -> str:
        return scope.of(f"cbmon_worker{name}")

    return [
        chart(
            "Workers in service",
            "How many of the configured workers take orders.",
            [
                Query(expr=f"sum by (instance) ({of('s')} > 0)", legend="{{instance}}: configured"),
                Query(expr=f"sum by (instance) ({of('_up')})", legend="{{instance}}: in service"),
            ],
            Look(unit="short", decimals=0),
        ),
        chart(
            "Runs by worker",
            "Runs that ended in each worker, per minute.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by ({_WORKER}) (rate({of('_runs_total')}[{RATE}]))",
                    legend=_EACH,
                )
            ],
            Look(unit="cpm"),
        ),
        chart(
            "Runs under way",
            "Runs that each worker was ordered to do and that have not ended.",
            [Query(expr=f"sum by ({_WORKER}) ({of('_runs_in_flight')})", legend=_EACH)],
            Look(unit="short", decimals=0),
        ),
        chart(
            "Deaths of workers",
            "How often per minute a worker was replaced, runs that began again for it, and runs "
            "that no worker answered.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (instance) (rate({of('_restarts_total')}[{RATE}]))",
                    legend="{{instance}}: replaced",
                ),
                Query(
                    expr=f"{PER_MINUTE}sum by (instance) "
                    f"(rate({of('_runs_repeated_total')}[{RATE}]))",
                    legend="{{instance}}: runs begun again",
                ),
                Query(
                    expr=f"{PER_MINUTE}sum by (instance) "
                    f"(rate({of('_runs_unanswered_total')}[{RATE}]))",
                    legend="{{instance}}: runs not answered",
                ),
            ],
            Look(unit="cpm"),
        ),
    ]


def _used(scope: Scope) -> list[Json]:
    cpu = scope.of("cbmon_worker_cpu_seconds_total")
    memory = scope.of("cbmon_worker_resident_memory_bytes")
    files = scope.of("cbmon_worker_open_fds")
    return [
        chart(
            "Processor of workers",
            "Share of one processor that each worker uses.",
            [Query(expr=f"sum by ({_WORKER}) (rate({cpu}[{RATE}]))", legend=_EACH)],
            Look(unit="percentunit"),
        ),
        chart(
            "Memory of workers",
            "Memory that each worker holds.",
            [Query(expr=f"sum by ({_WORKER}) ({memory})", legend=_EACH)],
            Look(unit="bytes"),
        ),
        chart(
            "Open files of workers",
            "Open files and connections of each worker.",
            [Query(expr=f"sum by ({_WORKER}) ({files})", legend=_EACH)],
            Look(unit="short", decimals=0),
        ),
    ]


def kept(scope: Scope) -> Json:
    """What becomes of the results of runs."""
    stored = scope.of("cbmon_results_stored_total")
    dropped = scope.of("cbmon_results_dropped_total")
    return chart(
        "Results in the store",
        "Results of runs that were written to the store, and those that were given up, per minute.",
        [
            Query(
                expr=f"{PER_MINUTE}sum by (instance) (rate({stored}[{RATE}]))",
                legend="{{instance}}: stored",
            ),
            Query(
                expr=f"{PER_MINUTE}sum by (instance) (rate({dropped}[{RATE}]))",
                legend="{{instance}}: given up",
            ),
        ],
        Look(unit="cpm"),
    )


def told(scope: Scope, its: str) -> Section:
    """What the plug-in of the check ``its`` (a matcher) measured, by unit."""

    def of(name: str) -> str:
        return f"max by (label) ({scope.of(f'cbmon_check_perfdata_{name}', its)})"

    missing = f"(1 - min by (label) ({scope.of('cbmon_check_perfdata_told', its)})) > 0"
    count = scope.of("cbmon_check_perfdata_total", its)
    rate = f"{PER_MINUTE}sum by (label) (rate({count}[{RATE}]))"
    return Section(
        "Told by its plug-in",
        [
            Line(
                8,
                [
                    _plain("Times", "Seconds that the plug-in said last.", of("seconds"), "s"),
                    _plain("Sizes", "Bytes that the plug-in said last.", of("bytes"), "bytes"),
                    _plain("Shares", "What the plug-in said in %.", of("ratio"), "percentunit"),
                ],
            ),
            Line(
                8,
                [
                    _plain("Values", "What else the plug-in said last.", of("value"), "short"),
                    _plain("Counts", "Increase per minute of the plug-in's counts.", rate, "short"),
                    _plain(
                        "Not told",
                        "Labels that are configured and that the last run did not tell.",
                        missing,
                        "short",
                    ),
                ],
            ),
        ],
    )


def _plain(title: str, about: str, expr: str, unit: str) -> Json:
    return chart(title, about, [Query(expr=expr, legend="{{label}}")], Look(unit=unit))
