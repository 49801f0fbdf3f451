"""The monitor: looks at breakers regularly and at every move, tells alerts, remembers.

Rule: a condition, a handler or a callback that raises is logged and harms nobody else.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Self, cast
from weakref import WeakSet

from cbmon.breaker import CircuitBreaker, Clock, State, SystemClock, TransitionEvent
from cbmon.breaker.arguments import check_called, check_clock, refuse_type, several
from cbmon.breaker.forking import remember
from cbmon.breaker.unique import Unique
from cbmon.resilience.checks import at_least, not_negative, positive
from cbmon.watch.rules import (
    DEFAULT_RULES,
    Alert,
    AlertRule,
    BreakerMetrics,
    Severity,
    Transition,
    by_name,
    check_rule,
    severity_of,
)

log = logging.getLogger(__name__)

_DAY: Final = 86_400.0
HEALTHY: Final = frozenset({State.CLOSED, State.FORCED_CLOSED, State.OBSERVE})

AlertHandler = Callable[[Alert], object]
TransitionHandler = Callable[[str, State, State], object]


class BreakerMonitor(Unique):
    """Evaluates alert rules over breakers and remembers what happened, within bounds.

    ``breakers`` is a registry or any iterable that can be asked anew each time. ``rules`` are those
    to begin with. ``category_of`` says what a breaker protects (default: its ``category``).
    ``history`` (>= 1) is how many moves and how many alerts are kept. :meth:`check` looks once;
    between :meth:`start` and :meth:`stop`, or inside ``with``, a thread looks every ``interval``
    seconds (> 0, at most a day) and at every move. Raises TypeError for arguments of the wrong
    type, ValueError for numbers out of range and two rules of one name.
    """

    def __init__(
        self,
        breakers: Iterable[CircuitBreaker],
        *,
        rules: Sequence[AlertRule] = DEFAULT_RULES,
        interval: float = 15.0,
        history: int = 1000,
        category_of: Callable[[CircuitBreaker], str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        _check_breakers(breakers)
        if positive("interval", interval) > _DAY:
            raise ValueError(f"interval: got {interval!r}, expected at most {_DAY:.0f} seconds")
        at_least("history", history, 1)
        if category_of is not None:
            check_called(category_of, "category_of", "category_of(breaker)")
        if clock is not None:
            check_clock(clock)
        self._breakers = breakers
        self._interval = interval
        self._category_of = category_of or (lambda breaker: breaker.category)
        self._clock = SystemClock() if clock is None else clock
        self._lock = threading.RLock()
        self._rules = by_name(rules)
        self._handlers: list[tuple[AlertHandler, frozenset[Severity]]] = []
        self._callbacks: list[TransitionHandler] = []
        self._firing: dict[tuple[str, str], Alert] = {}
        self._last_told: dict[tuple[str, str], float] = {}
        self._alerts: deque[Alert] = deque(maxlen=history)
        self._moves: deque[Transition] = deque(maxlen=history)
        self._heard: WeakSet[CircuitBreaker] = WeakSet()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        remember(self)
        self._listen()

    # --- what it is told -----------------------------------------------------------------

    def add_alert_rule(self, rule: AlertRule) -> None:
        """Add a rule, or replace the one of its name. TypeError for what is no AlertRule."""
        check_rule(rule, "rule")
        with self._lock:
            self._rules[rule.name] = rule

    def remove_alert_rule(self, name: str) -> None:
        """Drop a rule; what fires because of it is over. KeyError for a name that there is not."""
        with self._lock:
            if name not in self._rules:
                raise KeyError(f"no rule is named {name!r}; there are {sorted(self._rules)}")
            del self._rules[name]

    def add_notification_handler(
        self, handler: AlertHandler, severities: Iterable[Severity] = tuple(Severity)
    ) -> None:
        """Call ``handler(alert)`` for alerts of these severities, ends included.

        Raises TypeError for a handler that cannot be called or would have to be awaited, ValueError
        for an unknown severity.
        """
        check_called(handler, "handler", "handler(alert)")
        asked = several(severities, "severities", "severities")
        with self._lock:
            self._handlers.append(
                (handler, frozenset(severity_of(one, "severities") for one in asked))
            )

    def add_transition_callback(self, callback: TransitionHandler) -> None:
        """Call ``callback(name, from_state, to_state)`` for every move, in the mover's thread."""
        check_called(callback, "callback", "callback(name, from_state, to_state)")
        with self._lock:
            self._callbacks.append(callback)

    # --- looking -------------------------------------------------------------------------

    def check(self) -> list[Alert]:
        """Evaluate every rule now; the alerts that were told."""
        self._listen()
        now = self._clock.time()
        with self._lock:
            rules = list(self._rules.values())
        told: list[Alert] = []
        seen: set[tuple[str, str]] = set()
        for metrics in [self._metrics(breaker, now) for breaker in self._breakers]:
            for rule in rules:
                if _holds(rule, metrics):
                    seen.add((rule.name, metrics.name))
                    told += self._fire(rule, metrics, now)
        told += self._resolve(seen, now)
        for alert in told:
            self._tell(alert)
        return told

    def _fire(self, rule: AlertRule, metrics: BreakerMetrics, now: float) -> list[Alert]:
        key = (rule.name, metrics.name)
        with self._lock:
            alert = _alert(rule, metrics, now)
            last = self._last_told.get(key)
            if last is not None and 0 <= now - last < rule.cooldown:
                if key in self._firing:
                    self._firing[key] = alert
                return []
            self._firing[key] = alert
            self._last_told[key] = now
            return [alert]

    def _resolve(self, seen: set[tuple[str, str]], now: float) -> list[Alert]:
        over = []
        with self._lock:
            for key in self._firing.keys() - seen:
                alert = self._firing.pop(key)
                text = f"over: {alert.message}"
                over.append(
                    Alert(
                        rule=alert.rule,
                        severity=alert.severity,
                        breaker=alert.breaker,
                        message=text,
                        at=now,
                        metrics=alert.metrics,
                        resolved=True,
                    )
                )
            for key in [k for k in self._last_told if k not in self._firing]:
                rule = self._rules.get(key[0])
                if rule is None or now - self._last_told[key] >= rule.cooldown:
                    del self._last_told[key]
        return over

    def _tell(self, alert: Alert) -> None:
        with self._lock:
            self._alerts.append(alert)
            handlers = [it for it, severities in self._handlers if alert.severity in severities]
        for handler in handlers:
            try:
                handler(alert)
            except Exception:
                log.exception("notification handler failed: rule=%s", alert.rule)

    # --- showing -------------------------------------------------------------------------

    def dashboard(self) -> dict[str, Any]:
        """Everything for a page, JSON-able: overview, categories, breakers, alerts, moves."""
        now = self._clock.time()
        metrics = [self._metrics(breaker, now) for breaker in self._breakers]
        states = Counter(its.state for its in metrics)
        with self._lock:
            firing = list(self._firing.values())
            alerts, moves = list(self._alerts)[-50:], list(self._moves)[-50:]
        categories = sorted({its.category for its in metrics})
        return {
            "overview": {
                **_health(metrics),
                "states": {state.value: states[state] for state in State},
                "active_alerts": len(firing),
            },
            "categories": {
                name: _health([its for its in metrics if its.category == name])
                for name in categories
            },
            "breakers": {its.name: _plain(its) for its in metrics},
            "active_alerts": [_alert_plain(alert) for alert in firing],
            "recent_alerts": [_alert_plain(alert) for alert in reversed(alerts)],
            "recent_transitions": [_plain(move) for move in reversed(moves)],
        }

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that were told, oldest first."""
        with self._lock:
            return list(self._alerts)

    @property
    def transitions(self) -> list[Transition]:
        """The moves that were seen, oldest first."""
        with self._lock:
            return list(self._moves)

    # --- life ----------------------------------------------------------------------------

    def start(self) -> None:
        """Look regularly from now on, in a thread; RuntimeError if it does already."""
        if self._thread is not None:
            raise RuntimeError("the monitor has been started already")
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="cbmon watch", daemon=True)
        self._thread.start()

    def stop(self, deadline: float = 5.0) -> None:
        """Look no more, waiting ``deadline`` seconds for a look that is under way; does nothing
        before a start."""
        not_negative("deadline", deadline)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopped.set()
            self._wake.set()
            thread.join(deadline)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                self.check()
            except Exception:
                log.exception("check failed")
            self._wake.wait(self._interval)

    def _in_child(self) -> None:
        """The thread that looks is the parent's; start() begins one here."""
        self._lock, self._thread = threading.RLock(), None
        self._wake, self._stopped = threading.Event(), threading.Event()

    def _listen(self) -> None:
        for breaker in self._breakers:
            with self._lock:
                if breaker in self._heard:
                    continue
                self._heard.add(breaker)
            breaker.add_listener(self._moved, kinds=("transition",))

    def _moved(self, event: TransitionEvent) -> None:
        move = Transition(
            breaker=event.name,
            from_state=event.from_state,
            to_state=event.to_state,
            at=event.at,
            text=event.text,
        )
        with self._lock:
            self._moves.append(move)
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            try:
                callback(event.name, event.from_state, event.to_state)
            except Exception:
                log.exception("transition callback failed: breaker=%s", event.name)
        self._wake.set()

    def _category(self, breaker: CircuitBreaker) -> str:
        try:
            return str(self._category_of(breaker))
        except Exception:
            log.exception("category_of failed: breaker=%s", breaker.name)
            return breaker.category

    def _metrics(self, breaker: CircuitBreaker, now: float) -> BreakerMetrics:
        state, counts = breaker.state, breaker.counts
        judged = counts.successes + counts.failures
        rate = counts.failures / judged if judged else 0.0
        moved = counts.last_transition_at
        return BreakerMetrics(
            name=breaker.name,
            category=self._category(breaker),
            state=state,
            calls=counts.calls,
            successes=counts.successes,
            failures=counts.failures,
            rejections=counts.rejections,
            trips=counts.trips,
            consecutive_failures=counts.consecutive_failures,
            failure_rate=rate if counts.failure_ratio is None else counts.failure_ratio,
            in_flight=counts.in_flight,
            retry_after=breaker.retry_after,
            seconds_in_state=None if moved is None else max(0.0, now - moved),
        )


def _check_breakers(breakers: object) -> None:
    """Something that can be gone through again and again: an iterator would be empty at once."""
    several(breakers, "breakers", "breakers, or a BreakerRegistry")
    if isinstance(breakers, Iterator):
        refuse_type("breakers", breakers, "what can be gone through again; did you mean list(…)?")
    for breaker in cast("Iterable[object]", breakers):
        if not isinstance(breaker, CircuitBreaker):
            refuse_type("breakers", breaker, "a CircuitBreaker")


def _holds(rule: AlertRule, metrics: BreakerMetrics) -> bool:
    try:
        return bool(rule.condition(metrics))
    except Exception:
        log.exception("alert condition failed: rule=%s breaker=%s", rule.name, metrics.name)
        return False


def _alert(rule: AlertRule, metrics: BreakerMetrics, now: float) -> Alert:
    told = {**_plain(metrics), "rule": rule.name, "breaker": metrics.name}
    try:
        message = rule.message.format(**told)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        message = f"{rule.name}: {metrics.name} is {metrics.state}"
    return Alert(
        rule=rule.name,
        severity=rule.severity,
        breaker=metrics.name,
        message=message,
        at=now,
        metrics=metrics,
    )


def _health(metrics: Sequence[BreakerMetrics]) -> dict[str, Any]:
    healthy = sum(its.state in HEALTHY for its in metrics)
    degraded = sum(its.state is State.HALF_OPEN for its in metrics)
    return {
        "total": len(metrics),
        "healthy": healthy,
        "degraded": degraded,
        "failed": len(metrics) - healthy - degraded,
        "health_percentage": 100.0 * healthy / len(metrics) if metrics else 100.0,
    }


def _plain(record: BreakerMetrics | Transition) -> dict[str, Any]:
    told = {name: getattr(record, name) for name in record.__slots__}
    return {
        name: value.value if isinstance(value, State) else value for name, value in told.items()
    }


def _alert_plain(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule,
        "severity": alert.severity.value,
        "breaker": alert.breaker,
        "message": alert.message,
        "at": alert.at,
        "resolved": alert.resolved,
    }
