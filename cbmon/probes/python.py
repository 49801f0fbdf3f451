"""``python``: a function of one's own as a check.

Rule: only a function that takes an ``attempt`` first is called, because that is how it says that it
is a check: nothing else that can be imported can be called from a configuration. A coroutine runs
on the event loop and must not block it; a plain function runs in a thread of its own. One that
does not end when its time is over is left behind, and not called again before it has ended.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from pydantic import Field

from cbmon.config.fields import Duration, Options
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.kind import ProbeType
from cbmon.probes.outcome import outcome

GROUP: Final = "cbmon.probes"
"""The group of entry points."""
GRACE: Final = 0.3
"""Seconds that a cancelled coroutine gets to clean up."""
LARGEST_FACTS: Final = 16 * 1024

Function = Callable[..., Any]


class PythonExpect(Options):
    """What makes a run a good one, besides what the function says."""

    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class PythonOptions(Options):
    """A function of one's own."""

    one_of = (("call", "entry_point"),)

    call: str | None = Field(
        None,
        description="function to call",
        examples=["acme.checks:queue_is_short"],
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$",
    )
    entry_point: str | None = Field(
        None, description="name of an entry point in the group `cbmon.probes`", min_length=1
    )
    arguments: dict[str, Any] = Field({}, description="keyword arguments of the function")
    expect: PythonExpect = Field(PythonExpect(), description="what makes a run a good one")


class PythonProbe:
    """Calls the function once per run."""

    def __init__(self, options: PythonOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._clock = environment.clock
        self._function: Function | None = None
        self._going: asyncio.Future[Any] | None = None

    async def run(self, attempt: Attempt) -> Result:
        """Call it, and take its word."""
        return await outcome(attempt, self._run(attempt))

    async def close(self) -> None:
        """Let go of a call that is going on."""
        if self._going is not None:
            await _given_up(self._going)

    async def _run(self, attempt: Attempt) -> None:
        if self._going is not None and not self._going.done():
            raise ProbeError(Reason.TIMEOUT, "the call of an earlier run has not ended yet")
        if self._function is None:
            self._function = await asyncio.to_thread(_loaded, self._options)
        attempt.begin(Phase.PROCESSING)
        found = await self._called(self._function, attempt)
        attempt.end()
        _judge(attempt, found)
        check_duration(attempt, self._options.expect.max_duration)

    async def _called(self, function: Function, attempt: Attempt) -> object:
        arguments = self._options.arguments
        threaded = not inspect.iscoroutinefunction(function)
        # A thread that is left behind must not write into a result that others read.
        given = Attempt(self._clock.monotonic, attempt.remaining) if threaded else attempt
        call = _in_thread if threaded else _on_loop
        self._going = going = call(function, given, arguments)
        going.add_done_callback(_looked_at)
        try:
            await asyncio.wait([going])
        except asyncio.CancelledError:
            await _given_up(going)
            raise
        if threaded:
            attempt.facts.update(given.facts)
        return _taken(going)


def _on_loop(
    function: Function, attempt: Attempt, arguments: Mapping[str, Any]
) -> asyncio.Future[Any]:
    async def call() -> object:
        try:
            return await function(attempt, **arguments)
        except SystemExit as error:  # it would end the daemon
            raise ProbeError(Reason.BODY, f"it wants to exit with {error.code!r}") from error

    return asyncio.get_running_loop().create_task(call())


def _in_thread(
    function: Function, attempt: Attempt, arguments: Mapping[str, Any]
) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(found: object, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(found)
        else:
            future.set_exception(error)

    def work() -> None:
        found: object = None
        trouble: Exception | None = None
        try:
            found = function(attempt, **arguments)
        except Exception as error:  # noqa: BLE001 - whatever it raises is what the run found
            trouble = error
        except SystemExit as error:
            trouble = ProbeError(Reason.BODY, f"it wants to exit with {error.code!r}")
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, found, trouble)

    threading.Thread(target=work, name=f"probe {function.__name__}", daemon=True).start()
    return future


async def _given_up(going: asyncio.Future[Any]) -> None:
    """Cancel a coroutine and give it a moment; a thread cannot be ended, only left."""
    if isinstance(going, asyncio.Task):
        going.cancel()
        await asyncio.wait([going], timeout=GRACE)


def _looked_at(going: asyncio.Future[Any]) -> None:
    if not going.cancelled():
        going.exception()


def _taken(going: asyncio.Future[Any]) -> object:
    """What the call has returned; ProbeError for what it raised."""
    try:
        return going.result()
    except ProbeError:
        raise
    except asyncio.CancelledError:
        raise ProbeError(Reason.BODY, "it has cancelled itself") from None
    except Exception as error:
        said = f": {shown(str(error))}" if str(error) else ""
        raise ProbeError(_reason(error), f"{type(error).__name__}{said}") from error


def _reason(error: Exception) -> Reason:
    kinds: tuple[tuple[type[Exception], Reason], ...] = (
        (TimeoutError, Reason.TIMEOUT),
        (ssl.SSLError, Reason.TLS),
        (socket.gaierror, Reason.DNS),
        (ConnectionError, Reason.CONNECT),
    )
    return next((reason for kind, reason in kinds if isinstance(error, kind)), Reason.BODY)


def _judge(attempt: Attempt, found: object) -> None:
    if found is None or found is True:
        return
    if found is False:
        raise ProbeError(Reason.BODY, "got False, expected True")
    if not isinstance(found, Mapping):
        text = f"it returned {type(found).__name__}, expected None, a bool or a mapping of facts"
        raise ProbeError(Reason.CONFIG, text)
    try:
        written = json.dumps({str(key): value for key, value in found.items()}, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ProbeError(Reason.CONFIG, "the facts that it returned are not JSON") from error
    if len(written) > LARGEST_FACTS:
        raise ProbeError(Reason.SIZE, f"the facts have more than {LARGEST_FACTS} bytes")
    attempt.facts.update(json.loads(written))


def _loaded(options: PythonOptions) -> Function:
    """The function; ProbeError (``config``) when it cannot be had. Importing may take its time."""
    name = options.call or options.entry_point or ""
    try:
        found = _of_module(name) if options.call else _of_entry_point(name)
    except ProbeError:
        raise
    except Exception as error:
        text = f"cannot import {name}: {type(error).__name__}: {shown(str(error))}"
        raise ProbeError(Reason.CONFIG, text) from error
    if not inspect.isroutine(found) or next(iter(_parameters(found)), None) != "attempt":
        text = f"{name} is not a check: expected a function whose first parameter is attempt"
        raise ProbeError(Reason.CONFIG, text)
    return found


def _of_module(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _of_entry_point(name: str) -> Any:
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
        text = f"there is no entry point {name} in {GROUP}; installed are {known}"
        raise ProbeError(Reason.CONFIG, text)
    return next(iter(found)).load()


def _parameters(function: Function) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


TYPE: Final = ProbeType(
    name="python",
    options=PythonOptions,
    target=lambda options: options.call or options.entry_point or "",
    build=PythonProbe,
)
