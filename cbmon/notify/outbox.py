"""What to do with the head of a line, and when to try again: pure.

Rule: a recovery never overtakes its outage, and is told only to someone who was told of the
outage, or gets both at once. Nothing waits for ever: what is too old becomes a dead letter.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cbmon.model import Message, MessageState
from cbmon.notify.messages import ENDINGS, UNCHANGED, Body, combined, entries_of
from cbmon.notify.policy import Why

FOLDED_INTO = "told together with a later message"
TOLD_SINCE = "what it says is over, or was told since"
_OF_THE_MESSAGE = ("receiver", "instead_of", "absorbs")
"""What a body says of its message, and not of what happened."""


class Step(StrEnum):
    """What to do with the head of a line."""

    DELIVER = "deliver"
    DELIVER_FOLDED = "deliver_folded"
    """Deliver a message that also says what the dropped ones before it would have said."""
    FOLD = "fold"
    """Drop it in favour of the message that waits behind it."""
    DROP = "drop"
    OVERTAKEN = "overtaken"
    """Drop it, sent again by a person, because what it says is over or was told since."""
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


def judge(
    head: Message,
    line: Sequence[Message],
    now: float,
    limits: Limits,
    past: Collection[str] = frozenset(),
) -> Step:
    """The next step for the first pending message of a line; ``line`` is all of it, in order.

    A late message is folded into the next one, which tells all that the receiver has to know.
    ``past`` are episodes of which there is nothing to tell any more.
    """
    late = head.attempts > 0 or now - head.created_at > limits.fold_after
    if late and _behind(head, line):
        return Step.FOLD
    if now - head.created_at > limits.time_to_live:
        return Step.EXPIRE
    entries = said(head, line, past)
    if not entries:
        return Step.OVERTAKEN if past else Step.DROP
    return Step.DELIVER_FOLDED if entries != entries_of(head.body) else Step.DELIVER


def said(head: Message, line: Sequence[Message], past: Collection[str] = frozenset()) -> list[Body]:
    """What a message says at its delivery: its entries and those of the ones folded into it.

    The end of an outage that was never told is told together with it when both are new to the
    receiver, and left out when the outage is a dead letter. Empty when nothing is left to say.
    """
    told, folded = _history(head, line)
    early = {_episode(entry, other) for other in folded for entry in entries_of(other.body)}
    found: dict[str, Body] = {}
    for message in (*folded, head):
        for entry in entries_of(message.body):
            episode = _episode(entry, message)
            known = found.pop(episode, None)
            is_news = known is None or entry.get("kind") != UNCHANGED
            found[episode] = entry if is_news else {**entry, "kind": (known or {}).get("kind")}
    kept: list[Body] = []
    for episode, entry in found.items():
        if episode in past:
            continue
        if not _is_over(entry, head) or episode in told:
            kept.append(entry)
        elif episode in early or entry.get("folded"):
            kept.append({**entry, "folded": True})
    return kept


def dressed(head: Message, entries: Sequence[Body], late: float | None) -> Message:
    """The message as it is delivered now; ``late`` are the seconds since it was made, if many."""
    extra = {} if late is None else {"late_seconds": round(late)}
    said_now = [{**entry, **extra} for entry in entries]
    if list(entries) == entries_of(head.body):
        body = {**head.body, **extra}
        return replace(head, body=body | ({"entries": said_now} if "entries" in body else {}))
    own = {name: head.body[name] for name in _OF_THE_MESSAGE if name in head.body}
    body = combined(said_now, head.body.get("group_labels")) | extra | own
    return replace(head, kind=str(body.get("kind", head.kind)), body=body)


def sent_again(message: Message) -> bool:
    """Whether it was a dead letter that someone put back in line."""
    return message.last_error is not None and message.attempts == 0


def past_of(head: Message, line: Sequence[Message], going_on: Collection[str]) -> frozenset[str]:
    """The episodes in a message sent again that were told since, or are over.

    ``going_on`` are those that the line knows of and are not over. What is over is told all the
    same when its end waits behind it.
    """
    later = [m for m in line if m.incident == head.incident and m.sequence > head.sequence]
    told, waiting = (
        {_episode(entry, m) for m in later if m.state is state for entry in entries_of(m.body)}
        for state in (MessageState.DELIVERED, MessageState.PENDING)
    )
    # A fallback is not told of what goes on but by others' messages.
    judged = "instead_of" not in head.body
    return frozenset(
        episode
        for entry in entries_of(head.body)
        if (episode := _episode(entry, head)) in told
        or (judged and not _is_over(entry, head) and episode not in {*going_on, *waiting})
    )


def absorbed(head: Message, line: Sequence[Message] = ()) -> tuple[str, ...]:
    """The threads whose waiting messages this one takes over, also by those folded into it."""
    folded = (m for m in line if m.sequence < head.sequence and m.last_error == FOLDED_INTO)
    threads = (thread for one in (*folded, head) for thread in one.body.get("absorbs", ()))
    return tuple(dict.fromkeys(threads))


def needs_line(head: Message, now: float, limits: Limits) -> bool:
    """Whether :func:`judge` has to see the rest of the line; the first one is just delivered."""
    fresh = head.attempts == 0 and now - head.created_at <= limits.fold_after
    return head.sequence > 1 or not fresh or bool(absorbed(head)) or sent_again(head)


def suppression(step: Step) -> Why:
    """The reason that FOLD, DROP and OVERTAKEN are counted under."""
    return Why.OUTAGE_LOST if step is Step.DROP else Why.FOLDED


def _behind(head: Message, line: Sequence[Message]) -> bool:
    return any(
        other.incident == head.incident
        and other.state is MessageState.PENDING
        and other.sequence > head.sequence
        for other in line
    )


def _history(head: Message, line: Sequence[Message]) -> tuple[set[str], list[Message]]:
    """The episodes that the receiver knows of, and the messages that are folded into this one."""
    told: set[str] = set()
    waiting: dict[str, list[Message]] = {}
    for other in line:
        if other.incident == head.incident and other.sequence >= head.sequence:
            continue
        folded = waiting.setdefault(other.incident, [])
        if other.state is MessageState.DROPPED and other.last_error == FOLDED_INTO:
            folded.append(other)
            continue
        if other.state is MessageState.DELIVERED:
            for known in (*folded, other):
                told.update(_episode(entry, known) for entry in entries_of(known.body))
        # What was folded into a dead letter shares its fate.
        folded.clear()
    return told, [message for folded in waiting.values() for message in folded]


def _episode(entry: Body, message: Message) -> str:
    return str(entry.get("episode") or message.incident)


def _is_over(entry: Body, message: Message) -> bool:
    over: bool = entry.get("over", message.kind in ENDINGS)
    return over
