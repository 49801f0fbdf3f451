"""Rule: a job is late when its grace is over, never before, whatever the clocks do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError
from cbmon.probes.heartbeat.heart import MOST_RUNS, Beat, Heart
from cbmon.probes.heartbeat.options import HeartbeatOptions
from cbmon.probes.heartbeat.plan import Cron, Interval

HOURLY = Interval(3600)
BERLIN = ZoneInfo("Europe/Berlin")
TOKEN = "0123456789abcdef"


def verdict(
    heart: Heart, now: float, plan: Any = HOURLY, **limits: float
) -> tuple[Reason, str] | None:
    try:
        heart.judge(plan, now, grace=limits.get("grace", 60), max_runtime=limits.get("max_runtime"))
    except ProbeError as error:
        return error.reason, str(error)
    return None


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_the_first_heartbeat_is_waited_for_as_long_as_any() -> None:
    heart = Heart(since=1000)

    assert verdict(heart, 4660) is None
    assert verdict(heart, 4661) == (
        Reason.TIMEOUT,
        "got no heartbeat, expected one 61s ago; none came yet",
    )


def test_a_heartbeat_counts_from_when_it_came() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.SUCCESS, 5000)

    assert heart.expected_at(HOURLY) == 8600
    assert verdict(heart, 8660) is None
    found = verdict(heart, 8700)
    assert found == (
        Reason.TIMEOUT,
        "got no heartbeat, expected one 100s ago; the last one was 3700s ago",
    )


def test_a_failure_counts_until_the_next_success() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.SUCCESS, 10)
    heart.hear(Beat.FAIL, 20, exit_status=3)

    assert verdict(heart, 30) == (Reason.STATUS, "the job failed with exit status 3 10s ago")
    heart.hear(Beat.START, 35)
    assert verdict(heart, 36) is not None
    heart.hear(Beat.SUCCESS, 40)
    assert verdict(heart, 41) is None


def test_a_failure_without_an_exit_status_says_so() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.FAIL, 20)

    assert verdict(heart, 30) == (Reason.STATUS, "the job failed 10s ago")


def test_a_run_that_began_in_time_may_take_its_time() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.START, 3600)

    assert verdict(heart, 9000, max_runtime=7200) is None
    assert verdict(heart, 10_801, max_runtime=7200) == (
        Reason.TIMEOUT,
        "a run started 7201s ago, expected its end within 7200s",
    )
    assert verdict(heart, 9000) is not None


def test_a_run_that_began_too_late_is_late_all_the_same() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.START, 3700)

    assert verdict(heart, 3701, max_runtime=7200) is not None


def test_runs_at_the_same_time_are_kept_apart() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.START, 10, run_id="a")
    heart.hear(Beat.START, 20, run_id="b")
    heart.hear(Beat.SUCCESS, 50, run_id="b")

    assert heart.took == 30
    assert list(heart.runs) == ["a"]
    heart.hear(Beat.SUCCESS, 60)
    assert heart.took is None


def test_no_more_runs_are_followed_than_the_limit() -> None:
    heart = Heart(since=0)
    for number in range(MOST_RUNS + 5):
        heart.hear(Beat.START, number, run_id=str(number))

    assert len(heart.runs) == MOST_RUNS
    assert "4" not in heart.runs


def test_a_restored_heart_has_its_grace_anew() -> None:
    heart = Heart(since=0)
    heart.hear(Beat.SUCCESS, 100)
    heart.hear(Beat.START, 200, run_id="r")

    back = Heart.restored(json.loads(json.dumps(heart.snapshot())), now=50_000, grace=60)

    assert back.succeeded_at == 100
    assert back.runs == {"r": 200}
    assert verdict(back, 50_060) is None
    assert verdict(back, 50_061) is not None


def test_a_time_in_the_future_is_not_believed() -> None:
    back = Heart.restored({"since": 0, "succeeded_at": 9e9}, now=1000, grace=0)

    assert back.succeeded_at == 1000


@given(
    st.dictionaries(
        st.sampled_from(["since", "succeeded_at", "failed_at", "exit_status", "runs", "took"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.dictionaries(st.text(), st.text()),
    )
)
def test_a_snapshot_that_makes_no_sense_does_no_harm(snapshot: dict[str, Any]) -> None:
    back = Heart.restored(snapshot, now=1000, grace=60)

    verdict(back, 1000)
    assert json.loads(json.dumps(back.snapshot()))


def test_a_clock_that_goes_back_makes_nothing_late() -> None:
    heart = Heart(since=5000)
    heart.hear(Beat.SUCCESS, 6000)

    assert verdict(heart, 10) is None


@pytest.mark.parametrize(
    ("expected", "heard"),
    [
        ("2026-03-02 02:30", "2026-03-01 02:45"),
        ("2026-03-02 02:30", "2026-03-02 02:28:59"),
        ("2026-03-03 02:30", "2026-03-02 02:29:30"),
        ("2026-03-03 02:30", "2026-03-02 02:30"),
    ],
)
def test_cron_expects_the_next_time_that_is_not_just_over(expected: str, heard: str) -> None:
    assert at(expected) == Cron("30 2 * * *", BERLIN, 60).after(at(heard))


def test_cron_follows_summer_time() -> None:
    daily = Cron("0 9 * * *", BERLIN, 60)

    spring = daily.after(at("2026-03-28 09:00:10")) - at("2026-03-28 09:00")
    autumn = daily.after(at("2026-10-24 09:00:10")) - at("2026-10-24 09:00")

    assert (spring, autumn) == (23 * 3600, 25 * 3600)


def test_a_time_that_summer_time_skips_is_expected_once_that_day() -> None:
    found = Cron("30 2 * * *", BERLIN, 60).after(at("2026-03-28 02:35"))

    assert datetime.fromtimestamp(found, UTC).date().isoformat() == "2026-03-29"


def test_early_never_swallows_a_whole_interval() -> None:
    minutely = Cron("* * * * *", ZoneInfo("UTC"), 3600)

    assert minutely.after(10.0) == 60.0
    assert minutely.after(40.0) == 120.0


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("16 to 200 letters", {"token": "short", "interval": "1h"}),
        ("16 to 200 letters", {"token": "a/b" * 10, "interval": "1h"}),
        ("one of token, token_file is missing", {"interval": "1h"}),
        ("one of interval, cron is missing", {"token": TOKEN}),
        ("exclude each other", {"token": TOKEN, "interval": "1h", "cron": "* * * * *"}),
        ("expected minute, hour", {"token": TOKEN, "cron": "* * *"}),
        ("expected minute, hour", {"token": TOKEN, "cron": "61 * * * *"}),
        ("a time that comes", {"token": TOKEN, "cron": "0 0 30 2 *"}),
        ("expected a time zone", {"token": TOKEN, "cron": "* * * * *", "timezone": "Mars/Base"}),
        ("expected a time zone", {"token": TOKEN, "cron": "* * * * *", "timezone": "/etc/passwd"}),
        ("longer than 0", {"token": TOKEN, "interval": 0}),
    ],
)
def test_what_cannot_work_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        HeartbeatOptions.model_validate(options)

    assert message in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_shows_nowhere() -> None:
    options = HeartbeatOptions.model_validate({"token": TOKEN, "interval": "90s"})

    assert TOKEN not in options.model_dump_json() + repr(options) + options.shown()
    assert options.shown() == "every 90s"
