"""Middleware for aiohttp's server: a breaker around routes of a ``web.Application``.

Rule: the same routes, answers and verdicts as :mod:`cbmon.integrations.asgi`. A handler that
raises ``HTTPNotFound`` has answered 404: a success; a write that fails because the client has
hung up, and a cancelled handler, say nothing of it. Websockets pass through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

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

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CircuitBreakerMiddleware:
    """Puts breakers and bulkheads around the routes of an aiohttp application.

    The arguments are those of the ASGI middleware. A fallback may give a ``web.Response``.

        app = web.Application(
            middlewares=[CircuitBreakerMiddleware([ProtectedRoute("/api/*")])]
        )
    """

    __middleware_version__ = 1

    def __init__(
        self,
        routes: Iterable[ProtectedRoute],
        *,
        registry: BreakerRegistry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.breakers = BreakerRegistry(clock=clock) if registry is None else registry
        self._table = RouteTable(routes, self.breakers)
        self._now = (SystemClock() if clock is None else clock).monotonic

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one request."""
        guard = self._table.find(request.method, request.path)
        if guard is None or _is_websocket(request):
            return await handler(request)
        permit = guard.breaker.try_acquire()
        if permit is None:
            return await _refuse(guard, "open", request)
        if guard.bulkhead is None:
            return await self._run(guard, permit, request, handler)
        try:
            await guard.bulkhead.acquire_async()
        except BulkheadFullError:
            guard.breaker.release(permit, ignored=True)
            return await _refuse(guard, "full", request)
        except BaseException:
            guard.breaker.release(permit)
            raise
        try:
            return await self._run(guard, permit, request, handler)
        finally:
            guard.bulkhead.release()

    async def _run(
        self, guard: Guard, permit: int, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        begun = self._now()
        limit: asyncio.Timeout | None = None
        try:
            if guard.timeout is None:
                response = await handler(request)
            else:
                async with asyncio.timeout(guard.timeout) as limit:
                    response = await handler(request)
        except web.HTTPException as answer:
            guard.answered(permit, answer.status, self._now() - begun)
            raise
        except (CircuitOpenError, BulkheadFullError) as error:
            guard.breaker.release(permit, ignored=True)
            if _begun(request):
                raise
            rejection = inner_rejection(error, guard.route.name, request.method, request.path)
            return await _answer(guard, rejection)
        except BaseException as error:
            duration = self._now() - begun
            if limit is not None and limit.expired() and isinstance(error, TimeoutError):
                text = f"no answer within {guard.timeout:g} s"
                guard.broken(permit, duration, "timeout", text)
                if _begun(request):
                    raise
                return await _refuse(guard, "timeout", request)
            if isinstance(error, ConnectionError) and _gone(request):
                guard.breaker.release(permit)
            else:
                guard.raised(permit, duration, error)
            raise
        guard.answered(permit, response.status, self._now() - begun)
        return response


def _is_websocket(request: web.Request) -> bool:
    """A handler of one lasts as long as the connection: no call that a breaker could judge."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _gone(request: web.Request) -> bool:
    """Whether the client has hung up."""
    transport = request.transport
    return transport is None or transport.is_closing()


def _begun(request: web.Request) -> bool:
    """Whether a part of an answer is on its way: there cannot be another one."""
    return request.writer.output_size > 0


async def _refuse(guard: Guard, cause: str, request: web.Request) -> web.StreamResponse:
    return await _answer(guard, guard.rejection(cause, request.method, request.path))


async def _answer(guard: Guard, rejection: Rejection) -> web.StreamResponse:
    answer = await answer_for(guard.route.fallback, rejection)
    if isinstance(answer, web.StreamResponse):
        return answer
    status, headers, body = rendered(answer, rejection)
    return web.Response(status=status, headers=headers, body=body)
