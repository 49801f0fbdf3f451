"""redis-py behind a breaker: commands, pipelines and subscriptions, sync and asyncio.

    client = protect_redis(redis.Redis(), CircuitBreaker("cache"))

Rules:

* A rejection is a ``redis.ConnectionError`` and a ``CircuitOpenError``; no connection is taken
  from the pool.
* A command is one call, its retries and its connecting included; so is a pipeline's ``execute``.
  How long a blocking command (``BLPOP``, ``XREAD`` …) takes is the caller's wish: not measured.
* Subscribing is a call. Waiting for messages is none and holds no permit; connecting again after
  a loss is one, and is refused while the breaker is open.
* Timeouts, lost connections and a server that is loading, out of memory, read-only or without
  its cluster are failures; any other error reply is an answer. See :func:`judge`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from cbmon.breaker import CircuitBreaker, CircuitOpenError, State
from cbmon.breaker.arguments import refuse_type
from cbmon.errors import MissingExtraError
from cbmon.integrations.calls import (
    Breakers,
    HeldCall,
    admit,
    awaited,
    breaker_of,
    checked,
    finish,
    run,
    run_async,
    tell_loss,
)
from cbmon.integrations.verdicts import (
    ANSWERED,
    BODY,
    CONNECT,
    NEUTRAL,
    STATUS,
    TIMEOUT,
    Table,
    Verdict,
    first_match,
)

try:
    import redis
    import redis.asyncio
    from redis import exceptions
except ImportError as error:
    raise MissingExtraError("cbmon.integrations.redis", "redis") from error

__all__ = ["RedisCallTimeoutError", "RedisCircuitOpenError", "judge", "protect_redis"]

C = TypeVar("C")

BLOCKING: Final = frozenset(
    {
        "BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP",
        "XREAD", "XREADGROUP", "WAIT", "WAITAOF",
    }
)  # fmt: skip
"""Commands that wait for something to happen."""

_UNABLE: Final = (
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
)
_ANSWERS: Final = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.ResponseError,
    exceptions.WatchError,
)
_CALLERS_OWN: Final = (
    exceptions.DataError,
    exceptions.LockError,
    exceptions.MaxConnectionsError,
    exceptions.PubSubError,
)
_SAYS: Final[Table] = (
    (_CALLERS_OWN, NEUTRAL),
    (_UNABLE, STATUS),
    (_ANSWERS, ANSWERED),
    ((exceptions.TimeoutError, TimeoutError), TIMEOUT),
    ((exceptions.InvalidResponse,), BODY),
    ((exceptions.RedisError, exceptions.SlotNotCoveredError, OSError), CONNECT),
)


class RedisCallTimeoutError(redis.TimeoutError, TimeoutError):
    """The policy's ``call_timeout`` ran out before the reply came."""


class RedisCircuitOpenError(CircuitOpenError, redis.ConnectionError):
    """The breaker rejected the command; nothing was sent."""

    late = RedisCallTimeoutError

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        redis.ConnectionError.__init__(self, "rejected")
        self.args = (name, state, retry_after)


def protect_redis(client: C, breakers: Breakers) -> C:
    """Put a client behind a breaker, and give it back: ``Redis`` or ``RedisCluster``, sync or
    asyncio, however it was made.

    Pipelines, transactions, locks, scripts and subscriptions made from it are behind the breaker
    too; ``monitor()`` is not. A registry gives the breaker named ``host:port``.
    """
    awaits = isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster)
    if not (awaits or hasattr(client, "execute_command")):
        refuse_type("client", client, "a client of redis-py")
    checked(breakers, None if awaits else "a client without asyncio; use its socket_timeout=")
    key = _address(client)

    def breaker() -> CircuitBreaker:
        return breaker_of(breakers, key)

    if awaits:
        _protect_commands_async(client, breaker)
    else:
        _protect_commands(client, breaker)
    return client


def judge(error: BaseException) -> Verdict:
    """What redis-py's exceptions say of the server.

    From Redis' error prefixes (``LOADING``, ``CLUSTERDOWN``, ``MASTERDOWN``, ``OOM``,
    ``READONLY``, ``TRYAGAIN``: it cannot serve now; others answer this command) and redis-py's
    hierarchy, where a full pool (``MaxConnectionsError``) and a refused login are connection
    errors, which they are not here.
    """
    return first_match(error, _SAYS)


Breaker = Callable[[], CircuitBreaker]


def _address(client: Any) -> str:
    pool = getattr(client, "connection_pool", None)
    settings = getattr(pool, "connection_kwargs", {})
    if "path" in settings:
        return str(settings["path"])
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _admitted(breaker: Breaker, command: tuple[Any, ...]) -> HeldCall:
    held = admit(breaker(), RedisCircuitOpenError)
    if command and command[0] in BLOCKING:
        held.untimed()
    return held


# --- sync ----------------------------------------------------------------------------------


def _protect_commands(client: Any, breaker: Breaker) -> None:
    send = client.execute_command

    def execute_command(*args: Any, **options: Any) -> Any:
        held = _admitted(breaker, args)
        try:
            result = send(*args, **options)
        except BaseException as error:
            held.raised(error, judge)
            raise
        finish(held, result)
        return result

    client.execute_command = execute_command
    _protect_makers(client, breaker, _protect_commands, _protect_pipeline, _protect_pubsub)


def _protect_makers(
    client: Any,
    breaker: Breaker,
    commands: Callable[[Any, Breaker], None],
    pipeline: Callable[[Any, Breaker], None],
    pubsub: Callable[[Any, Breaker], None],
) -> None:
    """What a client makes is protected as it is made."""

    def making(make: Callable[..., Any], protect: Callable[[Any, Breaker], None]) -> Any:
        def maker(*args: Any, **kwargs: Any) -> Any:
            made = make(*args, **kwargs)
            protect(made, breaker)
            return made

        return maker

    for name, protect in (("client", commands), ("pipeline", pipeline), ("pubsub", pubsub)):
        if hasattr(client, name):
            setattr(client, name, making(getattr(client, name), protect))


def _protect_pipeline(pipeline: Any, breaker: Breaker) -> None:
    send = pipeline.execute
    at_once: Any = getattr(pipeline, "immediate_execute_command", None)

    def execute(raise_on_error: bool = True) -> Any:
        if not len(pipeline) and not getattr(pipeline, "watching", False):
            return send(raise_on_error)
        try:
            held = admit(breaker(), RedisCircuitOpenError)
        except RedisCircuitOpenError:
            pipeline.reset()
            raise
        try:
            result = send(raise_on_error)
        except BaseException as error:
            held.raised(error, judge)
            raise
        held.answered()
        return result

    def immediate_execute_command(*args: Any, **options: Any) -> Any:
        return run(breaker(), RedisCircuitOpenError, judge, at_once, *args, **options)

    pipeline.execute = execute
    if at_once is not None:
        pipeline.immediate_execute_command = immediate_execute_command


def _protect_pubsub(pubsub: Any, breaker: Breaker) -> None:
    send, read = pubsub.execute_command, pubsub.parse_response

    def execute_command(*args: Any) -> Any:
        return run(breaker(), RedisCircuitOpenError, judge, send, *args)

    def parse_response(*args: Any, **kwargs: Any) -> Any:
        connection = pubsub.connection
        if connection is not None and not _is_connected(connection):
            run(breaker(), RedisCircuitOpenError, judge, connection.connect)
        try:
            return read(*args, **kwargs)
        except Exception as error:
            tell_loss(breaker(), error, judge)
            raise

    pubsub.execute_command = execute_command
    pubsub.parse_response = parse_response


def _is_connected(connection: Any) -> bool:
    if hasattr(connection, "is_connected"):
        return bool(connection.is_connected)
    return getattr(connection, "_sock", None) is not None


# --- asyncio -------------------------------------------------------------------------------


def _protect_commands_async(client: Any, breaker: Breaker) -> None:
    send = client.execute_command

    async def execute_command(*args: Any, **options: Any) -> Any:
        held = _admitted(breaker, args)
        result = await awaited(held, judge, send, *args, **options)
        finish(held, result)
        return result

    client.execute_command = execute_command
    _protect_makers(
        client, breaker, _protect_commands_async, _protect_pipeline_async, _protect_pubsub_async
    )


def _protect_pipeline_async(pipeline: Any, breaker: Breaker) -> None:
    send = pipeline.execute
    at_once: Any = getattr(pipeline, "immediate_execute_command", None)

    async def execute(raise_on_error: bool = True) -> Any:
        if not len(pipeline) and not getattr(pipeline, "watching", False):
            return await send(raise_on_error)
        try:
            held = admit(breaker(), RedisCircuitOpenError)
        except RedisCircuitOpenError:
            await pipeline.reset()
            raise
        result = await awaited(held, judge, send, raise_on_error)
        held.answered()
        return result

    async def immediate_execute_command(*args: Any, **options: Any) -> Any:
        return await run_async(breaker(), RedisCircuitOpenError, judge, at_once, *args, **options)

    pipeline.execute = execute
    if at_once is not None:
        pipeline.immediate_execute_command = immediate_execute_command


def _protect_pubsub_async(pubsub: Any, breaker: Breaker) -> None:
    send, read = pubsub.execute_command, pubsub.parse_response

    async def execute_command(*args: Any) -> Any:
        return await run_async(breaker(), RedisCircuitOpenError, judge, send, *args)

    async def parse_response(*args: Any, **kwargs: Any) -> Any:
        connection = pubsub.connection
        if connection is not None and not _is_connected(connection):
            await run_async(breaker(), RedisCircuitOpenError, judge, connection.connect)
        try:
            return await read(*args, **kwargs)
        except Exception as error:
            tell_loss(breaker(), error, judge)
            raise

    pubsub.execute_command = execute_command
    pubsub.parse_response = parse_response
