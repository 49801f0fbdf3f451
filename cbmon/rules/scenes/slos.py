"""Cases for the burn rates: one for each pair of windows, with a burn just above its factor.

Rule: the moments come from doing what the rules do, in a few lines. The grids are such that no
window is a multiple of a step, or the two readings of a window's left edge would differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Final

from cbmon.rules.film import Film, Token
from cbmon.rules.plan import BURNS, Plan, Slo
from cbmon.rules.scenes.breakers import STATUS
from cbmon.rules.scenes.scene import (
    Cast,
    Firing,
    Scene,
    Series,
    labels_of,
    oddity,
    phases,
    series_labels,
    shown,
)

BASE: Final = "5m"
"""The window of the series that the longer ones are averages of."""
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}
_CASES: Final[Mapping[str, tuple[tuple[int, float], ...]]] = {
    "CbmonSloBurnFast": ((6_300, 16.1), (38_000, 7.07)),
    "CbmonSloBurnSlow": ((148_000, 4.03), (148_000, 1.53)),
}
"""For each pair of windows of an alert the unit of a grid, and how fast the budget burns.

A sample must come every five minutes, or an evaluation finds none."""
_MARGIN: Final = 1.02


def slo_scenes(plan: Plan) -> Iterator[Scene]:
    """All of them; none for a pair that an objective this modest can never reach."""
    for slo in plan.slos:
        for alert, cases in _CASES.items():
            for (long, _, factor), (unit, wanted) in zip(BURNS[alert], cases, strict=True):
                burn = min(wanted, 1 / slo.budget)
                if burn > factor * _MARGIN:
                    yield _Story(plan, alert, slo, Film(unit), long, burn).scene()


class _Rates:
    """The burn rates at every step of a course of ``up``."""

    def __init__(self, film: Film, up: Sequence[float], budget: float) -> None:
        self._step = film.step(1)
        steps = film.sample(len(up) - 1) // self._step
        seen = (up[film.step(step) // film.sample(1)] for step in range(steps + 1))
        self._seen = _sums(seen)
        averages = (self._average(self._seen, step, BASE) for step in range(steps + 1))
        self._base = _sums((1 - average) / budget for average in averages)
        self.steps = steps

    def _average(self, sums: Sequence[float], step: int, window: str) -> float:
        length = int(window[:-1]) * _SECONDS[window[-1]] * 1000
        first = max(0, -((length - step * self._step) // self._step))
        return (sums[step + 1] - sums[first]) / (step + 1 - first)

    def at(self, step: int, window: str) -> float:
        """The burn rate over a window at a step."""
        if window == BASE:
            return self._base[step + 1] - self._base[step]
        return self._average(self._base, step, window)

    def burning(self, alert: str, step: int) -> tuple[int, float] | None:
        """Which pair of windows fires first, and the value it shows; None if none does."""
        for index, (long, short, factor) in enumerate(BURNS[alert]):
            if min(self.at(step, long), self.at(step, short)) > factor:
                return index, self.at(step, long)
        return None


def _sums(values: Iterator[float]) -> list[float]:
    return list(accumulate(chain([0.0], values)))


@dataclass(frozen=True, slots=True)
class _Story:
    """Twice the long window without a failure, then the burn until it is told, then none."""

    plan: Plan
    alert: str
    slo: Slo
    film: Film
    long: str
    burn: float

    def scene(self) -> Scene:
        """The story as a scene, with what is seen whenever another pair of windows speaks."""
        film, window = self.film, int(self.long[:-1]) * _SECONDS[self.long[-1]]
        quiet, enough = film.samples_for(2 * window), film.samples_for(window)
        failing = round(1 - self.burn * self.slo.budget, 10)
        hold = film.samples_for(self.plan.hold(self.alert))
        start = film.step_from(film.sample(quiet))
        forever = self._rates([1.0] * quiet + [failing] * (enough + hold + 4))
        true = next(s for s in range(start, forever.steps) if forever.burning(self.alert, s))
        end = film.step(true) // film.sample(1) + hold + enough // 8
        up = [1.0] * quiet + [failing] * (end - quiet) + [1.0] * (2 * enough)
        rates = self._rates(up)
        false = next(s for s in range(true, rates.steps) if not rates.burning(self.alert, s))
        up = up[: film.step(false) // film.sample(1) + 6]
        return Scene(
            self.alert,
            f"{self.slo.name} burns {self.burn:g} times too fast",
            film,
            self._cast(up),
            self._beside(up, self._seen(rates, true, false)),
        )

    def _rates(self, up: Sequence[float]) -> _Rates:
        return _Rates(self.film, up, self.slo.budget)

    def _seen(self, rates: _Rates, true: int, false: int) -> dict[int, Sequence[Firing]]:
        labels = {"slo": self.slo.name, "objective": self.slo.objective}

        def firing(step: int) -> Firing:
            found = rates.burning(self.alert, step)
            return Firing(labels, "" if found is None else f"{found[1]:.1f}")

        seen = shown(self.plan, self.alert, self.film, (true, false), firing)
        fires = self.film.held(true, self.plan.hold(self.alert))
        for step in range(fires + 1, false):
            if (rates.burning(self.alert, step) or [0])[0] != (
                rates.burning(self.alert, step - 1) or [0]
            )[0]:
                seen |= {step - 1: (firing(step - 1),), step: (firing(step),)}
        return seen

    def _beside(
        self, up: Sequence[float], seen: Mapping[int, Sequence[Firing]]
    ) -> dict[int, Sequence[Firing]]:
        """The same with the alerts of other objectives for the checks that burn."""
        burning = set(self._burning())
        missing = self.film.step(max(seen)) // self.film.sample(1) + 2 - len(up)
        course = [*up, *[1.0] * max(0, missing)]
        told = [
            self._told(slo, course)
            for slo in self.plan.slos
            if slo.name != self.slo.name and burning.intersection(slo.checks)
        ]
        return {
            step: (*found, *(other[step] for other in told if step in other))
            for step, found in seen.items()
        }

    def _told(self, slo: Slo, up: Sequence[float]) -> dict[int, Firing]:
        """At which steps the alert of an objective fires."""
        rates = _Rates(self.film, up, slo.budget)
        hold, keep = self.plan.hold(self.alert), self.plan.keep_firing(self.alert)
        told: dict[int, Firing] = {}
        since, good, text = None, None, ""
        for step in range(rates.steps + 1):
            if (found := rates.burning(self.alert, step)) is not None:
                since, good, text = (step if since is None else since), None, f"{found[1]:.1f}"
            elif since is not None:
                good = step if good is None else good
                if step - 1 not in told or step >= self.film.held(good, keep):
                    since = good = None
            if since is not None and (step - 1 in told or step >= self.film.held(since, hold)):
                told[step] = Firing({"slo": slo.name, "objective": slo.objective}, text)
        return told

    def _burning(self) -> list[str]:
        return sorted(self.slo.checks, key=oddity)[-3:]

    def _cast(self, up: Sequence[float]) -> Sequence[Series]:
        """Checks of the objective burn together; others have nothing to say."""
        cast = Cast(self.film, series_labels(self.plan))
        zero, one = phases((0.0, len(up))), phases((1.0, len(up)))
        first = max(self.slo.checks, key=oddity)
        for check in self._burning():
            _check(cast, up, one, check=check)
            cast.add(STATUS, zero, **labels_of(self.plan, check), state="disabled")
        _check(cast, zero, one, check="not of it")
        _check(cast, zero, zero, check=first, instance="never ran")
        for instance, state in (("forced", "forced_open"), ("disabled", "disabled")):
            _check(cast, zero, one, check=first, instance=instance)
            labels = labels_of(self.plan, first)
            cast.add(STATUS, one, **labels, state=state, instance=instance)
        return cast.series


def _check(cast: Cast, up: Sequence[Token], ran: Sequence[Token], **labels: str) -> None:
    cast.add("cbmon_check_up", up, **labels)
    cast.add("cbmon_check_last_run_timestamp_seconds", ran, **labels)
