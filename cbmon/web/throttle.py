"""Token buckets: how often something may be tried, by whom.

Rule: an attempt is paid for before it is made and refunded when it was right, so that a hundred
attempts at once are no way around. The number of buckets is bounded; the fullest go first.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Throttle:
    """Allows each key ``burst`` attempts at once and one more every ``interval`` seconds."""

    def __init__(
        self,
        burst: int,
        interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST,
    ) -> None:
        self._burst = burst
        self._interval = interval
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, key: str) -> float:
        """Pay for an attempt: 0.0, or the seconds to wait until there is something to pay with."""
        bucket = self._filled(key)
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) * self._interval if self._burst else self._interval

    def refund(self, key: str) -> None:
        """The attempt was right: it costs nothing."""
        bucket = self._filled(key)
        bucket.left = min(self._burst, bucket.left + 1)

    def _filled(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) / self._interval)
        bucket.at = now
        return bucket


def network_of(client: str) -> str:
    """Whom an address stands for: itself, or its /64, which one IPv6 host has for itself."""
    try:
        ip = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if ip.version == 4:
        return str(ip)
    mapped = ip.ipv4_mapped
    return str(mapped or ipaddress.ip_network(f"{ip}/64", strict=False))
