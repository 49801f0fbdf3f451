"""The dashboard *Overview*: how everything is, what failed, what will fail next."""

from __future__ import annotations

from typing import Final

from cbmon.dashboards import frame
from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import (
    Look,
    Query,
    chart,
    override,
    ranking,
    stat,
    table,
    timeline,
)
from cbmon.dashboards.queries import LONG, PER_MINUTE, RATE, WORKING, Scope
from cbmon.dashboards.words import BLUE, GREEN, ORANGE, PURPLE, RED, STATE, Json
from cbmon.rules.classes import DAY
from cbmon.rules.plan import Plan

UID: Final = "cbmon-overview"
_BY: Final = "component, category"
_CHOSEN: Final = ('category=~"$category"', 'component=~"$component"')
_MOST: Final = 10


def overview(plan: Plan) -> Json:
    """The dashboard for a configuration."""
    scope = Scope(plan, _CHOSEN)
    known = 'job=~"$job",instance=~"$instance"'
    category = scope.variable("circuit_breaker_state", "category", known)
    component = scope.variable(
        "circuit_breaker_state", "component", f'{known},category=~"$category"'
    )
    return frame.dashboard(
        plan,
        uid=UID,
        title="cbmon / Overview",
        about="Every circuit breaker and what needs attention.",
        variables=[
            *frame.daemon_variables(scope, "circuit_breaker_state"),
            frame.variable("category", "Category", category),
            frame.variable("component", "Component", component),
        ],
        annotations=[frame.transitions(scope, RED, "open", "forced_open", "disabled")],
        sections=[
            Section("Now", [Line(4, _counts(scope))]),
            Section("States", [Line(12, [_timeline(scope)])]),
            Section("Failures", [Line(9, _failures(scope)), Line(9, [_incidents(scope)])]),
            Section("Next", [Line(9, _next(scope))]),
        ],
        links=[("Runbook: breaker open", "/runbooks/CircuitBreakerOpen")],
    )


def _counts(scope: Scope) -> list[Json]:
    one = f"min by ({_BY}) ({scope.breaker('state')})"
    working = f"(count({one} == 1) or vector(0)) / count({one})"
    half = ((None, RED), (0.5, ORANGE), (1.0, GREEN))
    return [
        stat(
            "Breakers",
            "Breakers that Prometheus knows, of checks, exports, receivers and applications.",
            f"count({one})",
            Look(unit="short", nothing="none", steps=((None, BLUE),)),
        ),
        stat(
            "Working",
            "Share of the breakers that let calls through.",
            working,
            Look(unit="percentunit", decimals=1, nothing="none", steps=half),
            colored=True,
        ),
        _count(scope, "Closed", "Breakers that work.", "closed", GREEN),
        _count(scope, "Half-open", "Breakers that are being tried.", "half_open", ORANGE),
        _count(scope, "Open", "Breakers that reject calls because they failed.", "open", RED),
        _count(
            scope,
            "Out of service",
            "Breakers that were forced open or disabled, by themselves or by a person.",
            "forced_open|disabled",
            PURPLE,
        ),
        _soonest(scope),
    ]


def _count(scope: Scope, title: str, about: str, states: str, color: str) -> Json:
    status = scope.breaker("status", f'state=~"{states}"')
    expr = f"count(max by ({_BY}) ({status}) == 1) or vector(0)"
    steps = ((None, GREEN), (1.0, color))
    return stat(title, about, expr, Look(unit="short", steps=steps), colored=True)


def _soonest(scope: Scope) -> Json:
    expiry = scope.of("cbmon_check_certificate_expiry_timestamp_seconds")
    return stat(
        "First certificate",
        "Time until the first certificate expires that a check has seen.",
        f"min({expiry}) - time()",
        Look(unit="s", decimals=0, nothing="none seen", steps=_days(scope.plan)),
    )


def _days(plan: Plan) -> tuple[tuple[float | None, str], ...]:
    critical = plan.threshold("CbmonCertificateAlmostExpired") * DAY
    warning = plan.threshold("CbmonCertificateExpiring") * DAY
    return ((None, RED), (critical, ORANGE), (max(critical, warning), GREEN))


def _timeline(scope: Scope) -> Json:
    return timeline(
        "State of every breaker",
        "0 open, 0.5 half-open, 1 closed; of several instances the worst. "
        "A breaker that is gone shows as no data for an hour.",
        Query(expr=scope.known(_BY, scope.breaker("state")), legend="{{component}} ({{category}})"),
        STATE,
        [_to_breaker("${__field.labels.component:percentencode}")],
    )


def _to_breaker(name: str) -> Json:
    return frame.to("cbmon-breaker", "Breaker", component=name)


def _failures(scope: Scope) -> list[Json]:
    failures = scope.breaker("failures_total")
    reasons = scope.of("cbmon_check_failures_total", 'check=~"$component"')
    return [
        chart(
            "Failed calls",
            "Failed calls per minute of each breaker that has any.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by ({_BY}) (rate({failures}[{RATE}])) > 0",
                    legend="{{component}} ({{category}})",
                )
            ],
            Look(unit="cpm", links=[_to_breaker("${__field.labels.component:percentencode}")]),
        ),
        chart(
            "Failed runs of checks by reason",
            "Runs that failed per minute, by what was wrong.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (reason) (rate({reasons}[{RATE}])) > 0",
                    legend="{{reason}}",
                )
            ],
            Look(unit="cpm"),
            stacked="bars",
        ),
    ]


def _incidents(scope: Scope) -> Json:
    leaving = 'to_state=~"open|half_open|forced_open|disabled"'
    moves = scope.breaker("transitions_total", 'from_state="closed"', leaving)
    working = scope.breaker("status", WORKING)
    last = scope.breaker("last_transition_timestamp_seconds")
    increase = f"sum without (from_state, to_state) (increase({moves}[{LONG}]))"
    number = f"(max by ({_BY}) ({increase}) > 0)"  # two daemons that see one incident see one
    closed = f"({scope.share(_BY, working, scope.breaker('state'))})"
    both = f"and on ({_BY}) {number}"
    return table(
        "Incidents",
        "Breakers that left closed in the time shown: how often, for how long they did not "
        "let calls through, what that leaves, and when they last moved. "
        "Incidents are those of the instance that saw most.",
        [
            Query(expr=number, instant=True),
            Query(expr=f"$__range_s * (1 - {closed}) {both}", instant=True),
            Query(expr=f"{closed} {both}", instant=True),
            Query(expr=f"1000 * max by ({_BY}) ({last}) {both}", instant=True),
        ],
        Look(
            unit="short",
            overrides=[
                override("Incidents", decimals=0),
                override("Not working", unit="s", decimals=0),
                override("Availability", unit="percentunit", decimals=2),
                override("Last move", unit="dateTimeFromNow"),
                override("Component", links=[_to_breaker("${__value.raw:percentencode}")]),
            ],
        ),
        columns={
            "component": "Component",
            "category": "Category",
            "Value #A": "Incidents",
            "Value #B": "Not working",
            "Value #C": "Availability",
            "Value #D": "Last move",
        },
        sort="Not working",
    )


def _next(scope: Scope) -> list[Json]:
    checks = 'check=~"$component"'
    expiry = scope.of("cbmon_check_certificate_expiry_timestamp_seconds", checks)
    spent = scope.breaker("call_duration_seconds_sum")
    calls = scope.breaker("call_duration_seconds_count")
    mean = (
        f"sum by ({_BY}) (increase({spent}[{LONG}]))"
        f" / (sum by ({_BY}) (increase({calls}[{LONG}])) > 0)"
    )
    return [
        ranking(
            "Slowest",
            "The slowest by the mean duration of their calls in the time shown.",
            Query(expr=f"topk({_MOST}, {mean})", legend="{{component}}", instant=True),
            Look(unit="s", low=0, steps=((None, BLUE),)),
        ),
        table(
            "Certificates that expire first",
            "Time until the first certificate of a chain expires, by check.",
            [Query(expr=f"bottomk({_MOST}, min by (check) ({expiry})) - time()", instant=True)],
            Look(
                unit="s",
                decimals=0,
                steps=_days(scope.plan),
                overrides=[
                    override("Expires in", custom__cellOptions={"type": "color-text"}),
                    override(
                        "Check",
                        links=[
                            frame.to("cbmon-check", "Check", check="${__value.raw:percentencode}")
                        ],
                    ),
                ],
            ),
            columns={"check": "Check", "Value": "Expires in"},
        ),
    ]
