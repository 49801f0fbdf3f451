"""How long an opening lasts.

Rule: the k-th opening since the last closed waits ``recovery_timeout * backoff ** (k - 1)``, at
most the longest wait; jitter is drawn once per opening and the result capped again. The draw
depends on seed and opening only, so that a read, a restart or a reconfiguration never redraws it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cbmon.breaker.policy import BreakerPolicy

_MASK: Final = (1 << 64) - 1


def wait_of(policy: BreakerPolicy, openings: int, draw: float) -> float:
    """Seconds that the opening numbered ``openings`` (from 1) lasts; ``draw`` is in [-1, 1)."""
    longest = policy.longest_wait
    try:
        wait = policy.recovery_timeout * policy.recovery_backoff ** (openings - 1)
    except OverflowError:
        wait = longest
    return min(min(wait, longest) * (1.0 + policy.recovery_jitter * draw), longest)


def draw(seed: int, index: int) -> float:
    """A number in [-1, 1) that looks random and depends on its arguments only.

    Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014. It needs no state: a generator object would cost 2.5 KB per breaker.
    """
    word = (seed + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    word ^= word >> 31
    return (word >> 11) / (1 << 52) - 1.0


def fresh_seed() -> int:
    """A seed for a breaker that was given none."""
    return int.from_bytes(os.urandom(8), "little")
