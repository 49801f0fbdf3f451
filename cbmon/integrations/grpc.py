"""Client interceptors for gRPC, sync and asyncio: every RPC behind the breaker of its service.

    channel = grpc.intercept_channel(channel, BreakerInterceptor(CircuitBreaker("stock")))

Rules:

* A rejection is a ``grpc.RpcError`` (for asyncio an ``AioRpcError``) with the code UNAVAILABLE,
  and a ``CircuitOpenError``; nothing is sent.
* UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, UNKNOWN and DATA_LOSS are failures. Every other code
  is an answer, RESOURCE_EXHAUSTED too unless ``failure_codes`` says otherwise; a cancelled RPC
  says nothing. From gRPC's "Status codes and their use" and their HTTP equals in
  ``google.rpc.Code``: the failures are those that correspond to 500, 503 and 504.
* A stream is one call until its end. Its latency is the time to the first message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Final

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import Breakers, HeldCall, admit, awaited, checked
from cbmon.integrations.verdicts import ANSWERED, CONNECT, NEUTRAL, STATUS, TIMEOUT, Verdict

try:
    import grpc
    import grpc.aio
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.grpc", "grpc") from error

__all__ = [
    "FAILURE_CODES",
    "AioCallTimeoutError",
    "AioCircuitOpenError",
    "BreakerInterceptor",
    "GrpcCircuitOpenError",
    "aio_interceptors",
]

FAILURE_CODES: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    }
)
LONGEST_ERROR: Final = 300


class GrpcCircuitOpenError(CircuitOpenError, grpc.RpcError):  # type: ignore[misc]
    """The breaker rejected the RPC; nothing was sent."""

    def code(self) -> grpc.StatusCode:
        """UNAVAILABLE, as for a server that is not there."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """Why, in words."""
        return str(self)

    def initial_metadata(self) -> None:
        """Nothing was received."""

    def trailing_metadata(self) -> None:
        """Nothing was received."""


class AioCallTimeoutError(grpc.aio.AioRpcError, TimeoutError):  # type: ignore[misc]
    """The policy's ``call_timeout`` ran out; its code is DEADLINE_EXCEEDED."""

    def __init__(self, details: str) -> None:
        grpc.aio.AioRpcError.__init__(self, grpc.StatusCode.DEADLINE_EXCEEDED, details=details)
        self.args = (details,)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class AioCircuitOpenError(CircuitOpenError, grpc.aio.AioRpcError):  # type: ignore[misc]
    """The same for asyncio."""

    late = AioCallTimeoutError

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        grpc.aio.AioRpcError.__init__(self, grpc.StatusCode.UNAVAILABLE)
        self.args = (name, state, retry_after)
        self._details = str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class _Guard:
    """Which breaker an RPC belongs to, and what its status means."""

    unstoppable: ClassVar[str | None] = None

    def __init__(
        self,
        breakers: Breakers,
        *,
        key: Callable[[str], str] | None = None,
        failure_codes: frozenset[Any] = FAILURE_CODES,
    ) -> None:
        self._breakers = checked(breakers, self.unstoppable)
        self._key = service_of if key is None else key
        self._failure_codes = failure_codes

    def _breaker(self, details: Any) -> CircuitBreaker:
        if isinstance(self._breakers, CircuitBreaker):
            return self._breakers
        method = details.method
        name = method.decode() if isinstance(method, bytes) else method
        return self._breakers.get(self._key(name))

    def _verdict(self, code: Any) -> Verdict:
        if code not in self._failure_codes:
            return ANSWERED
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return TIMEOUT
        return CONNECT if code is grpc.StatusCode.UNAVAILABLE else STATUS

    def _judge(self, error: BaseException) -> Verdict:
        if isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
            return self._verdict(error.code())
        return NEUTRAL  # the caller's own, such as a request that cannot be encoded

    def _ended(self, held: HeldCall, call: Any) -> None:
        """An RPC is over: its code says how."""
        code = call.code()
        verdict = self._verdict(code)
        if code is grpc.StatusCode.CANCELLED:
            held.give_back()
        elif verdict is ANSWERED:
            held.answered()
        elif isinstance(call.exception(), grpc.RpcError):
            held.end(verdict, f"{code.name}: {call.details()}"[:LONGEST_ERROR])
        else:
            held.end(NEUTRAL)  # the caller's own, such as a request that cannot be encoded


class BreakerInterceptor(
    _Guard,
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """For ``grpc.intercept_channel``, for every kind of RPC.

    ``breakers`` is one breaker for all RPCs, or a registry with one for each key. ``key`` gives it
    for the method's full name, ``/package.Service/Method`` (default: ``package.Service``).
    ``failure_codes`` are the status codes that are failures.
    """

    unstoppable = "gRPC without asyncio; use the deadline timeout="

    def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        """Send it if its breaker lets it; raises :class:`GrpcCircuitOpenError` if not."""
        held = admit(self._breaker(details), GrpcCircuitOpenError)
        try:
            call = continuation(details, request)
        except BaseException as error:
            held.raised(error, self._judge)
            raise
        call.add_done_callback(lambda done: self._ended(held, done))
        return call

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_unary = _intercept
    intercept_stream_stream = _intercept


class _AioUnary(_Guard):
    async def _unary(self, continuation: Any, details: Any, request: Any) -> Any:
        held = admit(self._breaker(details), AioCircuitOpenError)
        call = await awaited(held, self._judge, continuation, details, request)

        async def code() -> Any:
            try:
                return await call.code()
            except asyncio.CancelledError:
                call.cancel()
                raise

        found = await awaited(held, self._judge, code)
        if found is grpc.StatusCode.CANCELLED:
            held.give_back()
        else:
            said = f"{found.name}: {await call.details()}"[:LONGEST_ERROR]
            held.end(self._verdict(found), said)
        return call


class _AioStream(_Guard):
    async def _stream(self, continuation: Any, details: Any, request: Any) -> Any:
        held = admit(self._breaker(details), AioCircuitOpenError)
        call = await awaited(held, self._judge, continuation, details, request)
        call.add_done_callback(lambda done: held.give_back() if done.cancelled() else None)
        return self._messages(call, held)

    async def _messages(self, call: Any, held: HeldCall) -> AsyncIterator[Any]:
        try:
            async for message in call:
                held.pause()
                yield message
        except GeneratorExit:
            call.cancel()
            held.answered()
            raise
        except BaseException as error:
            held.raised(error, self._judge)
            raise
        held.answered()


class _UnaryUnary(_AioUnary, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    intercept_unary_unary = _AioUnary._unary  # noqa: SLF001 - its own base


class _StreamUnary(_AioUnary, grpc.aio.StreamUnaryClientInterceptor):  # type: ignore[misc]
    intercept_stream_unary = _AioUnary._unary  # noqa: SLF001


class _UnaryStream(_AioStream, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    intercept_unary_stream = _AioStream._stream  # noqa: SLF001


class _StreamStream(_AioStream, grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]
    intercept_stream_stream = _AioStream._stream  # noqa: SLF001


def aio_interceptors(breakers: Breakers, **options: Any) -> list[Any]:
    """The interceptors for ``grpc.aio.insecure_channel(…, interceptors=…)``, one for each kind of
    RPC, as grpc.aio wants them. Options as for :class:`BreakerInterceptor`."""
    kinds = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    return [kind(breakers, **options) for kind in kinds]


def service_of(method: str) -> str:
    """``package.Service`` of ``/package.Service/Method``."""
    return method.strip("/").partition("/")[0]
