"""Cases for the alerts on checks and exports that do not run, and on certificates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.rules.classes import DAY, Class
from cbmon.rules.film import GONE, Film, Token, unit_for
from cbmon.rules.plan import Plan
from cbmon.rules.scenes.scene import (
    Cast,
    Firing,
    Scene,
    phases,
    rising,
    series_labels,
    shown,
    some,
)
from cbmon.rules.words import humanized

LATE: Final = 100
"""Unix seconds at which the subject ran last before it got stuck."""


def check_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them."""
    for word in ("check", "export"):
        yield from (_stale(plan, word, limit) for limit in plan.stale[word])
        yield from (_never_ran(plan, word, limit) for limit in plan.stale[word])
        yield from (_awake(plan, word, limit) for limit in plan.stale[word])
    for alert, limits in plan.certificates.items():
        yield from (_days_left(plan, alert, limit) for limit in limits)
    yield from (_days_left(plan, "CbmonDomainExpiring", limit) for limit in plan.domains)


def _stale(plan: Plan, word: str, limit: Class) -> Scene:
    """A run is due and does not come, though its breaker is closed; at last it comes."""
    alert = f"Cbmon{word.title()}Stale"
    hold = plan.hold(alert)
    film = Film(unit_for(limit.value / 12, *([hold / 6] if hold else [])))
    true = film.step_after((LATE + limit.value) * 1000)
    again = film.clear_of(film.samples_for(LATE + limit.value + 2 * hold) + 6)
    total = again + 6
    cast = Cast(film, series_labels(plan))
    last_run = f"cbmon_{word}_last_run_timestamp_seconds"
    back, tick = film.sample(again) / 1000, film.sample(1) / 1000
    stuck: list[Token] = [*phases((float(LATE), again)), *rising(back, [(tick, 5)])]
    name = some(limit)
    labels = cast.add(last_run, stuck, **{word: name})
    cast.add("circuit_breaker_state", phases((0.5, total)), category=word, component=name)
    if limit.others:
        for other, state, cause in (
            ("open", 0.0, ""),
            ("asleep", 1.0, "dependency"),
            ("out", 1.0, "window"),
        ):
            cast.add(last_run, stuck, **{word: other})
            cast.add(
                "circuit_breaker_state", phases((state, total)), category=word, component=other
            )
            if cause:
                ticks = rising(0, [(1.0, total)])
                cast.add(f"cbmon_{word}_skipped_total", ticks, **{word: other}, cause=cause)
        cast.add(last_run, rising(0, [(tick, total)]), **{word: "runs"})
        overrun = rising(0, [(1.0, total)])
        cast.add(f"cbmon_{word}_skipped_total", overrun, **{word: name}, cause="overrun")

    def firing(step: int) -> Firing:
        return Firing(labels, humanized(film.step(step) / 1000 - LATE - limit.value))

    seen = shown(plan, alert, film, (true, film.step_from(film.sample(again))), firing)
    return Scene(alert, "a run that does not come", film, cast.series, seen)


def _never_ran(plan: Plan, word: str, limit: Class) -> Scene:
    """Configured, and never run since; then it runs for the first time."""
    alert = f"Cbmon{word.title()}Stale"
    hold = plan.hold(alert)
    film = Film(unit_for(limit.value / 12, *([hold / 6] if hold else [])))
    true = film.step_after((LATE + limit.value) * 1000)
    again = film.clear_of(film.samples_for(LATE + limit.value + 2 * hold) + 6)
    cast = Cast(film, series_labels(plan))
    ran = film.sample(again) / 1000
    labels = cast.add(
        f"cbmon_{word}_last_run_timestamp_seconds",
        [*phases((0.0, again)), *rising(ran, [(film.sample(1) / 1000, 5)])],
        **{word: some(limit)},
    )
    since = phases((float(LATE), again + 6))
    cast.add("cbmon_config_last_reload_success_timestamp_seconds", since)

    def firing(step: int) -> Firing:
        return Firing(labels, humanized(film.step(step) / 1000 - LATE - limit.value))

    seen = shown(plan, alert, film, (true, film.step_from(film.sample(again))), firing)
    return Scene(alert, "never run", film, cast.series, seen)


def _awake(plan: Plan, word: str, limit: Class) -> Scene:
    """Its runs were left out on purpose; they are not any more, and none comes."""
    alert = f"Cbmon{word.title()}Stale"
    hold = plan.hold(alert)
    film = Film(unit_for(limit.value / 12, *([hold / 6] if hold else [])))
    last = film.clear_of(film.samples_for(LATE + limit.value), (limit.value,))
    true = film.step_after(film.sample(last) + limit.value * 1000)
    again = film.clear_of(film.samples_for(film.step(true) / 1000 + 2 * hold) + 6)
    back, tick = film.sample(again) / 1000, film.sample(1) / 1000
    cast = Cast(film, series_labels(plan))
    labels = cast.add(
        f"cbmon_{word}_last_run_timestamp_seconds",
        [*phases((float(LATE), again)), *rising(back, [(tick, 5)])],
        **{word: some(limit)},
    )
    skipped = rising(50, [(1.0, last + 1), (0.0, again - last)])
    cast.add(f"cbmon_{word}_skipped_total", skipped, **{word: some(limit)}, cause="dependency")

    def firing(step: int) -> Firing:
        return Firing(labels, humanized(film.step(step) / 1000 - LATE - limit.value))

    seen = shown(plan, alert, film, (true, film.step_from(film.sample(again))), firing)
    return Scene(alert, "no longer left out", film, cast.series, seen)


def _days_left(plan: Plan, alert: str, limit: Class) -> Scene:
    """The days of a certificate, or of a domain, run out; then it is renewed."""
    hold, bridge = plan.hold(alert), plan.bridge(alert)
    film = Film(unit_for(bridge / 12, *([hold / 6] if hold else [])))
    crossed = film.step(4) / 1000 + film.unit / 1000
    expiry = limit.value * DAY + crossed
    again = film.clear_of(film.samples_for(crossed + 2 * hold) + 8)
    total = again + 6
    cast = Cast(film, series_labels(plan))
    what = "domain" if alert == "CbmonDomainExpiring" else "certificate"
    name = f"cbmon_check_{what}_expiry_timestamp_seconds"
    old: list[Token] = [GONE if index % 3 == 1 else expiry for index in range(again)]
    renewed = [*old, *phases((expiry + 90 * DAY, 6))]
    labels = cast.add(name, renewed, check=some(limit))
    later = expiry + film.sample(total) / 1000 + plan.keep_firing(alert)
    cast.add(name, phases((later, total)), check="later")

    def firing(step: int) -> Firing:
        return Firing(labels, f"{(expiry - film.step(step) / 1000) / DAY:.1f}")

    true, false = film.step_after(crossed * 1000), film.step_from(film.sample(again))
    seen = shown(plan, alert, film, (true, false), firing)
    return Scene(alert, f"{limit.value:g} days left", film, cast.series, seen)
