"""One case of one alert: what happens, and when which alert must fire.

Rule: a scene computes its moments from the plan, so that every figure in a rule has a case that
fails when it is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cbmon.rules.classes import Class
from cbmon.rules.film import GONE, Film, Token, unit_for
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import promql

DAEMON: Final[Mapping[str, str]] = {"job": "cbmon", "instance": "cbmon.example:9813"}
"""What Prometheus puts on every series of a daemon."""

FRESH: Final = 5 * 60.0
"""For how long Prometheus takes a sample for the present; the default of its lookback."""
_TOLD: Final = 200


@dataclass(frozen=True, slots=True)
class Series:
    """A series with a token for each sample; it goes on with its last one."""

    name: str
    labels: Mapping[str, str]
    tokens: Sequence[Token]

    def notation(self) -> str:
        """The series as promtool takes it."""
        inside = ",".join(f"{key}={promql(value)}" for key, value in sorted(self.labels.items()))
        return f"{self.name}{{{inside}}}"


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that must fire: the labels of its series, and ``$value`` as its text shows it."""

    labels: Mapping[str, str]
    value: str = ""


Seen = Callable[[int], Firing]
"""The alert at a step."""


@dataclass(frozen=True, slots=True)
class Query:
    """What an expression must give at a step: one series."""

    step: int
    expression: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scene:
    """``shots`` are evaluations with the alerts that must fire then, and no others."""

    alert: str
    what: str
    film: Film
    series: Sequence[Series]
    shots: Mapping[int, Sequence[Firing]]
    queries: Sequence[Query] = ()

    @property
    def length(self) -> int:
        """How many samples it needs."""
        last = max([*self.shots, *(query.step for query in self.queries)])
        return self.film.step(last) // self.film.sample(1) + 1


@dataclass(slots=True)
class Cast:
    """Collects the series of a scene; every series is as long as the scene."""

    film: Film
    labels: Mapping[str, str]
    series: list[Series] = field(default_factory=list)

    def add(self, name: str, tokens: Sequence[Token], **labels: str) -> dict[str, str]:
        """A series of the daemon; its labels."""
        made = {**self.labels, **labels}
        self.series.append(Series(name, made, tokens))
        return made


def phases(*parts: tuple[Token, int]) -> list[Token]:
    """Tokens that stay for a number of samples each."""
    return [token for token, length in parts for _ in range(max(0, length))]


def flickering(value: float, length: int) -> list[Token]:
    """A value that stays while scrapes fail now and then; only its last 200 samples tell."""
    told = min(length, _TOLD)
    turn: list[Token] = [GONE if index % 3 == 1 else value for index in range(told)]
    return [*phases((value, length - told)), *turn]


def rising(start: float, slopes: Sequence[tuple[float, int]]) -> list[float]:
    """A counter: its first sample, then steps of a size for a number of samples each."""
    tokens = [start]
    value = start
    for slope, length in slopes:
        for _ in range(max(0, length)):
            value = round(value + slope, 6)
            tokens.append(value)
    return tokens


@dataclass(frozen=True, slots=True)
class Course:
    """Good, then bad, then good again. Samples: the last good one, and the first good again."""

    film: Film
    last_good: int
    good_again: int
    total: int

    def tokens(self, good: Token, bad: Token, after: Token | None = None) -> list[Token]:
        """The values of a gauge."""
        return self.pattern(good, [bad], after)

    def pattern(self, good: Token, bad: Sequence[Token], after: Token | None = None) -> list[Token]:
        """With several bad values in turn; the first of them comes first."""
        length = self.good_again - self.last_good - 1
        turn = [bad[index % len(bad)] for index in range(length)]
        end = good if after is None else after
        return [
            *phases((good, self.last_good + 1)),
            *turn,
            *phases((end, self.total - self.good_again)),
        ]

    def steady(self, token: Token) -> list[Token]:
        """The same all the time."""
        return phases((token, self.total))

    def counter(self, slope: float, start: float = 1e9) -> list[float]:
        """A counter that grows with every bad sample and stands still else."""
        bad = self.good_again - self.last_good - 1
        rest = self.total - self.good_again
        return rising(start, [(0.0, self.last_good), (slope, bad), (0.0, rest)])

    @property
    def first_bad(self) -> int:
        """When the first bad sample is taken."""
        return self.film.sample(self.last_good + 1)

    @property
    def last_bad(self) -> int:
        """When the last bad sample is taken."""
        return self.film.sample(self.good_again - 1)

    @property
    def recovery(self) -> int:
        """When the first sample is good again."""
        return self.film.sample(self.good_again)

    def outlived(self, seconds: float) -> int:
        """The first evaluation at which no good sample is in a window of so many seconds."""
        return self.film.step_after(self.film.sample(self.last_good) + seconds * 1000)

    def left(self, seconds: float, *, before_last: int = 0) -> int:
        """The first evaluation at which the last bad samples have left the window.

        ``before_last`` samples of them may stay in it.
        """
        moment = self.film.sample(self.good_again - 1 - before_last)
        return self.film.step_after(moment + seconds * 1000)


def course(
    film: Film,
    *,
    before: float,
    bad: float,
    after: float,
    windows: Sequence[float] = (),
    before_last: int = 0,
) -> Course:
    """A course with at least so many seconds of each phase, its edges clear of evaluations."""
    last_good = film.clear_of(film.samples_for(before) + 1, windows)
    end = film.clear_of(last_good + film.samples_for(bad) + 4, windows)
    good_again = end + 1 + before_last
    return Course(film, last_good, good_again, good_again + film.samples_for(after) + 6)


def shown(
    plan: Plan, alert: str, film: Film, span: tuple[int, int], firing: Firing | Seen
) -> dict[int, Sequence[Firing]]:
    """What must be seen of an alert whose condition holds from one step until before another.

    Nothing a step before it fires, and nothing from when it ends. ``firing`` may depend on the
    step; while an alert is kept firing its text stays as it was last.
    """
    true, false = span
    fires = film.held(true, plan.hold(alert))
    ends = film.held(false, plan.keep_firing(alert))

    def at(step: int) -> Firing:
        return firing if isinstance(firing, Firing) else firing(step)

    return {fires - 1: (), fires: (at(fires),), ends - 1: (at(false - 1),), ends: ()}


def bridged(plan: Plan, alert: str) -> Film:
    """A grid on which two scrapes may be four units apart, and a bridge still finds one."""
    limit, hold = max(1.0, plan.threshold(alert)), plan.hold(alert)
    return Film(unit_for(plan.bridge(alert) / 6, limit / 12, *([hold / 6] if hold else [])))


def series_labels(plan: Plan) -> dict[str, str]:
    """What Prometheus puts on every series that the rules look at."""
    return {**DAEMON, **plan.alerting.selector}


def labels_of(plan: Plan, name: str, unknown: str = "app") -> dict[str, str]:
    """The labels of a component; ``unknown`` is the category of one nobody configured."""
    categories = {component: category for category, component in plan.breakers}
    return {"category": categories.get(name, unknown), "component": name}


def some(limit: Class) -> str:
    """A component of a class."""
    return "nobody's" if limit.others else oddest(limit.names)


def oddest(names: Iterable[str], default: str = "shop-api") -> str:
    """The name with the most characters that something could stumble over."""
    return max(sorted(names), key=oddity, default=default)


def oddity(name: str) -> int:
    """How many such characters it has."""
    return sum(not character.isalnum() for character in name)
