"""The dashboard *Notifications*: whether people are told, how late, and what was lost."""

from __future__ import annotations

from typing import Final

from cbmon.dashboards import frame
from cbmon.dashboards.frame import Line, Section
from cbmon.dashboards.panels import Look, Query, chart, stat, timeline
from cbmon.dashboards.queries import LONG, PER_MINUTE, RATE, Scope
from cbmon.dashboards.words import BLUE, GREEN, ORANGE, RED, STATE, Json
from cbmon.rules.plan import Plan

UID: Final = "cbmon-notifications"
_ITS: Final = 'receiver=~"$receiver"'


def notifications(plan: Plan) -> Json:
    """The dashboard for a configuration."""
    scope = Scope(plan, ('category="receiver"', 'component=~"$receiver"'))
    names = scope.variable(
        "cbmon_notifications_total", "receiver", 'job=~"$job",instance=~"$instance"'
    )
    return frame.dashboard(
        plan,
        uid=UID,
        title="cbmon / Notifications",
        about="Messages to people: delivered, failed, held back, waiting, lost.",
        variables=[
            *frame.daemon_variables(scope, "cbmon_notifications_total"),
            frame.variable("receiver", "Receiver", names),
        ],
        annotations=[frame.transitions(scope)],
        sections=[
            Section("Now", [Line(4, _now(scope)), Line(6, [_breakers(scope)])]),
            Section("Deliveries", [Line(8, _deliveries(scope)), Line(8, _held(scope))]),
            Section("Waiting", [Line(8, _waiting(scope))]),
        ],
        links=[
            ("Runbook: failing", "/runbooks/CbmonNotificationsFailing"),
            ("Runbook: dead letters", "/runbooks/CbmonDeadLetters"),
            ("Runbook: old messages", "/runbooks/CbmonOutboxOld"),
        ],
    )


def _its(scope: Scope, metric: str) -> str:
    return scope.of(f"cbmon_{metric}", _ITS)


def _now(scope: Scope) -> list[Json]:
    attempts, failed = _its(scope, "notifications_total"), _its(scope, "notifications_failed_total")
    oldest = f"time() - min({_its(scope, 'notification_oldest_timestamp_seconds')} > 0)"
    some = ((None, GREEN), (1, RED))
    old = scope.plan.threshold("CbmonOutboxOld")
    delivered = f"sum(increase({attempts}[{LONG}])) - sum(increase({failed}[{LONG}]))"
    return [
        stat(
            "Delivered",
            "Messages that were delivered in the time shown.",
            delivered,
            Look(unit="short", decimals=0, nothing="none", steps=((None, BLUE),)),
        ),
        stat(
            "Failed attempts",
            "Attempts to deliver a message that failed in the time shown; each is tried again.",
            f"sum(increase({failed}[{LONG}]))",
            Look(unit="short", decimals=0, nothing="none", steps=((None, GREEN), (1, ORANGE))),
        ),
        stat(
            "Waiting",
            "Messages that wait to be delivered.",
            f"sum({_its(scope, 'notification_queue_length')})",
            Look(unit="short", nothing="no data", steps=((None, GREEN), (1, ORANGE))),
        ),
        stat(
            "Oldest waiting",
            "The age of the oldest message that waits.",
            f"({oldest}) or 0 * sum({_its(scope, 'notification_queue_length')})",
            Look(unit="s", decimals=0, nothing="no data", steps=((None, GREEN), (old, RED))),
        ),
        stat(
            "Dead letters",
            "Messages that could not be delivered and are kept for a person.",
            f"sum({_its(scope, 'notification_dead_letters')})",
            Look(unit="short", nothing="no data", steps=some),
            colored=True,
        ),
    ]


def _breakers(scope: Scope) -> Json:
    return timeline(
        "Receivers' breakers",
        "Whether each receiver is reached. While its breaker is open its messages wait.",
        Query(expr=scope.known("component", scope.breaker("state")), legend="{{component}}"),
        STATE,
        [
            frame.to(
                "cbmon-breaker", "Breaker", component="${__field.labels.component:percentencode}"
            )
        ],
    )


def _deliveries(scope: Scope) -> list[Json]:
    attempts, failed = _its(scope, "notifications_total"), _its(scope, "notifications_failed_total")
    buckets = _its(scope, "notification_latency_seconds_bucket")
    whole = Look(unit="cpm")
    late = f"sum by (le) (increase({buckets}[{RATE}]))"
    return [
        chart(
            "Attempts",
            "Attempts to deliver per minute, failed ones included, by receiver.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (receiver) (rate({attempts}[{RATE}]))",
                    legend="{{receiver}}",
                )
            ],
            whole,
        ),
        chart(
            "Failed attempts by reason",
            "Attempts that failed per minute, by receiver and reason.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (receiver, reason) (rate({failed}[{RATE}])) > 0",
                    legend="{{receiver}}: {{reason}}",
                )
            ],
            whole,
            stacked="bars",
        ),
        chart(
            "From making to delivery",
            "How old messages were when they were delivered: half of them, and all but one in "
            "twenty.",
            [
                Query(expr=f"histogram_quantile({q}, {late}) >= 0", legend=legend)
                for q, legend in ((0.5, "half"), (0.95, "95 %"))
            ],
            Look(unit="s"),
        ),
    ]


def _held(scope: Scope) -> list[Json]:
    suppressed = _its(scope, "notifications_suppressed_total")
    return [
        chart(
            "Held back by reason",
            "Messages per minute that were not sent on purpose.",
            [
                Query(
                    expr=f"{PER_MINUTE}sum by (reason) (rate({suppressed}[{RATE}])) > 0",
                    legend="{{reason}}",
                )
            ],
            Look(unit="cpm"),
            stacked="bars",
        )
    ]


def _waiting(scope: Scope) -> list[Json]:
    queue, dead = _its(scope, "notification_queue_length"), _its(scope, "notification_dead_letters")
    oldest = _its(scope, "notification_oldest_timestamp_seconds")
    return [
        chart(
            "Waiting messages",
            "Messages that wait, by receiver.",
            [Query(expr=f"sum by (receiver) ({queue})", legend="{{receiver}}")],
            Look(unit="short", decimals=0),
        ),
        chart(
            "Age of the oldest",
            "How long the oldest waiting message has waited, by receiver.",
            [Query(expr=f"time() - (min by (receiver) ({oldest}) > 0)", legend="{{receiver}}")],
            Look(unit="s"),
        ),
        chart(
            "Dead letters over time",
            "Messages that could not be delivered, by receiver.",
            [Query(expr=f"sum by (receiver) ({dead})", legend="{{receiver}}")],
            Look(unit="short", decimals=0),
        ),
    ]
