"""Rule: a function's word is taken, and whatever else it does harms neither loop nor daemon."""

from __future__ import annotations

import asyncio
import ssl
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from pydantic import ValidationError

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes import python as module
from cbmon.probes.failure import ProbeError
from cbmon.probes.python import PythonOptions

Define = Callable[[Callable[..., Any]], str]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Puts a function into an importable module; its ``call``."""
    made = types.ModuleType("acme_checks")
    monkeypatch.setitem(sys.modules, "acme_checks", made)

    def put(function: Callable[..., Any]) -> str:
        setattr(made, function.__name__, function)
        return f"acme_checks:{function.__name__}"

    return put


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_coroutine_is_called_with_its_arguments(bench: Any, define: Define) -> None:
    async def check(attempt: Attempt, queue: str, limit: int = 5) -> dict[str, Any]:
        attempt.begin(Phase.CONNECT)
        await asyncio.sleep(0.01)
        attempt.facts["seen"] = queue
        return {"length": limit - 1, "when": ValueError("x")}

    result = await bench.look("python", call=define(check), arguments={"queue": "mail"})

    assert result.ok, result.error
    assert dict(result.facts) == {"seen": "mail", "length": 4, "when": "x"}
    assert result.phases.connect > 0


async def test_a_plain_function_runs_in_a_thread(bench: Any, define: Define) -> None:
    def check(attempt: Attempt) -> bool:
        attempt.facts["thread"] = threading.current_thread() is threading.main_thread()
        time.sleep(0.05)
        return True

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    beside = asyncio.ensure_future(tick())
    result = await bench.look("python", call=define(check))
    beside.cancel()

    assert result.ok, result.error
    assert result.facts["thread"] is False
    assert ticks > 1


def raising(error: BaseException) -> Callable[..., Any]:
    async def check(attempt: Attempt) -> None:
        raise error

    return check


def raising_in_thread(error: BaseException) -> Callable[..., Any]:
    def check(attempt: Attempt) -> None:
        raise error

    return check


@pytest.mark.parametrize("made", [raising, raising_in_thread])
@pytest.mark.parametrize(
    ("reason", "message", "error"),
    [
        (Reason.STATUS, "queue is full", ProbeError(Reason.STATUS, "queue is full")),
        (Reason.BODY, 'AssertionError: "9 jobs wait"', AssertionError("9 jobs wait")),
        (Reason.BODY, "ValueError", ValueError()),
        (Reason.CONNECT, "ConnectionRefusedError", ConnectionRefusedError(111, "refused")),
        (Reason.TLS, "SSLError", ssl.SSLError("bad")),
        (Reason.TIMEOUT, "TimeoutError", TimeoutError()),
        (Reason.BODY, "wants to exit with 3", SystemExit(3)),
    ],
)
async def test_what_it_raises_is_what_the_run_found(
    bench: Any,
    define: Define,
    reason: Reason,
    message: str,
    error: BaseException,
    made: Callable[[BaseException], Callable[..., Any]],
) -> None:
    result = await bench.look("python", call=define(made(error)))

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("reason", "message", "found"),
    [
        (Reason.BODY, "got False", False),
        (Reason.CONFIG, "returned int", 0),
        (Reason.CONFIG, "returned str", "fine"),
        (Reason.SIZE, "more than", {"x": "y" * 20_000}),
    ],
)
async def test_what_it_returns_is_judged(
    bench: Any, define: Define, reason: Reason, message: str, found: object
) -> None:
    async def check(attempt: Attempt) -> object:
        return found

    result = await bench.look("python", call=define(check))

    assert result.reason is reason, result.error
    assert message in result.error


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("ModuleNotFoundError", "nowhere_at_all:check"),
        ("AttributeError", "os:nothing"),
        ("is not a check", "os:system"),
        ("is not a check", "asyncio:create_subprocess_shell"),
        ("is not a check", "os:sep"),
        ("is not a check", "cbmon.probes.run:run_once"),
    ],
)
async def test_what_is_not_a_check_is_never_called(bench: Any, message: str, call: str) -> None:
    result = await bench.look("python", call=call)

    assert result.reason is Reason.CONFIG
    assert message in result.error


async def test_a_coroutine_is_cancelled_when_its_time_is_over(bench: Any, define: Define) -> None:
    cleaned = asyncio.Event()

    async def check(attempt: Attempt) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    task = asyncio.ensure_future(bench.look("python", call=define(check)))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


@pytest.mark.parametrize("threaded", [True, False])
async def test_a_call_that_does_not_end_is_left_and_not_made_again(
    bench: Any, define: Define, release: threading.Event, threaded: bool
) -> None:
    calls = 0

    def blocking(attempt: Attempt) -> None:
        nonlocal calls
        calls += 1
        release.wait(30)

    async def clinging(attempt: Attempt) -> None:
        nonlocal calls
        calls += 1
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    function = blocking if threaded else clinging
    options = PythonOptions(call=define(function))
    probe = module.PythonProbe(options, bench.environment)
    clock = bench.clock.monotonic
    first = asyncio.ensure_future(probe.run(Attempt(clock, 5)))
    await asyncio.sleep(0.05)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(first, 2)
    again = await probe.run(Attempt(clock, 5))
    release.set()
    await asyncio.sleep(0.1)
    after = await probe.run(Attempt(clock, 5))
    await probe.close()

    assert again.reason is Reason.TIMEOUT
    assert "an earlier run has not ended" in str(again.error)
    assert after.ok, after.error
    assert calls == 2


async def test_an_entry_point_is_found_by_its_name(
    bench: Any, define: Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(attempt: Attempt) -> None:
        attempt.facts["here"] = True

    known = EntryPoints([EntryPoint("queue", define(check), "cbmon.probes")])
    monkeypatch.setattr(module, "entry_points", known.select)

    good = await bench.look("python", entry_point="queue")
    bad = await bench.look("python", entry_point="quue")

    assert good.ok, good.error
    assert good.facts["here"] is True
    assert bad.reason is Reason.CONFIG
    assert "installed are queue" in bad.error


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"call": "a:b", "entry_point": "c"},
        {"call": "os.system"},
        {"call": "a b:c"},
        {"call": "a:b.c"},
        {"call": "../a:b"},
    ],
)
def test_what_cannot_be_a_function_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PythonOptions.model_validate(options)
