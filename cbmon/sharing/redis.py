"""Records in Redis (or Valkey): one hash for each breaker, compared and set by a script.

Rule: the time is the server's (``TIME``); a key that nobody has written for a month is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cbmon.errors import MissingExtraError
from cbmon.sharing.record import Record
from cbmon.sharing.store import NOTHING, Seen, StoreDownError, seen

try:
    from redis import asyncio as client
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError as error:
    raise MissingExtraError("breakers shared over Redis", "redis") from error

_SWAP: Final = """
local held = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if held ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', held + 1, 'record', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_MONTH: Final = 30 * 86_400


class RedisStore:
    """``url`` as redis-py reads it; ``group`` separates programs on one server. ``timeout`` is
    how long (seconds) the server may take: less than the runner's, which would cut the client
    off in the middle."""

    def __init__(self, url: str, *, group: str = "cbmon", timeout: float = 1.5) -> None:
        self._redis: Any = client.from_url(  # type: ignore[no-untyped-call, unused-ignore]
            url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )
        self._group = group
        self._script = self._redis.register_script(_SWAP)

    def _key(self, name: str) -> str:
        return f"{self._group}:breaker:{name}"

    async def read(self, names: Sequence[str]) -> tuple[float, Mapping[str, Seen]]:
        """One round trip for all of them."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        for name in names:
            pipe.hmget(self._key(name), "version", "record")
        try:
            (seconds, micros), *rows = await pipe.execute()
        except RedisError as error:
            raise StoreDownError(f"redis: {error}") from error
        found = {
            name: NOTHING if version is None else seen(name, int(version), record or b"")
            for name, (version, record) in zip(names, rows, strict=True)
        }
        return seconds + micros / 1e6, found

    async def swap(self, name: str, version: int, record: Record) -> bool:
        """Compare and set."""
        try:
            done = await self._script(keys=[self._key(name)], args=[version, record.dump(), _MONTH])
        except RedisError as error:
            raise StoreDownError(f"redis: {error}") from error
        return bool(done)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
