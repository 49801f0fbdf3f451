"""Tells a cbmon daemon how the breakers of this program are: for programs without a port.

Rule: one thread of its own, the standard library, and no effect on a protected call. A daemon that
does not answer costs nothing but a log line; moves that it missed are told when it is back.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self
from weakref import WeakSet

from cbmon.breaker import CircuitBreaker, InvalidTransitionError, TransitionEvent
from cbmon.reporting.daemon import Daemon, DaemonError, RefusedError
from cbmon.reporting.wire import batches, breaker_report, move_report, wire_name

__all__ = ["BreakerReporter", "DaemonError", "RefusedError"]

log = logging.getLogger(__name__)

ACTIONS: Final = frozenset(
    {"reset", "close", "open", "half_open", "force_open", "force_close", "observe", "disable",
     "enable"}
)  # fmt: skip
KEPT_MOVES: Final = 200
"""Moves that wait for a daemon that does not answer; older ones are dropped."""
SETTLE: Final = 0.1
"""Seconds after a move before it is told, so that moves that come together go together."""
LONGEST_PAUSE: Final = 60.0
ORDER_WAIT: Final = 25.0


class BreakerReporter:
    """Reports breakers to a daemon, every ``interval`` seconds and at every move.

    ``breakers`` is a registry, or any iterable of breakers; it is asked anew each time. ``url`` is
    the daemon's address, ``token`` (or ``token_file``, read for every report) a bearer token with
    role ``reporter``. ``application`` names this program; ``process`` tells several processes of
    it apart and is part of the breakers' names, so let it be stable (``web-1``), not a pid.
    ``ttl`` is for how many seconds a report is true (default: three intervals).

    With ``accept_orders`` the daemon's operators may move these breakers: True for every move, or
    the names of the moves, such as ``{"force_open", "close", "reset"}``.

    Use it as ``with`` or ``async with``, or start and stop it; a batch job may call :meth:`report`
    by itself. Start it after forking. Threads and tasks go on undisturbed; nothing raises into
    them.
    """

    def __init__(
        self,
        breakers: Iterable[CircuitBreaker],
        *,
        url: str,
        application: str,
        process: str = "",
        token: str | None = None,
        token_file: Path | str | None = None,
        interval: float = 15.0,
        ttl: float | None = None,
        labels: Mapping[str, str] | None = None,
        tags: Sequence[str] = (),
        accept_orders: bool | Iterable[str] = False,
        timeout: float = 5.0,
        ca_file: Path | str | None = None,
    ) -> None:
        if not interval > 0:
            raise ValueError(f"interval: got {interval!r}, expected a number > 0")
        self.interval = interval
        self._breakers = breakers
        self._daemon = Daemon(
            url, token=token, token_file=token_file, timeout=timeout, ca_file=ca_file
        )
        self._allowed = _allowed(accept_orders)
        self._head: dict[str, Any] = {
            "version": 1,
            "application": application,
            "process": process,
            "run": os.urandom(8).hex(),
            "started_at": time.time(),
            "interval_seconds": interval,
            "ttl_seconds": max(5.0, 3 * interval) if ttl is None else ttl,
            "labels": dict(labels or {}),
            "tags": list(tags),
            "takes_orders": bool(self._allowed),
            "accepts": sorted(self._allowed),
        }
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._moves: deque[tuple[str, dict[str, Any]]] = deque(maxlen=KEPT_MOVES)
        self._number = 0
        self._done: deque[str] = deque(maxlen=1000)
        self._obeyed: deque[str] = deque(maxlen=1000)
        """Orders that were seen: an answer that was on its way may bring one again."""
        self._heard: WeakSet[CircuitBreaker] = WeakSet()
        self._told_refused: set[str] = set()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.failures = 0
        """Reports in a row that did not arrive."""
        self.last_error: str | None = None

    # --- life ----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to report; RuntimeError if it has been started already."""
        if self._threads:
            raise RuntimeError("the reporter has been started already")
        self._listen()
        jobs: list[Callable[[], None]] = [self._run]
        if self._allowed:
            jobs.append(self._take_orders)
        for job in jobs:
            thread = threading.Thread(target=job, name="cbmon report", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, *, final: bool = True, deadline: float = 5.0) -> None:
        """Stop reporting; with ``final`` the daemon is told that this is the orderly end.

        Without it the breakers stay on the daemon's page until their ``ttl`` is over.
        """
        self._stopped.set()
        self._wake.set()
        threads, self._threads = self._threads, []
        self._daemon.interrupt()
        for thread in threads:
            thread.join(deadline)
        if final:
            try:
                self.report(final=True)
            except DaemonError as error:
                log.warning("last report did not arrive: %s", error)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        import asyncio  # noqa: PLC0415 - who uses `async with` has it already

        await asyncio.to_thread(self.stop)

    # --- reporting -----------------------------------------------------------------------

    def report(self, *, final: bool = False) -> int:
        """Send one report now and carry out the orders that come back; how many breakers.

        DaemonError when it did not arrive (RefusedError: the daemon does not want it).
        """
        with self._sending:
            return self._report(final=final)

    def _report(self, *, final: bool) -> int:
        self._listen()
        with self._lock:
            moves, done = list(self._moves), list(self._done)
        told = [breaker_report(each) for each in self._breakers]
        by_name: dict[str, list[dict[str, Any]]] = {}
        for name, move in moves:
            by_name.setdefault(name, []).append(move)
        for one in told:
            one["moves"] = by_name.get(one["name"], [])
        orders: list[dict[str, Any]] = []
        refused: list[str] = []
        trouble: RefusedError | None = None
        parts = list(batches(told))
        for number, part in enumerate(parts):
            body = {**self._head, "done": done, "breakers": part}
            body["final"] = final and number == len(parts) - 1
            try:
                orders, words = self._daemon.post(body)
            except RefusedError as error:
                trouble = trouble or error  # the other portions may be welcome
            else:
                refused += words
        self._say_refused(refused)
        if trouble is not None:
            raise trouble
        with self._lock:
            self._forget(moves, done)
        if orders:
            self._obey(orders)
            self._wake.set()  # the daemon wants to hear that it was done
        return len(told)

    def _say_refused(self, refused: list[str]) -> None:
        """Say once what the daemon does not take; the other breakers have arrived."""
        for words in refused:
            if words not in self._told_refused:
                log.warning("the daemon does not take the breaker %s", words)
        self._told_refused = set(refused)

    def _forget(self, moves: list[tuple[str, dict[str, Any]]], done: list[str]) -> None:
        """What arrived is not told again; what came meanwhile stays."""
        last = moves[-1][1]["number"] if moves else 0
        while self._moves and self._moves[0][1]["number"] <= last:
            self._moves.popleft()
        for _ in done:
            self._done.popleft()

    def _listen(self) -> None:
        for breaker in self._breakers:
            if breaker not in self._heard:
                self._heard.add(breaker)
                breaker.add_listener(self._moved, kinds=("transition",))

    def _moved(self, event: TransitionEvent) -> None:
        with self._lock:
            self._number += 1
            self._moves.append((wire_name(event.name), move_report(event, self._number)))
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                self.report()
            except DaemonError as error:
                self._failed(error)
            except Exception as error:
                log.exception("report could not be made")
                self._failed(error)
            else:
                self._arrived()
            if self._wake.wait(self._pause()) and not self._stopped.wait(SETTLE) and self.failures:
                self._stopped.wait(self._pause())  # a move hurries nobody who does not answer

    def _pause(self) -> float:
        if not self.failures:
            return self.interval
        longest = min(LONGEST_PAUSE, 2.0 ** min(self.failures, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311 - spreads programs

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        told, self.last_error = self.last_error, str(error)
        if told != self.last_error:
            log.warning("report did not arrive: %s", error)

    def _arrived(self) -> None:
        if self.failures:
            log.info("reports arrive again")
        self.failures, self.last_error = 0, None

    # --- orders --------------------------------------------------------------------------

    def _take_orders(self) -> None:
        who = {"application": self._head["application"], "process": self._head["process"]}
        while not self._stopped.is_set():
            try:
                orders = self._daemon.orders(who, wait=ORDER_WAIT)
            except DaemonError:
                self._stopped.wait(1.0 + self.failures)  # the reports say what is wrong
                continue
            if orders:
                self._obey(orders)
                self._wake.set()
                self._stopped.wait(SETTLE)

    def _obey(self, orders: Sequence[Mapping[str, Any]]) -> None:
        for order in orders:
            with self._lock:
                known = order["id"] in self._obeyed
                if not known:
                    self._obeyed.append(str(order["id"]))
                    self._done.append(str(order["id"]))
            if not known:
                self._carry_out(order)

    def _carry_out(self, order: Mapping[str, Any]) -> None:
        action, name = str(order.get("action")), str(order.get("breaker"))
        if action not in self._allowed:
            log.warning("order refused: %s of %s is not accepted here", action, name)
            return
        found = next((each for each in self._breakers if wire_name(each.name) == name), None)
        if found is None:
            log.warning("order refused: there is no breaker %s", name)
            return
        options = {str(key): value for key, value in dict(order.get("options") or {}).items()}
        who = {"actor": str(order.get("actor") or "cbmon"), "reason": order.get("reason") or None}
        try:
            getattr(found, action)(**options, **who)
        except (InvalidTransitionError, TypeError, ValueError) as error:
            log.warning("order refused: %s", error)
        else:
            log.info("order carried out: %s of %s for %s", action, name, who["actor"])


def _allowed(accept: bool | Iterable[str]) -> frozenset[str]:
    if isinstance(accept, bool):
        return ACTIONS if accept else frozenset()
    found = frozenset(accept)
    if unknown := found - ACTIONS:
        raise ValueError(f"accept_orders: {sorted(unknown)} are no moves; {sorted(ACTIONS)} are")
    return found
