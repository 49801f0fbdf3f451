"""``promql``: ask a Prometheus for values and hold them against thresholds.

Rule: every series that comes back must pass; none at all is a failure unless it is expected. A
value that is not a number passes nothing.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from pydantic import Field

from cbmon.config.fields import Duration, Options
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.api import Api, ApiOptions, Reply, entries
from cbmon.probes.comparison import Comparisons, unmet
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.http.redacted import redacted
from cbmon.probes.kind import ProbeType
from cbmon.probes.outcome import outcome

_SHOWN: Final = 10


class PromqlExpect(Options):
    """What makes the answer to a query a good one."""

    value: Comparisons | None = Field(
        None,
        description="what every value must be: a number, a comparison, or a list of comparisons",
        examples=["> 0.5", [">= 1", "< 100"]],
    )
    series: Comparisons | None = Field(
        None, description="number of series, exactly or compared", examples=[3, "> 0"]
    )
    empty: Literal["fail", "pass"] = Field(
        "fail", description="whether an answer without any series is good; `series` overrules it"
    )
    warnings: Literal["ignore", "fail"] = Field(
        "ignore", description="whether an answer that comes with warnings is good"
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class PromqlOptions(ApiOptions):
    """An instant query to a Prometheus, or to what speaks its API."""

    query: str = Field(
        description="PromQL expression",
        examples=["sum(rate(http_requests_total[5m]))"],
        min_length=1,
        max_length=65_536,
    )
    expect: PromqlExpect = Field(PromqlExpect(), description="what makes the answer a good one")


class Sample(NamedTuple):
    """One series with its value now."""

    labels: dict[str, Any]
    value: float

    def __str__(self) -> str:
        labels = dict(self.labels)
        name = str(labels.pop("__name__", ""))
        inner = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        return f"{name}{{{inner}}}" if inner or not name else name


class PromqlProbe:
    """Asks anew at every run."""

    def __init__(self, options: PromqlOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._api = Api(options, environment)

    async def run(self, attempt: Attempt) -> Result:
        """Ask, and judge every series."""
        return await outcome(attempt, self._ask(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _ask(self, attempt: Attempt) -> None:
        form = {"query": self._options.query, "timeout": f"{attempt.remaining * 1000:.0f}ms"}
        path = "/api/v1/query"
        async with self._api.ask(attempt, path, method="POST", form=form) as reply:
            document = await _answer(reply)
        samples = _samples(entries(document, "data"))
        warnings = document.get("warnings") or []
        attempt.facts["series"] = len(samples)
        attempt.facts["values"] = {str(one): one.value for one in samples[:_SHOWN]}
        if warnings:
            attempt.facts["warnings"] = [str(one)[:200] for one in warnings[:_SHOWN]]
        _judge(self._options.expect, samples, warnings)
        check_duration(attempt, self._options.expect.max_duration)


async def _answer(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        raise await reply.refuse()
    document = await reply.json()
    if entries(document, "status") != "success":
        raise ProbeError(Reason.STATUS, f"the query failed: {shown(str(document.get('error')))}")
    found: dict[str, Any] = document
    return found


def _samples(data: Any) -> list[Sample]:
    kind, result = entries(data, "resultType"), entries(data, "result")
    try:
        if kind == "scalar":
            return [Sample({}, float(result[1]))]
        if kind == "vector":
            return [Sample(dict(one["metric"]), float(one["value"][1])) for one in result]
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ProbeError(Reason.PROTOCOL, "the answer is malformed") from error
    text = f"the query gives a {shown(str(kind))}, expected a vector or a scalar"
    raise ProbeError(Reason.BODY, text)


def _judge(expect: PromqlExpect, samples: list[Sample], warnings: list[Any]) -> None:
    if warnings and expect.warnings == "fail":
        raise ProbeError(Reason.BODY, f"the answer has a warning: {shown(str(warnings[0]))}")
    if expect.series is not None and (wanted := unmet(len(samples), expect.series)):
        raise ProbeError(Reason.BODY, f"got {len(samples)} series, expected {_bare(wanted)}")
    if not samples and expect.series is None and expect.empty == "fail":
        raise ProbeError(Reason.BODY, "got no series, expected some")
    if expect.value is None:
        return
    bad = [one for one in samples if unmet(one.value, expect.value)]
    if bad:
        wanted = _bare(unmet(bad[0].value, expect.value) or "")
        text = f"{shown(str(bad[0]))[1:-1]} is {bad[0].value:g}, expected {wanted}"
        if len(samples) > 1:
            text += f" ({len(bad)} of {len(samples)} series)"
        raise ProbeError(Reason.BODY, text)


def _bare(wanted: str) -> str:
    return wanted.removeprefix("== ")


TYPE: Final = ProbeType(
    name="promql",
    options=PromqlOptions,
    target=lambda options: redacted(options.url),
    build=PromqlProbe,
)
