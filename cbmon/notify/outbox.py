"""What to do with the head of a line, and when to try again: pure.

Rule: a recovery never overtakes its outage, and is told only to someone who was told of the
outage, or gets both at once. Nothing waits for ever: what is too old becomes a dead letter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cbmon.model import Message, MessageState
from cbmon.notify.messages import ENDINGS
from cbmon.notify.policy import Why

FOLDED_INTO = "told together with the end of its incident"


class Step(StrEnum):
    """What to do with the head of a line."""

    DELIVER = "deliver"
    DELIVER_FOLDED = "deliver_folded"
    """Deliver an end that also says what the dropped messages before it would have said."""
    FOLD = "fold"
    """Drop it in favour of the end that waits behind it."""
    DROP = "drop"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient the outbox is. Seconds.

    After the n-th failure the wait is drawn evenly from 0 to ``first_wait`` * 2^n, at most
    ``longest_wait`` (full jitter, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/);
    what a receiver asks for with Retry-After is waited at least, up to ``longest_asked``.
    """

    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 3600.0
    time_to_live: float = 72 * 3600.0
    fold_after: float = 60.0
    """An outage that could not be told for so long is told together with its end."""

    def wait(self, attempts: int, asked: float | None, rng: random.Random) -> float:
        """Seconds until the next try of a message that failed ``attempts`` times before."""
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(attempts, 60))
        drawn = rng.uniform(0.0, longest)
        return drawn if asked is None else max(drawn, self.asked(asked))

    def asked(self, seconds: float) -> float:
        """What a receiver asked to wait, as far as it is heeded."""
        return min(max(0.0, seconds), self.longest_asked)


def judge(head: Message, line: Sequence[Message], now: float, limits: Limits) -> Step:
    """The next step for the first pending message of a line; ``line`` is all of it, in order."""
    late = head.attempts > 0 or now - head.created_at > limits.fold_after
    if late and _end_behind(head, line):
        return Step.FOLD
    if now - head.created_at > limits.time_to_live:
        return Step.EXPIRE
    if head.kind in ENDINGS:
        return _end(line)
    return Step.DELIVER


def needs_line(head: Message, now: float, limits: Limits) -> bool:
    """Whether :func:`judge` has to see the rest of the line; a fresh outage is just delivered."""
    fresh = head.attempts == 0 and now - head.created_at <= limits.fold_after
    return head.kind in ENDINGS or not fresh


def suppression(step: Step) -> Why:
    """The reason that FOLD and DROP are counted under."""
    return Why.FOLDED if step is Step.FOLD else Why.OUTAGE_LOST


def _end_behind(head: Message, line: Sequence[Message]) -> bool:
    return any(
        other.kind in ENDINGS
        and other.state is MessageState.PENDING
        and other.sequence > head.sequence
        for other in line
    )


def _end(line: Sequence[Message]) -> Step:
    if any(other.state is MessageState.DELIVERED for other in line):
        return Step.DELIVER
    if any(other.last_error == FOLDED_INTO for other in line):
        return Step.DELIVER_FOLDED
    return Step.DROP
