"""Cases for the alerts on a breaker's state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cbmon.rules.classes import Class
from cbmon.rules.film import GONE, Film, Token, unit_for
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import equal
from cbmon.rules.scenes.scene import (
    DAEMON,
    FRESH,
    Cast,
    Firing,
    Query,
    Scene,
    course,
    labels_of,
    oddest,
    phases,
    rising,
    series_labels,
    shown,
    some,
)

STATE: Final = "circuit_breaker_state"
STATUS: Final = "circuit_breaker_status"


def breaker_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them that the plan has alerts for."""
    yield _open(plan)
    yield _idle(plan)
    yield _graphs(plan)
    yield _group(plan)
    yield _half_open(plan)
    yield from (_disabled(plan, limit) for limit in plan.cycles)
    yield _overridden(plan)
    if plan.graph.upstream:
        yield _dependency(plan)
    if plan.breakers:
        yield _absent(plan)
        yield _absent_all(plan)
        yield _absent_with_the_daemon(plan)


def subject(plan: Plan) -> dict[str, str]:
    """Labels of the configured breaker with the oddest name, or of one nobody configured."""
    return labels_of(plan, oddest(name for _, name in plan.breakers))


def _film(plan: Plan, alert: str, *windows: float) -> Film:
    hold = plan.hold(alert)
    rest = [hold / 6] if hold else []
    return Film(unit_for(plan.bridge(alert) / 12, *(window / 12 for window in windows), *rest))


def _open(plan: Plan) -> Scene:
    """It is open and tried in vain, its scrapes fail now and then, and it closes."""
    alert = "CircuitBreakerOpen"
    bridge, hold, film = plan.bridge(alert), plan.hold(alert), _film(plan, alert)
    film = Film(min(film.unit, unit_for(plan.trial / 12)))
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=bridge, windows=(bridge,))
    cast = Cast(film, series_labels(plan))
    tried: list[Token] = [0.0, 0.0, GONE, 0.5]
    labels = cast.add(STATE, run.pattern(1.0, tried), **subject(plan))
    cast.add(STATUS, run.steady(0.0), **subject(plan), state="forced_open")
    held = {"category": "check", "component": "forced open"}
    cast.add(STATE, run.tokens(1.0, 0.0), **held)
    cast.add(STATUS, run.tokens(0.0, 1.0), **held, state="forced_open")
    held = {"category": "check", "component": "disabled"}
    cast.add(STATE, run.tokens(1.0, 0.0), **held)
    cast.add(STATUS, run.tokens(0.0, 1.0), **held, state="disabled")
    cast.add(STATE, run.steady(0.5), category="app", component="half-open, and nobody calls")
    cast.add(STATE, run.pattern(1.0, [0.0, 1.0]), category="app", component="up and down")
    seen = shown(
        plan, alert, film, (run.outlived(bridge), film.step_from(run.recovery)), Firing(labels)
    )
    return Scene(alert, "open, tried in vain, closed", film, cast.series, seen)


def _idle(plan: Plan) -> Scene:
    """It was open and is half-open now, and nobody calls: after a while it no longer is open."""
    alert = "CircuitBreakerOpen"
    bridge, hold, trial = plan.bridge(alert), plan.hold(alert), plan.trial
    film = Film(min(_film(plan, alert).unit, unit_for(trial / 12)))
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=trial, windows=(bridge, trial))
    cast = Cast(film, series_labels(plan))
    labels = cast.add(STATE, run.tokens(1.0, 0.0, 0.5), **subject(plan))
    seen = shown(plan, alert, film, (run.outlived(bridge), run.left(trial)), Firing(labels))
    return Scene(alert, "half-open, and nobody calls", film, cast.series, seen)


def _graphs(plan: Plan) -> Scene:
    """What dashboards draw: the state over time, the rate of failures, the availability.

    Of the 36 samples in the hour before the last query, the last nine are 0.
    """
    film, own = Film(50_000), subject(plan)
    cast = Cast(film, series_labels(plan))
    labels = cast.add(STATE, phases((1.0, 56), (0.0, 12)), **own)
    cast.add(STATE, phases((1.0, 68)), **{**own, "instance": "elsewhere"})
    cast.add("circuit_breaker_failures_total", rising(10, [(3.0, 68)]), **own)
    worst = "sum by (category, component) (component:circuit_breaker_state:min)"
    rate = "round(component:circuit_breaker_failures:rate5m, 0.001)"
    here = equal("instance", labels["instance"])
    share = f"round(component:circuit_breaker_availability:percent1h{{{here}}}, 0.01)"
    queries = (
        Query(37, worst, own, 1),
        Query(38, worst, own, 0),
        Query(43, rate, labels, 0.03),
        Query(43, share, labels, 75),
    )
    return Scene("CircuitBreakerOpen", "what is drawn", film, cast.series, {}, queries)


def _group(plan: Plan) -> Scene:
    """One after the other opens in a group, until it is all of them."""
    alert = "CircuitBreakerGroupOpen"
    bridge, hold, film = plan.bridge(alert), plan.hold(alert), _film(plan, alert)
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=bridge, windows=(bridge,))
    cast = Cast(film, series_labels(plan))
    size = max(1, int(plan.threshold(alert)))
    name = oddest(plan.graph.groups, default="shop")

    def member(group: str, component: str, state: list[float | str]) -> None:
        cast.add(STATE, state, category="check", component=component)
        cast.add(STATUS, run.steady(0.0), category="check", component=component, state="disabled")
        cast.add(
            "cbmon_check_info",
            run.pattern(1.0, [1.0, GONE]),
            check=component,
            group=group,
            kind="http",
            target="http://127.0.0.1/",
        )

    for index in range(size):
        down = run.pattern(1.0, [0.0, 0.5]) if index == 0 else run.steady(0.0)
        member(name, f"{name} {index}", down)
        member("partly", f"partly {index}", run.steady(1.0 if index == 0 else 0.0))
        member("by hand", f"by hand {index}", run.steady(0.0))
    member("partly", "partly too", run.steady(0.0))
    cast.add(STATUS, run.steady(1.0), category="check", component="by hand 0", state="forced_open")
    for index in range(size - 1):
        member("too small", f"too small {index}", run.steady(0.0))
    for index in range(size):
        member("", f"alone {index}", run.steady(0.0))
    labels = {"job": DAEMON["job"], "instance": DAEMON["instance"], "group": name}
    labels = {key: series_labels(plan).get(key, value) for key, value in labels.items()}
    firing = Firing(labels, str(size))
    seen = shown(plan, alert, film, (run.outlived(bridge), film.step_from(run.recovery)), firing)
    return Scene(alert, "all of a group", film, cast.series, seen)


def _half_open(plan: Plan) -> Scene:
    """It stays half-open, then closes."""
    alert = "CircuitBreakerHalfOpen"
    bridge, hold, film = plan.bridge(alert), plan.hold(alert), _film(plan, alert)
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=bridge, windows=(bridge,))
    cast = Cast(film, series_labels(plan))
    labels = cast.add(STATE, run.pattern(0.0, [0.5], 1.0), **subject(plan))
    unseen = cast.add(STATE, run.tokens(1.0, 0.5), category="app", component="open unseen")
    cast.add(STATE, run.pattern(1.0, [0.5, 0.0]), category="app", component="tried in vain")
    cast.add(STATE, run.pattern(1.0, [0.5, 1.0]), category="app", component="up and down")
    span = run.outlived(bridge), film.step_from(run.recovery)
    seen = shown(plan, alert, film, span, Firing(labels))
    both = {step: (*found, Firing(unseen)) if found else () for step, found in seen.items()}
    return Scene(alert, "half-open for long", film, cast.series, both)


def _disabled(plan: Plan, limit: Class) -> Scene:
    """Its cycles reach the limit and it disables itself; someone enables it."""
    alert = "CircuitBreakerAutoDisabled"
    film = _film(plan, alert)
    bridge, hold = plan.bridge(alert), plan.hold(alert)
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=bridge)
    cast = Cast(film, series_labels(plan))
    own = labels_of(plan, some(limit))
    labels = cast.add(
        "circuit_breaker_failure_cycles", run.pattern(0.0, [limit.value, GONE]), **own
    )
    cast.add(STATUS, run.pattern(0.0, [1.0, GONE]), **own, state="disabled")
    hand = {**own, "instance": "by hand"}
    cast.add("circuit_breaker_failure_cycles", run.steady(limit.value - 1), **hand)
    cast.add(STATUS, run.steady(1.0), **hand, state="disabled")
    still = {**own, "instance": "still tried"}
    cast.add("circuit_breaker_failure_cycles", run.steady(limit.value + 1), **still)
    cast.add(STATUS, run.steady(0.0), **still, state="disabled")
    firing = Firing(labels, f"{limit.value:g}")
    seen = shown(
        plan, alert, film, (film.step_from(run.first_bad), film.step_from(run.recovery)), firing
    )
    return Scene(alert, f"disabled after {limit.value:g} cycles", film, cast.series, seen)


def _overridden(plan: Plan) -> Scene:
    """Someone forces it open and forgets it; others are as they should be."""
    alert = "CircuitBreakerOverridden"
    bridge, hold, film = plan.bridge(alert), plan.hold(alert), _film(plan, alert)
    run = course(film, before=bridge, bad=bridge + 2 * hold, after=bridge)
    cast = Cast(film, series_labels(plan))
    labels = cast.add(STATUS, run.pattern(0.0, [1.0, GONE]), **subject(plan), state="forced_open")
    for state in ("open", "disabled", "observe"):
        cast.add(STATUS, run.steady(1.0), category="app", component=state, state=state)
    seen = shown(
        plan,
        alert,
        film,
        (film.step_from(run.first_bad), film.step_from(run.recovery)),
        Firing(labels),
    )
    return Scene(alert, "forced open and forgotten", film, cast.series, seen)


def _dependency(plan: Plan) -> Scene:
    """What others depend on opens and closes; the alert stays while they recover."""
    alert = "CircuitBreakerDependencyDown"
    keep = plan.keep_firing(alert)
    bridge, hold = plan.bridge(alert), plan.hold(alert)
    film = Film(min(_film(plan, alert).unit, unit_for(max(keep, 0.012) / 6)))
    run = course(film, before=bridge, bad=2 * hold, after=bridge + 2 * keep, windows=(bridge,))
    cast = Cast(film, series_labels(plan))
    own = {"category": "check", "component": oddest(plan.graph.upstream)}
    labels = cast.add(STATE, run.tokens(1.0, 0.5), **own)
    cast.add(STATUS, run.steady(0.0), **own, state="disabled")
    cast.add(STATE, run.steady(0.0), category="check", component="nobody depends on it")
    elsewhere = {**own, "instance": "elsewhere"}
    cast.add(STATE, run.steady(0.0), **elsewhere)
    cast.add(STATUS, run.pattern(1.0, [1.0, GONE]), **elsewhere, state="disabled")
    seen = shown(
        plan, alert, film, (film.step_from(run.first_bad), run.left(bridge)), Firing(labels)
    )
    return Scene(alert, "down, and a while after", film, cast.series, seen)


def _absent(plan: Plan) -> Scene:
    """A configured breaker is not there while the daemon is; later it is there."""
    alert = "CircuitBreakerAbsent"
    hold = plan.hold(alert)
    film = Film(unit_for(min(max(hold / 6, 1.0), FRESH / 3)))
    run = course(film, before=0, bad=2 * hold, after=0)
    cast = Cast(film, series_labels(plan))
    own = subject(plan)
    for category, component in plan.breakers:
        here = component != own["component"]
        tokens = run.steady(1.0) if here else run.tokens(1.0, GONE)
        cast.add(STATE, tokens, category=category, component=component)
    cast.add("cbmon_build_info", run.steady(1.0), version="1", python_version="3")
    firing = Firing({**own, **plan.alerting.selector})
    seen = shown(
        plan, alert, film, (film.step_from(run.first_bad), film.step_from(run.recovery)), firing
    )
    return Scene(alert, "configured, not watched", film, cast.series, seen)


def _absent_all(plan: Plan) -> Scene:
    """The daemon watches nothing: each breaker is told by its name."""
    alert = "CircuitBreakerAbsent"
    hold = plan.hold(alert)
    film = Film(unit_for(min(max(hold / 6, 1.0), FRESH / 3)))
    cast = Cast(film, series_labels(plan))
    fires = film.held(0, hold)
    cast.add("cbmon_build_info", phases((1.0, film.step(fires) // film.sample(1) + 2)), version="1")
    everything = [
        Firing({"category": category, "component": name, **plan.alerting.selector})
        for category, name in plan.breakers
    ]
    return Scene(alert, "nothing is watched", film, cast.series, {fires: everything})


def _absent_with_the_daemon(plan: Plan) -> Scene:
    """Nothing is there at all: that is another alert's business."""
    alert = "CircuitBreakerAbsent"
    hold = plan.hold(alert)
    film = Film(unit_for(min(max(hold / 6, 1.0), FRESH / 3)))
    return Scene(alert, "no daemon", film, (), {film.held(1, 2 * hold): ()})
