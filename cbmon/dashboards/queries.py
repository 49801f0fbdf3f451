"""Pieces of PromQL for dashboards.

Rule: every selector has ``job`` and ``instance`` as chosen on the dashboard. Text from the
configuration has neither ``$`` nor ``[[`` left, which would be Grafana's variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cbmon.dashboards.words import NO_DATA, WORDS
from cbmon.rules.classes import Class, classes
from cbmon.rules.plan import Plan
from cbmon.rules.quoting import equal, number

Metric = Callable[..., str]

MEMORY: Final = "1h"
"""For how long something that is gone is shown as "no data"."""
LONG: Final = "$__range"
RATE: Final = "$__rate_interval"
PER_MINUTE: Final = "60 * "
"""Rates are shown per minute: one failed run of a check is 0.0083 per second over two minutes."""
WORKING: Final = 'state=~"closed|observe|forced_closed"'


def inert(text: str) -> str:
    """A string literal of PromQL in which Grafana finds no variable."""
    return text.replace("$", "\\x24").replace("[[", "[\\x5b")


@dataclass(frozen=True, slots=True)
class Scope:
    """The selectors of one dashboard: ``more`` are its own matchers for breakers."""

    plan: Plan
    more: tuple[str, ...] = ()

    def of(self, metric: str, *matchers: str) -> str:
        """A selector of a metric that has no label of breakers."""
        own = [inert(equal(*pair)) for pair in sorted(self.plan.alerting.selector.items())]
        chosen = ['job=~"$job"', 'instance=~"$instance"']
        return f"{metric}{{{','.join([*own, *chosen, *matchers])}}}"

    def breaker(self, metric: str, *matchers: str) -> str:
        """A selector of one of ``circuit_breaker_…``."""
        return self.of(f"circuit_breaker_{metric}", *self.more, *matchers)

    def variable(self, metric: str, label: str, *matchers: str) -> str:
        """The query of a variable: the values of a label."""
        own = [inert(equal(*pair)) for pair in sorted(self.plan.alerting.selector.items())]
        inside = ",".join([*own, *matchers])
        return f"label_values({metric}{f'{{{inside}}}' if inside else ''}, {label})"

    def known(self, by: str, metric: str) -> str:
        """A gauge's smallest value, and NO_DATA for an hour after it is gone."""
        gone = f"0 * min by ({by}) (last_over_time({metric}[{MEMORY}])) + {NO_DATA}"
        return f"min by ({by}) ({metric})\nor {gone}"

    def share(self, by: str, part: str, whole: str) -> str:
        """The mean of gauges in the time shown, each sample alike, so that an instance that
        was there for a minute weighs a minute; ``whole`` is there as often as ``part``."""
        grouped = f"sum by ({by})" if by else "sum"
        return (
            f"{grouped} (sum_over_time({part}[{LONG}]))"
            f" / {grouped} (count_over_time({whole}[{LONG}]))"
        )

    def states(self, by: str) -> str:
        """The number of WORDS for the state of breakers; of several the worst."""
        each = "\n  or ".join(
            f"{code} * {self.breaker('status', equal('state', state.value))}"
            for state, (code, _, _) in WORDS.items()
        )
        return f"max by ({by}) (sum without (state) (\n  {each}\n))"


def limits(metric: Metric, label: str, values: Mapping[str, float], *, whole: bool) -> str:
    """What is configured for each name, as a series that ends where ``metric`` ends.

    ``metric`` gives a selector with more matchers, ``values`` are by the value of ``label``.
    With ``whole`` every name has a value, so that those of the most frequent one need not be
    listed. Empty without values.
    """
    if not values:
        return ""
    found = classes(values) if whole else classes(values, math.nan)[:-1]
    parts = [f"0 * {metric(*_matchers(one, label))} + {number(one.value)}" for one in found]
    return "max(\n  " + "\n  or ".join(parts) + "\n)"


def _matchers(one: Class, label: str) -> list[str]:
    ours = ['category!="app"'] if one.others and label == "component" else []
    return [*ours, *filter(None, [inert(one.match(label))])]
