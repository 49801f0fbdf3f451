"""Results over the API: single runs and sums, by pages, in a resolution that the range chooses."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cbmon.cli.root import cli
from cbmon.model import Result

DAY = 86_400.0


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture
def busy(daemon: Any, fail_result: Any) -> Any:
    """Runs of api every half minute for an hour, one of ten of which fails."""
    daemon.clock.advance(2.5 * 3600)
    for number in range(120):
        result = fail_result() if number % 10 == 9 else Result(ok=True, duration=0.02)
        daemon.ran("api", result)
        daemon.clock.advance(30)
    return daemon


async def test_single_runs_come_oldest_first_with_what_each_found(busy: Any, web: Any) -> None:
    reply = (await web.get("/api/v1/checks/api/results?limit=1000")).json
    assert reply["resolution"] == "raw"
    points = reply["results"]
    assert len(points) == 120
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    good, bad = points[0], points[9]
    assert (good["runs"], good["failures"], good["seconds"]) == (1, 0, 0)
    assert good["duration_seconds"]["max"] == pytest.approx(0.02, rel=0.001)
    assert (bad["failures"], bad["reasons"], bad["duration_seconds"]) == (1, {"connect": 1}, None)
    assert (reply["total"]["runs"], reply["total"]["failures"]) == (120, 12)


async def test_pages_follow_on_each_other_without_a_gap(busy: Any, web: Any) -> None:
    for resolution, expected in (("raw", 120), ("5m", 13)):
        found: list[Any] = []
        query = f"resolution={resolution}&limit=7"
        url = f"/api/v1/checks/api/results?{query}"
        cursor: str | None = ""
        while cursor is not None:
            reply = (await web.get(url + (f"&cursor={cursor}" if cursor else ""))).json
            found += reply["results"]
            cursor = reply["next_cursor"]
        assert len(found) in {expected, expected - 1}
        assert len({point["at"] for point in found}) == len(found)
        assert sum(point["runs"] for point in found) == 120


async def test_sums_say_how_much_of_the_known_time_was_up(busy: Any, web: Any) -> None:
    reply = (await web.get("/api/v1/checks/api/results?resolution=1h")).json
    whole = reply["total"]
    assert whole["runs"] == 120
    assert whole["uptime"] == pytest.approx(0.9, abs=0.01)
    assert whole["up_seconds"] + whole["down_seconds"] == pytest.approx(3600, abs=40)
    assert whole["duration_seconds"]["p95"] == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("back", "length", "expected"),
    [
        (0, 3600.0, "raw"),
        (0, 3 * 3600.0, "5m"),
        (1.5 * DAY, 3600.0, "5m"),
        (0, 3 * DAY, "1h"),
        (3 * DAY, 3600.0, "1h"),
        (0, 40 * DAY, "1d"),
        (100 * DAY, 3600.0, "1d"),
    ],
)
async def test_the_range_chooses_the_resolution(
    daemon: Any, web: Any, back: float, length: float, expected: str
) -> None:
    until = daemon.clock.time() - back
    query = f"since={until - length:.0f}&until={until:.0f}"
    reply = (await web.get(f"/api/v1/checks/api/results?{query}")).json
    assert reply["resolution"] == expected
    assert moment(reply["since"]) == pytest.approx(until - length, abs=1)


async def test_a_check_without_results_has_an_empty_page(daemon: Any, web: Any) -> None:
    for resolution in ("raw", "5m", "1d"):
        reply = (await web.get(f"/api/v1/checks/db/results?resolution={resolution}")).json
        assert reply["results"] == []
        assert reply["total"]["uptime"] is None


@pytest.mark.parametrize(
    "query",
    ["since=5&until=5", "since=6&until=5", "resolution=1w", "cursor=bmFu", "cursor=eA", "limit=0"],
)
async def test_what_makes_no_sense_is_refused(web: Any, query: str) -> None:
    assert (await web.get(f"/api/v1/checks/api/results?{query}")).status == 400


async def test_only_checks_have_results_here(web: Any) -> None:
    assert (await web.get("/api/v1/checks/gateway/results")).status == 404
    assert (await web.get("/api/v1/checks/unknown/results")).status == 404


async def test_a_store_that_does_not_answer_is_said(daemon: Any, web: Any) -> None:
    daemon.results.broken = True
    assert (await web.get("/api/v1/checks/api/results")).status == 503


async def test_a_time_that_no_clock_reaches_is_an_empty_page(web: Any) -> None:
    reply = await web.get("/api/v1/checks/api/results?since=999999999990&until=999999999999")
    assert reply.status == 200
    assert reply.json["results"] == []
    early = await web.get("/api/v1/checks/api/results?since=0&until=1")
    assert early.json["results"] == []


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "90d"])
async def test_the_page_draws_every_span_and_tells_it_in_words_and_as_a_table(
    busy: Any, web: Any, span: str
) -> None:
    text = (await web.get(f"/components/api?span={span}")).text
    # The last of the minutes has only begun, so that the first one of the hour is cut.
    assert ("12 of 118 runs failed" if span == "1h" else "12 of 121 runs failed") in text
    assert "connect 12" in text
    assert "nothing is known" in text
    assert '<th scope="col">median</th>' in text


async def test_the_page_says_when_there_is_no_result(daemon: Any, web: Any) -> None:
    assert "No result of the last 24 h is known" in (await web.get("/components/db")).text


async def test_a_page_without_its_store_says_so(daemon: Any, web: Any) -> None:
    daemon.store_broken = daemon.results.broken = True
    reply = await web.get("/components/api")
    assert reply.status == 200
    assert "history is not shown" in reply.text


async def test_what_other_settings_had_made_of_the_recorded_results_is_simulated(
    daemon: Any, fail_result: Any, web: Any, tmp_path: Path
) -> None:
    daemon.clock.advance(time.time() - 1200 - daemon.clock.time())  # the command looks from now
    for number in range(40):
        daemon.ran("api", fail_result() if number % 20 < 4 else Result(ok=True, duration=0.02))
        daemon.clock.advance(30)
    (tmp_path / "cbmon.yml").write_text(
        "checks: [{name: api, interval: 30s, tcp: {address: '127.0.0.1:1'}}]"
    )
    arguments = ["simulate", "api", "--config.file", str(tmp_path / "cbmon.yml"), "--url", web.url]
    arguments += ["--with", "failure_threshold=2"]
    done = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
    assert done.exit_code == 0, done.output
    assert "in force" in done.stdout
    assert "failure_threshold=2" in done.stdout
    assert "single results are there for the last" in done.stderr
