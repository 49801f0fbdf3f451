"""A small stand-in for Grafana: it fills in variables and asks Prometheus as Grafana would.

Rule: what it fills in is what Grafana's Prometheus data source fills in, and what is left over
that looks like a variable is an error.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.dashboards.story import END, HOURS, SCRAPE
from tests.integration.harness import Prometheus

Series = list[dict[str, Any]]
_LABEL_VALUES: Final = re.compile(r"label_values\((.*), (\w+)\)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$(\w+)|\$\{|\[\[")


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of a dashboard, where it stands, and whether it is asked for one moment."""

    place: str
    expr: str
    instant: bool
    legend: str = ""


def queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """The query of every panel and annotation."""
    uid = dashboard["uid"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            place = f"{uid}: {panel['title']}: {target['refId']}"
            yield Asked(place, target["expr"], target["instant"], target.get("legendFormat", ""))
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            assert annotation["target"]["expr"] == annotation["expr"]
            yield Asked(f"{uid}: annotation {annotation['name']}", annotation["expr"], False)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks at the last hours of a Prometheus."""

    prometheus: Prometheus
    end: float = END
    hours: float = HOURS
    points: int = 360

    def choices(self, dashboard: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        """What can be chosen: all of each variable that allows it, each value of the others."""
        chosen: dict[str, str] = {}
        one: dict[str, list[str]] = {}
        for variable in dashboard["templating"]["list"]:
            if variable["type"] != "query":
                continue
            values = self.values(variable["query"]["query"], chosen)
            if variable["includeAll"]:
                assert variable["allValue"] == ".+"
                chosen[variable["name"]] = ".+"
            else:
                one[variable["name"]] = values or [""]
        assert len(one) <= 1
        for name, values in one.items():
            for value in values:
                yield {**chosen, name: value.replace("\\", "\\\\").replace('"', '\\"')}
        if not one:
            yield chosen

    def values(self, query: str, chosen: Mapping[str, str]) -> list[str]:
        """What a variable's query gives."""
        match = _LABEL_VALUES.fullmatch(query)
        assert match, query
        selector, label = match.groups()
        asked = {"match[]": self.filled(selector, chosen), **self._span()}
        found = self._get(f"/api/v1/label/{label}/values", asked)
        assert all(isinstance(value, str) for value in found)
        return list(found)

    def ask(self, asked: Asked, chosen: Mapping[str, str]) -> Series:
        """The series that a query gives."""
        expr = self.filled(asked.expr, chosen)
        if asked.instant:
            found = self._get("/api/v1/query", {"query": expr, "time": self.end})
        else:
            more = {"query": expr, "step": self.step, **self._span()}
            found = self._get("/api/v1/query_range", more)
        result: Series = found["result"]
        return result

    @property
    def step(self) -> float:
        """The distance of two points."""
        return max(SCRAPE, self.hours * 3600 / self.points)

    def filled(self, expr: str, chosen: Mapping[str, str]) -> str:
        """A query with every variable in it filled in."""
        span = round(self.hours * 3600)
        rate = max(self.step + SCRAPE, 4 * SCRAPE)
        known = {
            "__rate_interval": f"{rate:.0f}s",
            "__interval": f"{self.step:.0f}s",
            "__range": f"{span}s",
            "__range_s": str(span),
            **chosen,
        }

        def fill(match: re.Match[str]) -> str:
            assert match[1] in known, f"{match[0]} in {expr}"
            return known[match[1]]

        return _VARIABLE.sub(fill, expr)

    def _span(self) -> dict[str, float]:
        return {"start": self.end - self.hours * 3600, "end": self.end}

    def _get(self, path: str, asked: Mapping[str, Any]) -> Any:
        answer = self.prometheus.get(f"{path}?{urllib.parse.urlencode(asked)}")
        found = json.loads(answer.body)
        assert found["status"] == "success", f"{found['error']}\n{asked}"
        return found["data"]
