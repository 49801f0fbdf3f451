"""ASGI middleware: a breaker around routes of FastAPI, Starlette, Litestar or any ASGI application.

Rules:

* A response of a failing status, an exception and a response that breaks off are failures. A
  handler's own 4xx is a success.
* A client that hangs up, and a cancelled request, say nothing of the handler; they give their
  permit and their place back. What was sent completely before that counts.
* A handler that lets the refusal of a breaker inside it pass is answered 503 like our own, and
  counts as nothing: that breaker has told already.

Only HTTP requests are guarded; websockets and the lifespan pass through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from cbmon.breaker import CircuitOpenError, Clock, SystemClock
from cbmon.breaker.registry import BreakerRegistry
from cbmon.integrations.replies import (
    Rejection,
    Reply,
    answer_for,
    inner_rejection,
    rendered,
)
from cbmon.integrations.serving import Guard, ProtectedRoute, RouteTable
from cbmon.resilience import BulkheadFullError

__all__ = ["CircuitBreakerMiddleware", "ProtectedRoute", "Rejection", "Reply"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class CircuitBreakerMiddleware:
    """Puts breakers and bulkheads around the routes of an ASGI application.

    ``routes`` are looked at in their order. ``registry`` is where the breakers are made (default:
    one of its own, as :attr:`breakers`): give the same to ``BreakerCollector`` and they are in
    your metrics. ``clock`` measures durations.

        app.add_middleware(
            CircuitBreakerMiddleware,
            routes=[ProtectedRoute("/api/v1/query/*", failure_threshold=3)],
        )
    """

    def __init__(
        self,
        app: Application,
        routes: Iterable[ProtectedRoute],
        *,
        registry: BreakerRegistry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self.breakers = BreakerRegistry(clock=clock) if registry is None else registry
        self._table = RouteTable(routes, self.breakers)
        self._now = (SystemClock() if clock is None else clock).monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        guard = None
        if scope["type"] == "http":
            guard = self._table.find(scope["method"], scope["path"])
        if guard is None:
            await self.app(scope, receive, send)
            return
        permit = guard.breaker.try_acquire()
        if permit is None:
            await _refuse(guard, "open", scope, receive, send)
            return
        exchange = _Exchange(guard, permit, self._now, receive, send)
        if guard.bulkhead is None:
            await self._run(exchange, scope)
            return
        try:
            await guard.bulkhead.acquire_async()
        except BulkheadFullError:
            guard.breaker.release(permit, ignored=True)
            await _refuse(guard, "full", scope, receive, send)
            return
        except BaseException:
            guard.breaker.release(permit)
            raise
        try:
            await self._run(exchange, scope)
        finally:
            guard.bulkhead.release()

    async def _run(self, exchange: _Exchange, scope: Scope) -> None:
        try:
            if exchange.guard.timeout is None:
                await self.app(scope, exchange.receive, exchange.send)
            else:
                await self._run_timed(exchange, scope)
        except (CircuitOpenError, BulkheadFullError) as error:
            exchange.released(ignored=True)
            if exchange.status is not None:
                raise
            name, method, path = exchange.guard.route.name, scope["method"], scope["path"]
            rejection = inner_rejection(error, name, method, path)
            await _answer(exchange.guard, rejection, scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.raised(error)
            raise
        else:
            exchange.returned()

    async def _run_timed(self, exchange: _Exchange, scope: Scope) -> None:
        try:
            async with asyncio.timeout(exchange.guard.timeout) as limit:
                await self.app(scope, exchange.receive, exchange.send)
        except TimeoutError:
            if not limit.expired():
                raise
            exchange.late()
            if exchange.status is not None:
                raise
            guard = exchange.guard
            await _refuse(guard, "timeout", scope, exchange.receive, exchange.send)


class _Exchange:
    """One request behind its guard: what went over the wire, and the one verdict on it."""

    __slots__ = ("_now", "_receive", "_send", "begun", "complete", "gone", "guard", "permit",
                 "settled", "started", "status")  # fmt: skip

    def __init__(
        self,
        guard: Guard,
        permit: int,
        now: Callable[[], float],
        receive: Receive,
        send: Send,
    ) -> None:
        self.guard = guard
        self.permit = permit
        self._now = now
        self._receive = receive
        self._send = send
        self.begun = now()
        self.started = self.begun
        self.status: int | None = None
        self.complete = False
        self.gone = False
        self.settled = False

    async def receive(self) -> Message:
        """Like the server's; notes a client that hangs up."""
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.complete:
            self.gone = True
        return message

    async def send(self, message: Message) -> None:
        """Like the server's; notes status, end, and a client that is no longer there."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status, self.started = message["status"], self._now()
        try:
            await self._send(message)
        except OSError:
            self.gone = True
            raise
        if kind == "http.response.pathsend":
            self.complete = True
        elif kind in {"http.response.body", "http.response.zerocopysend"}:
            self.complete = not message.get("more_body", False)
        if (self.complete or self.guard.at_start) and not self.settled:
            self._judge()

    def returned(self) -> None:
        """The application came to its end; a whole response has been judged before."""
        if self.settled:
            return
        if self.gone or self.status in self.guard.statuses:
            self._judge()
        else:
            self._broken("protocol", "the response was not finished")

    def raised(self, error: BaseException) -> None:
        """The application raised; a client that is gone is the likelier cause."""
        if self.settled:
            return
        if self.gone and isinstance(error, Exception):
            self.released()
            return
        self.settled = True
        self.guard.raised(self.permit, self._now() - self.begun, error)

    def late(self) -> None:
        """The application was cut off at its ``call_timeout``."""
        self._broken("timeout", f"no answer within {self.guard.timeout:g} s")

    def released(self, *, ignored: bool = False) -> None:
        """It says nothing of the handler: the permit goes back."""
        if not self.settled:
            self.settled = True
            self.guard.breaker.release(self.permit, ignored=ignored)

    def _judge(self) -> None:
        """By the status; what was sent to nobody is no success."""
        if self.gone and self.status not in self.guard.statuses:
            self.released()
            return
        self.settled = True
        self.guard.answered(self.permit, self.status or 0, self.started - self.begun)

    def _broken(self, reason: str, error: str) -> None:
        if not self.settled:
            self.settled = True
            self.guard.broken(self.permit, self._now() - self.begun, reason, error)


async def _refuse(guard: Guard, cause: str, scope: Scope, receive: Receive, send: Send) -> None:
    rejection = guard.rejection(cause, scope["method"], scope["path"])
    await _answer(guard, rejection, scope, receive, send)


async def _answer(
    guard: Guard, rejection: Rejection, scope: Scope, receive: Receive, send: Send
) -> None:
    answer = await answer_for(guard.route.fallback, rejection)
    if callable(answer):  # a response of Starlette or FastAPI: an ASGI application by itself
        await answer(scope, receive, send)
        return
    status, headers, body = rendered(answer, rejection)
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
