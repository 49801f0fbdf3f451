"""Cases for the alerts on messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.rules.film import GONE, Film, unit_for
from cbmon.rules.plan import Plan
from cbmon.rules.scenes.calls import ABOVE, BELOW, MANY
from cbmon.rules.scenes.scene import (
    Cast,
    Firing,
    Scene,
    bridged,
    course,
    flickering,
    oddest,
    phases,
    series_labels,
    shown,
)
from cbmon.rules.scenes.windows import film_for
from cbmon.rules.words import humanized

WINDOW: Final = 15 * 60.0
MADE: Final = 50.0
"""Unix seconds at which the oldest message was made."""


def notification_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them."""
    yield _failing(plan)
    yield _dead(plan)
    yield _old(plan)


def _receiver(plan: Plan) -> str:
    return oddest(plan.lines, default="oncall/webhook")


def _failing(plan: Plan) -> Scene:
    """Attempts fail for two reasons that only together are too many."""
    alert = "CbmonNotificationsFailing"
    film, hold = film_for(plan, alert, WINDOW), plan.hold(alert)
    run = course(
        film,
        before=4 * film.unit / 1000,
        bad=2 * hold,
        after=WINDOW,
        windows=(WINDOW,),
        before_last=1,
    )
    cast = Cast(film, series_labels(plan))
    ratio = min(1.0, round(plan.threshold(alert) * ABOVE, 6))
    for receiver, share in ((_receiver(plan), ratio), ("below", plan.threshold(alert) * BELOW)):
        for reason in ("connect", "status"):
            tokens = run.counter(round(MANY * share / 2, 3))
            cast.add("cbmon_notifications_failed_total", tokens, receiver=receiver, reason=reason)
        cast.add("cbmon_notifications_total", run.counter(MANY), receiver=receiver)
    labels = {**series_labels(plan), "receiver": _receiver(plan)}
    firing = Firing(labels, f"{ratio * 100:.4g}%")
    true, false = film.step_from(run.first_bad), run.left(WINDOW, before_last=1)
    return Scene(
        alert,
        "attempts fail",
        film,
        cast.series,
        shown(plan, alert, film, (true, false), firing),
    )


def _dead(plan: Plan) -> Scene:
    """Messages are given up, and later sent again by hand."""
    alert = "CbmonDeadLetters"
    hold, bridge = plan.hold(alert), plan.bridge(alert)
    film = Film(unit_for(bridge / 12, *([hold / 6] if hold else [])))
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=bridge)
    cast = Cast(film, series_labels(plan))
    limit = plan.threshold(alert)
    labels = cast.add(
        "cbmon_notification_dead_letters",
        run.pattern(limit, [limit + 1, GONE]),
        receiver=_receiver(plan),
    )
    cast.add("cbmon_notification_dead_letters", run.steady(limit), receiver="fine")
    firing = Firing(labels, f"{limit + 1:g}")
    true, false = film.step_from(run.first_bad), film.step_from(run.recovery)
    return Scene(
        alert,
        "given up",
        film,
        cast.series,
        shown(plan, alert, film, (true, false), firing),
    )


def _old(plan: Plan) -> Scene:
    """A message waits, and goes at last; another receiver has none waiting."""
    alert = "CbmonOutboxOld"
    hold, limit = plan.hold(alert), plan.threshold(alert)
    film = bridged(plan, alert)
    gone = film.clear_of(film.samples_for(MADE + limit + 2 * hold) + 6)
    cast = Cast(film, series_labels(plan))
    name = "cbmon_notification_oldest_timestamp_seconds"
    waits = [*flickering(MADE, gone), *phases((0.0, 6))]
    labels = cast.add(name, waits, receiver=_receiver(plan))
    cast.add(name, phases((0.0, gone + 6)), receiver="nothing waits")

    def firing(step: int) -> Firing:
        return Firing(labels, humanized(film.step(step) / 1000 - MADE))

    true, false = film.step_after((MADE + limit) * 1000), film.step_from(film.sample(gone))
    return Scene(
        alert, "a message waits", film, cast.series, shown(plan, alert, film, (true, false), firing)
    )
