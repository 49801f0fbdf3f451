"""The dashboard *Breaker*: one component, why its breaker is where it is, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cbmon.breaker import BreakerPolicy
from cbmon.dashboards import frame
from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import (
    Look,
    Query,
    chart,
    dashed,
    heatmap,
    override,
    stat,
    table,
    timeline,
)
from cbmon.dashboards.queries import LONG, MEMORY, PER_MINUTE, RATE, Scope, limits
from cbmon.dashboards.words import BLUE, EVERY_STATE, GREEN, NO_DATA, ORANGE, RED, Json
from cbmon.rules.plan import Plan

UID: Final = "cbmon-breaker"
_BY: Final = "job, instance, category"
_CHOSEN: Final = ('category=~"$category"', 'component="$component"')
_LIMITS: Final = (dashed("threshold of slow", ORANGE), dashed("threshold(?! of slow).*", RED))


def breaker(plan: Plan) -> Json:
    """The dashboard for a configuration."""
    scope = Scope(plan, _CHOSEN)
    known = 'job=~"$job",instance=~"$instance"'
    state = "circuit_breaker_state"
    component = scope.variable(state, "component", f'{known},category=~"$category"')
    return frame.dashboard(
        plan,
        uid=UID,
        title="cbmon / Breaker",
        about="One circuit breaker: its state, what moves it, and its calls.",
        variables=[
            *frame.daemon_variables(scope, state),
            frame.variable("category", "Category", scope.variable(state, "category", known)),
            frame.variable("component", "Component", component, many=False),
        ],
        annotations=[frame.transitions(scope)],
        sections=[
            Section("Now", [Line(4, _now(scope)), Line(5, [_timeline(scope)])]),
            Section("Why", [Line(9, _why(scope)), Line(8, _outages(scope))]),
            Section("Calls", [Line(9, _calls(scope))]),
        ],
        links=[
            ("This component", "/components/${component:percentencode}"),
            ("Runbook: breaker open", "/runbooks/CircuitBreakerOpen"),
            ("Runbook: flapping", "/runbooks/CircuitBreakerFlapping"),
        ],
    )


def _now(scope: Scope) -> list[Json]:
    until = f"max({scope.breaker('open_until_timestamp_seconds')})"
    plain = Look(unit="short", nothing="no data", steps=((None, BLUE),))
    return [
        stat(
            "State",
            "The state now; of several instances the worst.",
            f"max({scope.states(_BY)})",
            Look(mappings=EVERY_STATE),
            colored=True,
        ),
        stat(
            "Next trial in",
            "Time until the breaker lets a call through to try, if it waits for that.",
            f"{until} - time()",
            Look(unit="s", decimals=0, nothing="no wait", steps=((None, ORANGE),)),
        ),
        stat(
            "Failures in a row",
            "Failed calls since the last one that succeeded.",
            f"max({scope.breaker('consecutive_failures')})",
            Look(unit="short", nothing="no data", steps=((None, GREEN), (1, ORANGE))),
        ),
        stat(
            "Failure cycles",
            "Times in a row that a trial failed and the breaker opened again.",
            f"max({scope.breaker('failure_cycles')})",
            Look(unit="short", nothing="no data", steps=((None, GREEN), (1, ORANGE))),
        ),
        stat(
            "Calls in flight",
            "Admitted calls that go on at this moment.",
            f"sum({scope.breaker('in_flight_calls')})",
            plain,
        ),
        stat(
            "Availability",
            "The mean of the state in the time shown: 1 for closed, 0.5 for half-open, 0 for open.",
            scope.share("", scope.breaker("state"), scope.breaker("state")),
            Look(
                unit="percentunit",
                decimals=2,
                nothing="no data",
                steps=((None, RED), (0.95, ORANGE), (0.999, GREEN)),
            ),
        ),
        stat(
            "Last move",
            "When the breaker last went from one state to another.",
            f"1000 * max({scope.breaker('last_transition_timestamp_seconds')} > 0)",
            Look(unit="dateTimeFromNow", nothing="never", steps=((None, BLUE),)),
        ),
    ]


def _timeline(scope: Scope) -> Json:
    gone = f"max by ({_BY}) (last_over_time({scope.breaker('state')}[{MEMORY}]))"
    return timeline(
        "State over time",
        "All seven states of the breaker, a row for each instance. "
        "One that is gone shows as no data for an hour.",
        Query(
            expr=f"{scope.states(_BY)}\nor 0 * {gone} + {NO_DATA}",
            legend="{{instance}} ({{category}})",
        ),
        EVERY_STATE,
        [],
    )


def _why(scope: Scope) -> list[Json]:
    ratios = [
        Query(expr=f"max({scope.breaker('failure_ratio')})", legend="failed"),
        Query(expr=f"max({scope.breaker('slow_ratio')})", legend="slow"),
        *_limit(scope, _ratios(scope.plan), "threshold of failed"),
        *_limit(scope, _slow_ratios(scope.plan), "threshold of slow"),
    ]
    runs = [
        Query(expr=f"max({scope.breaker('consecutive_failures')})", legend="failures in a row"),
        *_limit(scope, _counts(scope.plan), "threshold"),
    ]
    return [
        chart(
            "Failure and slow ratio",
            "Failed and slow calls in the breaker's window, with the thresholds that open it. "
            "Nothing below its minimum number of calls, and for breakers that count.",
            ratios,
            Look(unit="percentunit", high=1, overrides=_LIMITS),
        ),
        chart(
            "Failures in a row over time",
            "Failed calls since the last good one, with the number that opens a breaker "
            "of kind count.",
            runs,
            Look(unit="short", decimals=0, overrides=_LIMITS),
        ),
    ]


def _outages(scope: Scope) -> list[Json]:
    until = f"max({scope.breaker('open_until_timestamp_seconds')})"
    moves = scope.breaker("transitions_total")
    cycles = [
        Query(expr=f"max({scope.breaker('failure_cycles')})", legend="cycles"),
        *_limit(scope, _cycles(scope.plan), "threshold: disabled"),
    ]
    return [
        chart(
            "Failure cycles over time",
            "Failed trials in a row, with the number after which the breaker disables itself.",
            cycles,
            Look(unit="short", decimals=0, overrides=_LIMITS),
        ),
        chart(
            "Time until the next trial",
            "How long an open breaker still waited; it grows with each failed trial if the "
            "policy backs off.",
            [Query(expr=f"{until} - time() >= 0", legend="next trial in")],
            Look(unit="s"),
        ),
        table(
            "Moves",
            "Moves between states in the time shown.",
            [
                Query(
                    expr=f"round(sum by (from_state, to_state) (increase({moves}[{LONG}]))) > 0",
                    instant=True,
                )
            ],
            Look(unit="short", overrides=[override("Times", decimals=0)]),
            columns={"from_state": "From", "to_state": "To", "Value": "Times"},
            sort="Times",
        ),
    ]


def _calls(scope: Scope) -> list[Json]:
    shown = ("calls", "failures", "slow_calls", "rejections")
    rates = [
        Query(
            expr=f"{PER_MINUTE}sum(rate({scope.breaker(f'{name}_total')}[{RATE}]))",
            legend=name.replace("_", " "),
        )
        for name in shown
    ]
    buckets = scope.breaker("call_duration_seconds_bucket")
    return [
        chart(
            "Calls",
            "Admitted, failed, slow and rejected calls per minute.",
            rates,
            Look(unit="cpm"),
        ),
        heatmap(
            "Latency",
            "How many calls took how long.",
            Query(expr=f"sum by (le) (increase({buckets}[{RATE}]))", legend="{{le}}", heatmap=True),
        ),
    ]


def _limit(scope: Scope, values: Mapping[str, float], legend: str) -> list[Query]:
    whole = len(values) == len(scope.plan.policies)

    def state(*matchers: str) -> str:
        return scope.breaker("state", *matchers)

    expr = limits(state, "component", values, whole=whole)
    return [Query(expr=expr, legend=legend)] if expr else []


def _ratios(plan: Plan) -> dict[str, float]:
    return {
        name: policy.failure_rate_threshold
        for name, policy in plan.policies.items()
        if policy.kind in {"time", "percentage"}
    }


def _slow_ratios(plan: Plan) -> dict[str, float]:
    return {
        name: policy.slow_call_rate_threshold
        for name, policy in plan.policies.items()
        if policy.slow_call_seconds is not None and _has_window(policy)
    }


def _has_window(policy: BreakerPolicy) -> bool:
    return policy.kind != "count"


def _counts(plan: Plan) -> dict[str, float]:
    return {
        name: float(policy.failure_threshold)
        for name, policy in plan.policies.items()
        if policy.kind == "count"
    }


def _cycles(plan: Plan) -> dict[str, float]:
    return {
        name: float(policy.max_failure_cycles)
        for name, policy in plan.policies.items()
        if policy.auto_disable_enabled
    }
