"""Cases for the alerts on cbmon itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.rules.film import GONE, Film, Token, unit_for
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import number
from cbmon.rules.scenes.calls import ABOVE, BELOW
from cbmon.rules.scenes.scene import (
    FRESH,
    Cast,
    Course,
    Firing,
    Scene,
    course,
    phases,
    rising,
    series_labels,
    shown,
)
from cbmon.rules.scenes.windows import FIRST, bursts, film_for, increase, length_of
from cbmon.rules.words import humanized

COUNTED_WINDOW: Final = 15 * 60.0
SOME: Final = 0.5
"""By how much a count is above its threshold: extrapolated it is less than one more."""
LATE_WINDOW: Final = 10 * 60.0
OTHER: Final = "other.example:9813"


def daemon_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them."""
    yield _gone(plan)
    yield _gone_for_good(plan)
    yield _never_there(plan)
    yield _refused(plan)
    yield _counted(plan, "CbmonStoreErrors", "accesses fail", "cbmon_store_errors_total")
    yield _counted(plan, "CbmonWorkersDying", "one dies", "cbmon_worker_restarts_total", worker="2")
    yield _late(plan)
    yield _lag(plan)
    yield _silent(plan)
    yield _outdated(plan)


def _plain(plan: Plan, alert: str) -> tuple[Film, Course]:
    hold, bridge = plan.hold(alert), plan.bridge(alert)
    film = Film(unit_for(bridge / 12, FRESH / 3, *([hold / 6] if hold else [])))
    return film, course(film, before=bridge, bad=bridge + 2 * hold, after=bridge, windows=(bridge,))


def _gone(plan: Plan) -> Scene:
    """One of two instances is gone for a while."""
    alert = "CbmonDaemonAbsent"
    film, run = _plain(plan, alert)
    cast = Cast(film, series_labels(plan))
    versions = {"version": "1", "python_version": "3"}
    found = cast.add("cbmon_build_info", run.tokens(1.0, GONE), **versions)
    cast.add("cbmon_build_info", run.steady(1.0), **{**versions, "instance": OTHER})
    firing = Firing({key: found[key] for key in ("job", "instance")})
    true, false = film.step_from(run.first_bad), film.step_from(run.recovery)
    return Scene(
        alert,
        "an instance is gone",
        film,
        cast.series,
        shown(plan, alert, film, (true, false), firing),
    )


def _gone_for_good(plan: Plan) -> Scene:
    """The only instance goes: first it is named, then nobody knows any more who it was."""
    alert = "CbmonDaemonAbsent"
    hold, keep = plan.hold(alert), plan.keep_firing(alert)
    film = Film(unit_for(plan.lately / 12))
    last = film.clear_of(2, (plan.lately,))
    forgotten = film.step_after(film.sample(last) + plan.lately * 1000)
    cast = Cast(film, series_labels(plan))
    gone: list[Token] = [*phases((1.0, last + 1)), GONE, GONE]
    found = cast.add("cbmon_build_info", gone, version="1", python_version="3")
    named = Firing({key: found[key] for key in ("job", "instance")})
    nameless = Firing(dict(plan.alerting.selector))
    later = film.held(forgotten, max(hold, keep) + film.step(1) / 1000)
    seen = {forgotten - 1: (named,), later: (nameless,)}
    return Scene(alert, "gone for good", film, cast.series, seen)


def _never_there(plan: Plan) -> Scene:
    """There was never an instance."""
    alert = "CbmonDaemonAbsent"
    film, _ = _plain(plan, alert)
    fires = film.held(0, plan.hold(alert))
    seen: dict[int, tuple[Firing, ...]] = {fires: (Firing(dict(plan.alerting.selector)),)}
    if fires:
        seen[fires - 1] = ()
    return Scene(alert, "no instance ever", film, (), seen)


def _refused(plan: Plan) -> Scene:
    """A reload is refused; the next one is not."""
    alert = "CbmonReloadFailed"
    film, run = _plain(plan, alert)
    cast = Cast(film, series_labels(plan))
    name = "cbmon_config_last_reload_successful"
    labels = cast.add(name, run.pattern(1.0, [0.0, GONE]))
    cast.add(name, run.pattern(1.0, [0.0, 1.0]), instance=OTHER)
    true, false = run.outlived(plan.bridge(alert)), film.step_from(run.recovery)
    return Scene(
        alert,
        "refused",
        film,
        cast.series,
        shown(plan, alert, film, (true, false), Firing(labels)),
    )


def _counted(plan: Plan, alert: str, what: str, name: str, **labels: str) -> Scene:
    """Something is counted in one sample and is seen for as long as it is in the window."""
    film, hold = film_for(plan, alert, COUNTED_WINDOW), plan.hold(alert)
    times, end = plan.threshold(alert) + SOME, (0.0, film.samples_for(COUNTED_WINDOW) + 8)
    last_good = film.clear_of(film.samples_for(COUNTED_WINDOW) + 2, (COUNTED_WINDOW,))
    burst = bursts(film, COUNTED_WINDOW, hold, times)
    cast = Cast(film, series_labels(plan))
    tokens = rising(FIRST * times, [(0.0, last_good), *burst, end])
    found = cast.add(name, tokens, **labels)
    few = rising(FIRST * times, [(0.0, last_good), (plan.threshold(alert) * 0.9, 1), end])
    cast.add(name, few, **{**labels, "instance": OTHER})

    def firing(step: int) -> Firing:
        return Firing(found, f"{increase(film, tokens, step, COUNTED_WINDOW):.0f}")

    true = film.step_from(film.sample(last_good + 1))
    false = film.step_after(film.sample(last_good + length_of(burst) - 1) + COUNTED_WINDOW * 1000)
    return Scene(alert, what, film, cast.series, shown(plan, alert, film, (true, false), firing))


def _late(plan: Plan) -> Scene:
    """Runs start late, by just more than the threshold; elsewhere by just less."""
    alert = "CbmonSchedulerLate"
    film, hold = film_for(plan, alert, LATE_WINDOW), plan.hold(alert)
    run = course(
        film,
        before=4 * film.unit / 1000,
        bad=2 * hold,
        after=LATE_WINDOW,
        windows=(LATE_WINDOW,),
        before_last=1,
    )
    cast = Cast(film, series_labels(plan))
    limit, bucket = plan.threshold(alert), "cbmon_scheduler_lateness_seconds_bucket"
    low, high = limit * 0.5, limit * ABOVE
    labels = dict(cast.labels)
    cast.add(bucket, run.counter(0.0), le=number(low))
    for le in (number(high), "+Inf"):
        cast.add(bucket, run.counter(100.0), le=le)
    for le in (number(limit * BELOW), "+Inf"):
        cast.add(bucket, run.counter(100.0), le=le, instance=OTHER)
    firing = Firing(labels, humanized(low + (high - low) * 0.99))
    true, false = film.step_from(run.first_bad), run.left(LATE_WINDOW, before_last=1)
    return Scene(
        alert,
        "runs start late",
        film,
        cast.series,
        shown(plan, alert, film, (true, false), firing),
    )


def _lag(plan: Plan) -> Scene:
    """The loop is held up by just more than the threshold; elsewhere by just less."""
    alert = "CbmonEventLoopLag"
    film, run = _plain(plan, alert)
    cast = Cast(film, series_labels(plan))
    limit, name = plan.threshold(alert), "cbmon_event_loop_lag_seconds"
    labels = cast.add(name, run.pattern(0.0, [limit * ABOVE, GONE]))
    cast.add(name, run.steady(limit * BELOW), instance=OTHER)
    firing = Firing(labels, humanized(limit * ABOVE))
    true, false = film.step_from(run.first_bad), film.step_from(run.recovery)
    return Scene(
        alert, "held up", film, cast.series, shown(plan, alert, film, (true, false), firing)
    )


def _silent(plan: Plan) -> Scene:
    """An application falls silent and is heard again; its other process reports on."""
    alert = "CbmonApplicationSilent"
    film, run = _plain(plan, alert)
    cast = Cast(film, series_labels(plan))
    name, shop = "cbmon_app_up", {"application": "shop", "process": "web-1"}
    labels = cast.add(name, run.pattern(1.0, [0.0, GONE]), **shop)
    cast.add(name, run.steady(1.0), **{**shop, "process": "web-2"})
    true, false = run.outlived(plan.bridge(alert)), film.step_from(run.recovery)
    seen = shown(plan, alert, film, (true, false), Firing(labels))
    return Scene(alert, "silent", film, cast.series, seen)


def _outdated(plan: Plan) -> Scene:
    """The daemon takes up another configuration; then rules and daemon agree again."""
    alert = "CbmonRulesOutdated"
    film, run = _plain(plan, alert)
    cast = Cast(film, series_labels(plan))
    own = float(plan.hash_number)
    labels = cast.add("cbmon_config_hash", run.pattern(own, [own + 1, GONE]))
    cast.add("cbmon_config_hash", phases((own, run.total)), instance=OTHER)
    true, false = film.step_from(run.first_bad), film.step_from(run.recovery)
    return Scene(
        alert,
        "another configuration",
        film,
        cast.series,
        shown(plan, alert, film, (true, false), Firing(labels)),
    )
