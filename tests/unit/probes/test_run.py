"""Rule: a run ends with a result or with the cancellation that was asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import pytest

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.run import run_once


class Clock:
    """The loop's time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


class Stub:
    """A probe that does what it is told."""

    def __init__(self, act: Callable[[Attempt], object]) -> None:
        self._act = act

    async def run(self, attempt: Attempt) -> Result:
        found = self._act(attempt)
        if found is not None:
            await asyncio.sleep(3600)
        return attempt.passed()

    async def close(self) -> None:
        pass


def hanging_in(phase: Phase | None) -> Stub:
    def act(attempt: Attempt) -> bool:
        attempt.facts["host"] = "shop.example.net"
        if phase is not Phase.RESOLVE:
            attempt.facts["address"] = "192.0.2.1:80"
        if phase:
            attempt.begin(phase)
        return True

    return Stub(act)


@pytest.mark.parametrize(
    ("reason", "message", "phase"),
    [
        (Reason.TIMEOUT, "before it began", None),
        (Reason.DNS, "resolving shop.example.net", Phase.RESOLVE),
        (Reason.TIMEOUT, "connecting to 192.0.2.1:80", Phase.CONNECT),
        (Reason.TIMEOUT, "in the TLS handshake with 192.0.2.1:80", Phase.TLS),
        (Reason.TIMEOUT, "waiting for the first byte from 192.0.2.1:80", Phase.PROCESSING),
        (Reason.TIMEOUT, "receiving the answer of 192.0.2.1:80", Phase.TRANSFER),
    ],
)
async def test_a_run_that_is_cut_off_says_what_it_was_waiting_for(
    reason: Reason, message: str, phase: Phase | None
) -> None:
    result = await run_once(hanging_in(phase), 0.05, Clock())

    assert reason is result.reason
    assert result.error == f"no answer within 50ms, {message}"
    assert 0.04 < result.duration < 0.5
    if phase:
        assert getattr(result.phases, phase.value) == pytest.approx(result.duration, abs=0.02)


async def test_an_exception_is_an_internal_failure_with_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def act(attempt: Attempt) -> None:
        raise KeyError("a secret")

    with caplog.at_level(logging.ERROR):
        result = await run_once(Stub(act), 1, Clock())

    assert result.reason is Reason.INTERNAL
    assert result.error == "internal error, see the log: KeyError"
    assert "Traceback" in caplog.text


async def test_a_timeout_that_a_probe_raises_itself_is_not_the_deadline() -> None:
    def act(attempt: Attempt) -> None:
        raise TimeoutError

    result = await run_once(Stub(act), 1, Clock())

    assert result.reason is Reason.INTERNAL


async def test_the_caller_may_cancel() -> None:
    run = asyncio.create_task(run_once(hanging_in(None), 5, Clock()))
    await asyncio.sleep(0)
    run.cancel()

    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_run_that_ends_in_time_is_its_probes_result() -> None:
    result = await run_once(Stub(lambda attempt: None), 1, Clock())

    assert result.ok
    assert result.error is None
