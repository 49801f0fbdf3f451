"""Cases for the alerts on what leaves for other systems and what comes from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.rules.plan import Plan
from cbmon.rules.scenes.scene import (
    Cast,
    Firing,
    Scene,
    bridged,
    flickering,
    rising,
    series_labels,
    shown,
)
from cbmon.rules.scenes.windows import FIRST, bursts, film_for, increase, length_of
from cbmon.rules.words import humanized

WINDOW: Final = 15 * 60.0
READ: Final = 50.0
"""Unix seconds at which the list was read last."""


def traffic_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them."""
    yield _dropped(plan)
    yield _stale(plan)
    yield _never_read(plan)


def _dropped(plan: Plan) -> Scene:
    """Samples go for two reasons that only together are too many."""
    alert = "CbmonSamplesDropped"
    film, hold, limit = film_for(plan, alert, WINDOW), plan.hold(alert), plan.threshold(alert)
    good = film.clear_of(film.samples_for(WINDOW) + 2, (WINDOW,))
    lost, end = limit + 2, (0.0, film.samples_for(WINDOW) + 8)
    burst = bursts(film, WINDOW, hold, lost / 2)
    cast = Cast(film, series_labels(plan))
    name = "cbmon_export_dropped_samples_total"
    tokens = rising(FIRST * lost, [(0.0, good), *burst, end])
    for cause in ("full", "refused"):
        cast.add(name, tokens, export="mimir", cause=cause)
    few = rising(FIRST * lost, [(0.0, good), (limit * 0.9, 1), end])
    cast.add(name, few, export="other", cause="full")
    labels = {**series_labels(plan), "export": "mimir"}

    def firing(step: int) -> Firing:
        return Firing(labels, f"{2 * increase(film, tokens, step, WINDOW):.0f}")

    true = film.step_from(film.sample(good + 1))
    false = film.step_after(film.sample(good + length_of(burst) - 1) + WINDOW * 1000)
    seen = shown(plan, alert, film, (true, false), firing)
    return Scene(alert, "samples are given up", film, cast.series, seen)


def _stale(plan: Plan) -> Scene:
    """A list is not read any more, and is at last; another one is read all the time."""
    alert = "CbmonDiscoveryStale"
    film, hold, limit = bridged(plan, alert), plan.hold(alert), plan.threshold(alert)
    again = film.clear_of(film.samples_for(READ + limit + 2 * hold) + 6)
    cast = Cast(film, series_labels(plan))
    name = "cbmon_discovery_last_success_timestamp_seconds"
    waits = flickering(READ, again)
    back, tick = film.sample(again) / 1000, film.sample(1) / 1000
    labels = cast.add(name, [*waits, *rising(back, [(tick, 5)])], discovery="fleet")
    cast.add(name, rising(0, [(tick, again + 5)]), discovery="read")

    def firing(step: int) -> Firing:
        return Firing(labels, humanized(film.step(step) / 1000 - READ))

    true, false = film.step_after((READ + limit) * 1000), film.step_from(film.sample(again))
    seen = shown(plan, alert, film, (true, false), firing)
    return Scene(alert, "a list grows old", film, cast.series, seen)


def _never_read(plan: Plan) -> Scene:
    """A list that was never read counts from the configuration on."""
    alert = "CbmonDiscoveryStale"
    film, hold, limit = bridged(plan, alert), plan.hold(alert), plan.threshold(alert)
    again = film.clear_of(film.samples_for(READ + limit + 2 * hold) + 6)
    cast = Cast(film, series_labels(plan))
    cast.add("cbmon_config_last_reload_success_timestamp_seconds", flickering(READ, again + 6))
    back, tick = film.sample(again) / 1000, film.sample(1) / 1000
    labels = cast.add(
        "cbmon_discovery_last_success_timestamp_seconds",
        [*flickering(0.0, again), *rising(back, [(tick, 5)])],
        discovery="fleet",
    )

    def firing(step: int) -> Firing:
        return Firing(labels, humanized(film.step(step) / 1000 - READ))

    true, false = film.step_after((READ + limit) * 1000), film.step_from(film.sample(again))
    seen = shown(plan, alert, film, (true, false), firing)
    return Scene(alert, "a list was never read", film, cast.series, seen)
