"""Cases for the alerts on how many calls fail, are slow, or open a breaker.

Rule: beside the subject, whose moments are looked at, stand a neighbour just above the threshold
all the time and one just below it, which hold the threshold in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cbmon.rules.classes import Class, class_of
from cbmon.rules.film import unit_for
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import duration
from cbmon.rules.scenes.breakers import subject
from cbmon.rules.scenes.scene import (
    Cast,
    Firing,
    Scene,
    course,
    labels_of,
    rising,
    series_labels,
    shown,
    some,
)
from cbmon.rules.scenes.windows import FIRST, askew, bursts, film_for, increase, length_of

CALLS: Final = "circuit_breaker_calls_total"
FAILURES: Final = "circuit_breaker_failures_total"
SLOW: Final = "circuit_breaker_slow_calls_total"
OPENINGS: Final = "circuit_breaker_transitions_total"
ABOVE: Final = 1.04
BELOW: Final = 0.96
MANY: Final = 10_000.0
MINUTES: Final = 60.0


def call_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them."""
    yield _failing(plan)
    yield from (_runs_failing(plan, window) for window in plan.recent)
    yield from _slow(plan)
    yield from (_flapping(plan, window) for window in plan.flapping)


def _failing(plan: Plan) -> Scene:
    """A burst of failures in one sample, seen for as long as it is in the window."""
    alert, window = "CircuitBreakerFailing", 5 * MINUTES
    hold = plan.hold(alert)
    film = askew(unit_for(min(window, hold or window) / 12), window)
    burst = bursts(film, window, hold, 4 * plan.threshold(alert) * window)
    last_good = film.clear_of(film.samples_for(window + 2 * hold) + 6, (window,))
    total = last_good + length_of(burst) + film.samples_for(window) + 8
    cast = Cast(film, series_labels(plan))
    start = FIRST * max(1.0, 4 * plan.threshold(alert) * window)
    counter = rising(start, [(0, last_good), *burst, (0, film.samples_for(window) + 8)])
    labels = cast.add(FAILURES, counter, **subject(plan))
    slope = plan.threshold(alert) * film.sample(1) / 1000
    near = cast.add(
        FAILURES, rising(start, [(slope * ABOVE, total)]), category="app", component="above"
    )
    cast.add(FAILURES, rising(start, [(slope * BELOW, total)]), category="app", component="below")
    true = film.step_from(film.sample(last_good + 1))
    last_quiet = last_good + length_of(burst) - 1
    false = film.step_after(film.sample(last_quiet) + window * 1000)
    above = Firing(near, f"{plan.threshold(alert) * ABOVE:.2f}")

    def firing(step: int) -> Firing:
        return Firing(labels, f"{increase(film, counter, step, window) / window:.2f}")

    seen = shown(plan, alert, film, (true, false), firing)
    return Scene(
        alert, "a burst", film, cast.series, {step: (*found, above) for step, found in seen.items()}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """A share of the calls of a component that counts, against a limit, over a window."""

    alert: str
    counter: str
    limit: float
    window: float
    own: dict[str, str]

    def scene(self, plan: Plan) -> Scene:
        """No calls, then a share just above the limit, then no calls again."""
        film, window = film_for(plan, self.alert, self.window), self.window
        run = course(
            film,
            before=4 * film.unit / 1000,
            bad=2 * plan.hold(self.alert),
            after=window,
            windows=(window,),
            before_last=1,
        )
        cast = Cast(film, series_labels(plan))
        ratio = min(1.0, round(self.limit * ABOVE, 6))
        below = {**self.own, "component": "below"}
        for labels, share in ((self.own, ratio), (below, round(self.limit * BELOW, 6))):
            cast.add(self.counter, run.counter(MANY * share), **labels)
            cast.add(CALLS, run.counter(MANY), **labels)
        firing = Firing({**cast.labels, **self.own}, f"{ratio * 100:.4g}%")
        span = film.step_from(run.first_bad), run.left(window, before_last=1)
        seen = shown(plan, self.alert, film, span, firing)
        what = f"{ratio:.4g} of the calls in {duration(window)}"
        return Scene(self.alert, what, film, cast.series, seen)


def _runs_failing(plan: Plan, window: Class) -> Scene:
    alert, own = "CbmonRunsFailing", labels_of(plan, some(window), "check")
    return _Share(
        alert=alert,
        counter=FAILURES,
        limit=plan.threshold(alert),
        window=window.value,
        own=own,
    ).scene(plan)


def _slow(plan: Plan) -> Iterator[Scene]:
    """A component of every class of limits and of every class of windows."""
    for name in dict.fromkeys(some(one) for one in (*plan.slow, *plan.recent)):
        yield _Share(
            alert="CircuitBreakerSlow",
            counter=SLOW,
            limit=class_of(plan.slow, name).value,
            window=class_of(plan.recent, name).value,
            own=labels_of(plan, name, "check"),
        ).scene(plan)


def _flapping(plan: Plan, window: Class) -> Scene:
    """It opens as often as the threshold says; a neighbour once less."""
    alert = "CircuitBreakerFlapping"
    times = max(1, math.ceil(plan.threshold(alert)))
    hold = plan.hold(alert)
    film = film_for(plan, alert, window.value, max(60, 20 * times))
    apart = max(
        1, film.samples_for(min(window.value / 4, max(0.0, window.value / 2 - hold)) / times)
    )
    start = film.clear_of(3, (window.value,))
    opening: list[tuple[float, int]] = [(1.0, 1), (0.0, apart - 1)]
    slopes: list[tuple[float, int]] = [(0.0, start), *(opening * times)]
    more = math.ceil(max(0.0, hold - window.value / 2) * 1000 / film.sample(apart))
    often = [*slopes, *(opening * more)]
    end = (0.0, film.samples_for(window.value) + 8)
    cast = Cast(film, series_labels(plan))
    name, moves = OPENINGS, {"from_state": "closed", "to_state": "open"}
    own = labels_of(plan, some(window), "check")
    counter = rising(FIRST, [*often, end])
    cast.add(name, counter, **own, **moves)
    less = [*slopes[:-2], (0.0, apart), end]
    cast.add(name, rising(FIRST, less), **{**own, "component": "once less"}, **moves)
    tried = {"from_state": "half_open", "to_state": "open"}
    third = {**own, "component": "tried in vain"}
    cast.add(name, rising(FIRST, [*often, end]), **third, **tried)
    labels = {**series_labels(plan), **own}

    def firing(step: int) -> Firing:
        return Firing(labels, f"{increase(film, counter, step, window.value):.0f}")

    true = film.step_from(film.sample(start + 1 + (times - 1) * apart))
    false = film.step_after(film.sample(start + more * apart) + window.value * 1000)
    seen = shown(plan, alert, film, (true, false), firing)
    return Scene(alert, f"{times} openings", film, cast.series, seen)
