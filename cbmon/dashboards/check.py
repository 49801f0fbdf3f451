"""The dashboard *Check*: one check, what it found, how long it took and why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cbmon.dashboards import frame, helpers
from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import Look, Query, chart, dashed, stat, table, timeline
from cbmon.dashboards.queries import LONG, PER_MINUTE, RATE, Scope, limits
from cbmon.dashboards.words import BLUE, GREEN, ORANGE, RED, STATE, UP, Json
from cbmon.rules.classes import DAY
from cbmon.rules.plan import Plan

UID: Final = "cbmon-check"
_ITS: Final = 'check="$check"'


def check(plan: Plan) -> Json:
    """The dashboard for a configuration."""
    scope = Scope(plan, ('category="check"', 'component="$check"'))
    names = scope.variable("cbmon_check_info", "check", 'job=~"$job",instance=~"$instance"')
    return frame.dashboard(
        plan,
        uid=UID,
        title="cbmon / Check",
        about="One check: whether its target is up, how long it takes, why it fails.",
        variables=[
            *frame.daemon_variables(scope, "cbmon_check_info"),
            frame.variable("check", "Check", names, many=False),
        ],
        annotations=[frame.transitions(scope)],
        sections=[
            Section("Now", [Line(4, _now(scope), (3, 3, 3, 4, 3, 4, 4)), Line(4, [_what(scope)])]),
            Section("Time", [Line(6, [_up(scope)]), Line(9, _durations(scope))]),
            Section("Runs", [Line(8, _runs(scope))]),
            helpers.told(scope, _ITS),
        ],
        links=[
            ("This check", "/components/${check:percentencode}"),
            ("Runbook: runs failing", "/runbooks/CbmonRunsFailing"),
            ("Runbook: stale", "/runbooks/CbmonCheckStale"),
            ("Runbook: certificate", "/runbooks/CbmonCertificateExpiring"),
        ],
    )


def _its(scope: Scope, metric: str, *matchers: str) -> str:
    return scope.of(f"cbmon_check_{metric}", _ITS, *matchers)


def _now(scope: Scope) -> list[Json]:
    good = _its(scope, "last_success_timestamp_seconds")
    due = _its(scope, "next_run_timestamp_seconds")
    expiry = _its(scope, "certificate_expiry_timestamp_seconds")
    blue = ((None, BLUE),)
    to_breaker = frame.to("cbmon-breaker", "Breaker", component="${check:percentencode}")
    return [
        stat(
            "Up",
            "Whether the last run succeeded, on every instance.",
            f"min({_its(scope, 'up')})",
            Look(mappings=UP, steps=((None, RED), (1, GREEN))),
            colored=True,
        ),
        stat(
            "Breaker",
            "The state of the check's breaker.",
            f"min({scope.breaker('state')})",
            Look(
                mappings=STATE, links=[to_breaker], steps=((None, RED), (0.5, ORANGE), (1, GREEN))
            ),
            colored=True,
        ),
        stat(
            "Last duration",
            "How long the last run took.",
            f"max({_its(scope, 'last_duration_seconds')})",
            Look(unit="s", nothing="no data", steps=blue),
        ),
        stat(
            "Last success",
            "When a run last succeeded.",
            f"1000 * max({good} > 0)",
            Look(unit="dateTimeFromNow", nothing="never", steps=blue),
        ),
        stat(
            "Next run in",
            "Time until the next planned run.",
            f"min({due} > 0) - time()",
            Look(unit="s", decimals=0, nothing="none planned", steps=blue),
        ),
        stat(
            "Certificate expires in",
            "Time until the first certificate of the chain expires.",
            f"min({expiry}) - time()",
            Look(unit="s", decimals=0, nothing="none seen", steps=_days(scope.plan)),
        ),
        stat(
            "Domain ends in",
            "Time until the registration of the target's domain ends, if the check asks for it.",
            f"min({_its(scope, 'domain_expiry_timestamp_seconds')}) - time()",
            Look(
                unit="s",
                decimals=0,
                nothing="not asked",
                steps=((None, RED), (scope.plan.threshold("CbmonDomainExpiring") * DAY, GREEN)),
            ),
        ),
    ]


def _days(plan: Plan) -> tuple[tuple[float | None, str], ...]:
    critical = plan.threshold("CbmonCertificateAlmostExpired") * DAY
    warning = plan.threshold("CbmonCertificateExpiring") * DAY
    return ((None, RED), (critical, ORANGE), (max(critical, warning), GREEN))


def _what(scope: Scope) -> Json:
    runs, failed = _its(scope, "runs_total"), _its(scope, "failures_total")
    by = "check, kind, group, target"
    total = f"sum by (check) (increase({runs}[{LONG}]))"
    bad = f"sum by (check) (increase({failed}[{LONG}]))"
    info = f"max by ({by}) ({_its(scope, 'info')})"
    return table(
        "What it is",
        "Type, group and target, and the share of its runs in the time shown that failed.",
        [Query(expr=f"{info} * on (check) group_left () ({bad} / {total})", instant=True)],
        Look(unit="percentunit", decimals=2),
        columns={
            "check": "Check",
            "kind": "Type",
            "group": "Group",
            "target": "Target",
            "Value": "Failed runs",
        },
    )


def _up(scope: Scope) -> Json:
    return timeline(
        "Up over time",
        "Whether the last run succeeded, a row for each instance.",
        Query(expr=scope.known("job, instance", _its(scope, "up")), legend="{{instance}}"),
        UP,
        [],
    )


def _durations(scope: Scope) -> list[Json]:
    phases = _its(scope, "phase_last_seconds")
    checks = {one.name: one for one in scope.plan.checks}
    slow = {
        name: one.policy.slow_call_seconds
        for name, one in checks.items()
        if one.policy.slow_call_seconds is not None
    }
    timeouts = {name: one.timeout for name, one in checks.items()}
    duration = _its(scope, "last_duration_seconds")
    return [
        chart(
            "Phases",
            "How long each phase of the last run took, stacked.",
            [Query(expr=f"max by (phase) ({phases})", legend="{{phase}}")],
            Look(unit="s"),
            stacked="areas",
        ),
        chart(
            "Duration",
            "How long the last run took, with the timeout and, where configured, the duration "
            "from which a call is slow.",
            [
                Query(expr=f"max({duration})", legend="duration"),
                *_limit(scope, timeouts, "limit: timeout"),
                *_limit(scope, slow, "limit: slow"),
            ],
            Look(
                unit="s", overrides=[dashed("limit: slow", ORANGE), dashed("limit: timeout", RED)]
            ),
        ),
    ]


def _limit(scope: Scope, values: Mapping[str, float], legend: str) -> list[Query]:
    def up(*matchers: str) -> str:
        return _its(scope, "up", *matchers)

    expr = limits(up, "check", values, whole=len(values) == len(scope.plan.checks))
    return [Query(expr=expr, legend=legend)] if expr else []


def _runs(scope: Scope) -> list[Json]:
    failed = _its(scope, "failures_total")
    skipped = _its(scope, "skipped_total")
    runs = _its(scope, "runs_total")
    whole = Look(unit="cpm")
    return [
        chart(
            "Failed runs by reason",
            "Runs that failed per minute, by what was wrong.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (reason) (rate({failed}[{RATE}])) > 0",
                    legend="{{reason}}",
                )
            ],
            whole,
            stacked="bars",
        ),
        chart(
            "Runs",
            "Runs that ended per minute, whatever they found.",
            [Query(expr=f"{PER_MINUTE}sum(rate({runs}[{RATE}]))", legend="runs")],
            whole,
        ),
        chart(
            "Skipped runs by cause",
            "Planned runs that did not happen, per minute, and why.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (cause) (rate({skipped}[{RATE}])) > 0",
                    legend="{{cause}}",
                )
            ],
            whole,
            stacked="bars",
        ),
    ]
