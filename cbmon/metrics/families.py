"""Every metric that cbmon exports, with its type, labels and help.

Rule: a name that is not in here is not exported. ``docs/metrics.md`` is made from this table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.backlog import DropCause
from cbmon.breaker.states import MOVES, State, Trigger
from cbmon.metrics.app_families import APPS
from cbmon.metrics.perfdata import PERFDATA
from cbmon.metrics.result_families import RESULTS
from cbmon.metrics.text import Family
from cbmon.metrics.worker_families import WORKERS
from cbmon.model import Phase, Reason, SkipCause

REASONS: Final = tuple(Reason)
CAUSES: Final = tuple(SkipCause)
DROP_CAUSES: Final = tuple(DropCause)
PHASES: Final = tuple(Phase)
STATES: Final = tuple(State)

DURATION_BOUNDS: Final[tuple[float, ...]] = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Seconds; the same for every breaker, so that histograms of all categories can be added up."""
LATENESS_BOUNDS: Final[tuple[float, ...]] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
)  # fmt: skip
LATENCY_BOUNDS: Final[tuple[float, ...]] = (
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0,
)  # fmt: skip

_BY_HAND: Final = frozenset(
    {
        Trigger.RESET, Trigger.CLOSE, Trigger.OPEN, Trigger.HALF_OPEN, Trigger.FORCE_OPEN,
        Trigger.FORCE_CLOSE, Trigger.OBSERVE, Trigger.DISABLE, Trigger.ENABLE,
        Trigger.ENABLE_ON_TRIAL,
    }
)  # fmt: skip
OWN_MOVES: Final = tuple(
    sorted(
        {
            (source, target)
            for source, moves in MOVES.items()
            for trigger, target in moves.items()
            if trigger not in _BY_HAND
        }
    )
)
"""The moves that a breaker makes by itself: their series exist from the start. A person's moves
are twenty-nine more pairs; a series of theirs exists once it was made, or ten thousand checks
would carry 290,000 series that stay 0."""

# --- breakers: the same from the daemon and from the library -----------------------------------

_C: Final = ("category", "component")

STATE: Final = Family(
    name="circuit_breaker_state",
    type="gauge",
    labels=_C,
    help="Whether calls pass: 1 = closed (also forced_closed, observe), 0.5 = half_open, "
    "0 = open (also forced_open, disabled).",
)
STATUS: Final = Family(
    name="circuit_breaker_status",
    type="gauge",
    labels=(*_C, "state"),
    help="1 for the state that the breaker is in, 0 for the others.",
)
FAILURES: Final = Family(
    name="circuit_breaker_failures_total",
    type="counter",
    labels=_C,
    help="Calls that failed.",
)
SLOW_CALLS: Final = Family(
    name="circuit_breaker_slow_calls_total",
    type="counter",
    labels=_C,
    help="Calls that took longer than the policy's slow_call_seconds.",
)
CALLS: Final = Family(
    name="circuit_breaker_calls_total",
    type="counter",
    labels=_C,
    help="Calls that were admitted.",
)
REJECTIONS: Final = Family(
    name="circuit_breaker_rejections_total",
    type="counter",
    labels=_C,
    help="Calls that were rejected, by an open breaker or one that a person forced open.",
)
TRIPS: Final = Family(
    name="circuit_breaker_trips_total",
    type="counter",
    labels=_C,
    help="Openings by the breaker itself, from closed or half_open.",
)
TRANSITIONS: Final = Family(
    name="circuit_breaker_transitions_total",
    type="counter",
    labels=(*_C, "from_state", "to_state"),
    help="Moves between states.",
    absent="for a move that only a person can make, until one made it",
)
CONSECUTIVE_FAILURES: Final = Family(
    name="circuit_breaker_consecutive_failures",
    type="gauge",
    labels=_C,
    help="Failed calls since the last successful one.",
)
FAILURE_RATIO: Final = Family(
    name="circuit_breaker_failure_ratio",
    type="gauge",
    labels=_C,
    help="Failed calls in the breaker's window as a ratio between 0 and 1.",
    absent="below minimum_calls, and for breakers of kind count",
)
SLOW_RATIO: Final = Family(
    name="circuit_breaker_slow_ratio",
    type="gauge",
    labels=_C,
    help="Slow calls in the breaker's window as a ratio between 0 and 1.",
    absent="below minimum_calls, for breakers of kind count, and without slow_call_seconds",
)
CYCLES: Final = Family(
    name="circuit_breaker_failure_cycles",
    type="gauge",
    labels=_C,
    help="Times in a row that the breaker went from half_open back to open.",
)
IN_FLIGHT: Final = Family(
    name="circuit_breaker_in_flight_calls",
    type="gauge",
    labels=_C,
    help="Admitted calls that are going on.",
)
OPEN_UNTIL: Final = Family(
    name="circuit_breaker_open_until_timestamp_seconds",
    type="gauge",
    labels=_C,
    help="Unix time in seconds at which the breaker tries again.",
    absent="while it has no such deadline",
)
LAST_TRANSITION: Final = Family(
    name="circuit_breaker_last_transition_timestamp_seconds",
    type="gauge",
    labels=_C,
    help="Unix time in seconds of the last move between states; 0 if there was none.",
)
CALL_DURATION: Final = Family(
    name="circuit_breaker_call_duration_seconds",
    type="histogram",
    labels=_C,
    help="How long admitted calls took, in seconds.",
    absent="from the library, unless the breaker measures durations",
)

BREAKERS: Final = (
    STATE,
    STATUS,
    FAILURES,
    SLOW_CALLS,
    CALLS,
    REJECTIONS,
    TRIPS,
    TRANSITIONS,
    CONSECUTIVE_FAILURES,
    FAILURE_RATIO,
    SLOW_RATIO,
    CYCLES,
    IN_FLIGHT,
    OPEN_UNTIL,
    LAST_TRANSITION,
    CALL_DURATION,
)
"""In the order of the output: what is part of something stands before it, so that a scrape that
is rendered while runs go on never shows more failures than calls."""


# --- checks and exports ------------------------------------------------------------------------


class ComponentFamilies:
    """The metrics of checks, or the same of exports; ``word`` is ``check`` or ``export``."""

    def __init__(self, word: str) -> None:
        self.word = word

        def family(name: str, kind: str, text: str, *more: str, absent: str = "") -> Family:
            return Family(
                name=f"cbmon_{word}_{name}",
                type=kind,  # type: ignore[arg-type]
                help=text,
                labels=(word, *more),
                absent=absent,
            )

        self.info = family(
            "info",
            "info",
            f"1 for every configured {word}, with its type, group and target.",
            "group",
            "kind",
            "target",
        )
        self.up = family("up", "gauge", "1 if the last run succeeded; 0 if not, or before it.")
        self.failures = family(
            "failures_total", "counter", "Runs that failed, by reason.", "reason"
        )
        self.runs = family("runs_total", "counter", "Runs that ended, whatever they found.")
        self.skipped = family(
            "skipped_total", "counter", "Planned runs that did not happen, by cause.", "cause"
        )
        self.duration = family(
            "last_duration_seconds", "gauge", "How long the last run took, in seconds."
        )
        self.phases = family(
            "phase_last_seconds",
            "gauge",
            "How long each phase of the last run took, in seconds; 0 for one that did not happen.",
            "phase",
        )
        self.last_run = family(
            "last_run_timestamp_seconds",
            "gauge",
            "Unix time in seconds at which the last run ended; 0 before the first.",
        )
        self.last_success = family(
            "last_success_timestamp_seconds",
            "gauge",
            "Unix time in seconds at which the last successful run ended; 0 before the first.",
        )
        self.next_run = family(
            "next_run_timestamp_seconds",
            "gauge",
            "Unix time in seconds of the next planned run; 0 while none is planned.",
        )
        self.certificate = family(
            "certificate_expiry_timestamp_seconds",
            "gauge",
            "Unix time in seconds at which the first certificate of the chain expires.",
            absent="until a run saw a certificate",
        )
        self.domain: Family | None = None
        if word == "check":
            self.domain = family(
                "domain_expiry_timestamp_seconds",
                "gauge",
                "Unix time in seconds at which the registration of the target's domain ends.",
                absent="unless the check asks for it and the registry has told",
            )

    def __iter__(self) -> Iterator[Family]:
        """In the order of the output."""
        yield from (self.info, self.up, self.failures, self.runs, self.skipped, self.duration)
        yield from (self.phases, self.last_run, self.last_success, self.next_run)
        yield self.certificate
        if self.domain is not None:
            yield self.domain


CHECKS: Final = ComponentFamilies("check")
EXPORTS: Final = ComponentFamilies("export")

# --- what exports keep while they cannot hand on -----------------------------------------------

_E: Final = ("export",)

EXPORT_SAMPLES: Final = Family(
    name="cbmon_export_samples_total",
    type="counter",
    labels=_E,
    help="Samples that the remote took; 0 for exports that hand on files.",
)
EXPORT_DROPPED: Final = Family(
    name="cbmon_export_dropped_samples_total",
    type="counter",
    labels=(*_E, "cause"),
    help="Samples that were given up, by cause.",
)
EXPORT_QUEUE: Final = Family(
    name="cbmon_export_queue_length",
    type="gauge",
    labels=_E,
    help="Requests that wait to be sent.",
)
EXPORT_QUEUE_BYTES: Final = Family(
    name="cbmon_export_queue_bytes",
    type="gauge",
    labels=_E,
    help="The size in bytes of the requests that wait.",
)
EXPORT_OLDEST: Final = Family(
    name="cbmon_export_oldest_timestamp_seconds",
    type="gauge",
    labels=_E,
    help="Unix time in seconds of the oldest samples that wait; 0 if none wait.",
)
WAITING: Final = (
    EXPORT_DROPPED,
    EXPORT_SAMPLES,
    EXPORT_QUEUE,
    EXPORT_QUEUE_BYTES,
    EXPORT_OLDEST,
)

# --- targets that are discovered ---------------------------------------------------------------

_D: Final = ("discovery",)

DISCOVERED: Final = Family(
    name="cbmon_discovery_targets",
    type="gauge",
    labels=_D,
    help="Targets that are checks now.",
)
DISCOVERY_REJECTED: Final = Family(
    name="cbmon_discovery_rejected_targets",
    type="gauge",
    labels=_D,
    help="Targets that the template makes no check of.",
)
DISCOVERY_FAILURES: Final = Family(
    name="cbmon_discovery_failures_total",
    type="counter",
    labels=_D,
    help="Looks at the source that gave no list; the last good one stays in force.",
)
DISCOVERY_SUCCESS: Final = Family(
    name="cbmon_discovery_last_success_timestamp_seconds",
    type="gauge",
    labels=_D,
    help="Unix time in seconds at which the source last gave a list; 0 before the first.",
)
DISCOVERY: Final = (DISCOVERED, DISCOVERY_REJECTED, DISCOVERY_FAILURES, DISCOVERY_SUCCESS)

# --- notifications -----------------------------------------------------------------------------

_R: Final = ("receiver",)

NOTIFICATIONS_FAILED: Final = Family(
    name="cbmon_notifications_failed_total",
    type="counter",
    labels=(*_R, "reason"),
    help="Attempts to deliver a message that failed, by reason.",
)
NOTIFICATIONS: Final = Family(
    name="cbmon_notifications_total",
    type="counter",
    labels=_R,
    help="Attempts to deliver a message, failed ones included.",
)
NOTIFICATIONS_SUPPRESSED: Final = Family(
    name="cbmon_notifications_suppressed_total",
    type="counter",
    labels=(*_R, "reason"),
    help="Messages that were not sent on purpose, by reason.",
)
NOTIFICATION_LATENCY: Final = Family(
    name="cbmon_notification_latency_seconds",
    type="histogram",
    labels=_R,
    help="Seconds from the making of a message to its delivery.",
)
NOTIFICATION_QUEUE: Final = Family(
    name="cbmon_notification_queue_length",
    type="gauge",
    labels=_R,
    help="Messages that wait to be delivered.",
)
NOTIFICATION_OLDEST: Final = Family(
    name="cbmon_notification_oldest_timestamp_seconds",
    type="gauge",
    labels=_R,
    help="Unix time in seconds at which the oldest waiting message was made; 0 if none waits.",
)
NOTIFICATION_DEAD: Final = Family(
    name="cbmon_notification_dead_letters",
    type="gauge",
    labels=_R,
    help="Messages that could not be delivered and are kept for a person.",
)
NOTIFYING: Final = (
    NOTIFICATIONS_FAILED, NOTIFICATIONS, NOTIFICATIONS_SUPPRESSED, NOTIFICATION_LATENCY,
    NOTIFICATION_QUEUE, NOTIFICATION_OLDEST, NOTIFICATION_DEAD,
)  # fmt: skip

# --- the daemon itself -------------------------------------------------------------------------

BUILD: Final = Family(
    name="cbmon_build_info",
    type="info",
    labels=("python_version", "version"),
    help="1, with the versions of cbmon and of the Python that runs it.",
)
RELOAD_OK: Final = Family(
    name="cbmon_config_last_reload_successful",
    type="gauge",
    help="1 if the last configuration that was read came into force, 0 if it was refused.",
)
RELOAD_AT: Final = Family(
    name="cbmon_config_last_reload_success_timestamp_seconds",
    type="gauge",
    help="Unix time in seconds at which a configuration last came into force.",
)
HASH: Final = Family(
    name="cbmon_config_hash",
    type="gauge",
    help="A number that is equal for equal configurations.",
)
LATENESS: Final = Family(
    name="cbmon_scheduler_lateness_seconds",
    type="histogram",
    help="Seconds between the moment a run was due and the moment it was started.",
)
LAG: Final = Family(
    name="cbmon_event_loop_lag_seconds",
    type="gauge",
    help="The longest time in seconds by which the event loop came late in the last minute.",
)
STORE_ERRORS: Final = Family(
    name="cbmon_store_errors_total",
    type="counter",
    help="Accesses to the store that failed.",
)
UNKNOWN_MODULES: Final = Family(
    name="blackbox_module_unknown_total",
    type="counter",
    help="Requests to /probe for modules that do not exist; the name is blackbox_exporter's.",
)
ITSELF: Final = (
    BUILD, RELOAD_OK, RELOAD_AT, HASH, LATENESS, LAG, STORE_ERRORS, *RESULTS, UNKNOWN_MODULES,
)  # fmt: skip


def every() -> tuple[Family, ...]:
    """All of them, in the order of the output; process_* and python_* come after."""
    return (
        *BREAKERS, *CHECKS, *EXPORTS, *PERFDATA, *WAITING, *DISCOVERY, *NOTIFYING, *ITSELF,
        *WORKERS, *APPS,
    )  # fmt: skip
