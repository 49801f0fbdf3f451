"""RESP, the protocol of Redis: commands out, replies in.

Rule: replies are read while they come, bounded in size, number and depth; what is not RESP raises
ProbeError (``protocol``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cbmon.model import Reason
from cbmon.probes.conversation import Conversation
from cbmon.probes.failure import ProbeError, shown

LARGEST: Final = 1024 * 1024
"""Bytes of all replies of a run together, protocol included."""
PARTS: Final = 10_000
"""Parts of one reply, itself and the lists in it included."""
_DEEPEST: Final = 8
_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply: ``code`` is its first word, such as ``NOAUTH``."""

    text: str

    @property
    def code(self) -> str:
        """The first word."""
        return self.text.partition(" ")[0]


Reply = str | int | list["Reply"] | Refusal | None
"""What a server answers; None is its null."""


def command(*words: str) -> bytes:
    """A command as it is sent."""
    parts = [word.encode() for word in words]
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


async def reply(conversation: Conversation) -> Reply:
    """The next reply."""
    return await _Replies(conversation).next(0)


class _Replies:
    """Reads one reply and counts its parts: each costs more time than its bytes tell."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._left = PARTS

    async def next(self, depth: int) -> Reply:
        self._left -= 1
        if self._left < 0:
            raise ProbeError(Reason.SIZE, f"a reply has more than {PARTS} parts")
        line = await self._conversation.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode(errors="replace")
        if kind == b"-":
            return Refusal(rest.decode(errors="replace"))
        if kind == b":":
            return _number(line)
        if kind == b"$":
            return await _bulk(self._conversation, _size(line))
        if kind == b"*" and depth < _DEEPEST:
            size = _size(line)
            return None if size < 0 else [await self.next(depth + 1) for _ in range(size)]
        raise _malformed(line)


async def _bulk(conversation: Conversation, size: int) -> str | None:
    if size < 0:
        return None
    data = await conversation.exactly(size + 2)
    if data[-2:] != b"\r\n":
        raise _malformed(data)
    return data[:-2].decode(errors="replace")


def _size(line: bytes) -> int:
    size = _number(line)
    if size < -1:
        raise _malformed(line)
    if size > LARGEST:
        raise ProbeError(Reason.SIZE, f"a reply of {size} bytes is larger than {LARGEST}")
    return size


def _number(line: bytes) -> int:
    digits = line[1:].removeprefix(b"-")
    if not digits.isdigit() or len(digits) > _DIGITS:
        raise _malformed(line)
    return int(line[1:])


def _malformed(data: bytes) -> ProbeError:
    return ProbeError(Reason.PROTOCOL, f"got {shown(data)}, expected a reply of Redis")


def flattened(found: Reply) -> str:
    """A reply as one text: the items of a list line by line, null as nothing."""
    waiting: list[Reply] = [found]
    texts: list[str] = []
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        else:
            texts.append("" if one is None else one.text if isinstance(one, Refusal) else str(one))
    return "\n".join(texts)


def fields(text: str) -> dict[str, str]:
    """The ``name:value`` lines of a reply such as that of INFO."""
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}
