"""Scripted dialogues: steps that say something, wait for something, or begin TLS.

Rule: what can be found wrong in a script without a target is found wrong when it is read. A
pattern is held against whole lines; exact text and bytes are found wherever they come.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from cbmon.config.fields import Options, Regex, fault
from cbmon.interfaces import Attempt
from cbmon.model import Reason
from cbmon.probes.conversation import Conversation
from cbmon.probes.failure import ProbeError, shown

_REFERENCE: Final = re.compile(r"\$([$1-9])")
_REFERENCE_BYTES: Final = re.compile(_REFERENCE.pattern.encode())


def _from_hex(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        found = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        found = b""
    if not found:
        raise ValueError('expected bytes such as "ff fb 01"')
    return found


Hex = Annotated[
    bytes,
    BeforeValidator(_from_hex),
    PlainSerializer(lambda data: data and data.hex(" "), when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^([0-9a-fA-F]{2}\\s*)+$"}),
]
"""Bytes as pairs of hexadecimal digits."""


class Step(Options):
    """One step; exactly one of these."""

    one_of = (("send", "send_hex", "expect", "expect_text", "expect_hex", "starttls"),)

    send: str | None = Field(
        None,
        description="text to send, its line break included; `$1` to `$9` are the groups of the "
        "last `expect`, `$$` is a dollar sign",
        min_length=1,
    )
    send_hex: Hex | None = Field(None, description="bytes to send, as pairs of hexadecimal digits")
    expect: Regex | None = Field(
        None,
        description="pattern that one of the next lines must match; those before it are skipped",
    )
    expect_text: str | None = Field(
        None, description="text that must come, such as a prompt without a line break", min_length=1
    )
    expect_hex: Hex | None = Field(None, description="bytes that must come")
    starttls: Literal[True] | None = Field(None, description="TLS begins here")


def check_steps(steps: Sequence[Step]) -> None:
    """An error for a validator to raise when the script cannot work."""
    groups: int | None = None
    for index, step in enumerate(steps):
        if step.expect is not None:
            groups = step.expect.groups
        for digit in _REFERENCE.findall(step.send or ""):
            if digit != "$" and (groups is None or int(digit) > groups):
                text = f"${digit} is not a group of an expect before it"
                raise fault(text, "dialogue", index, "send")
    if sum(step.starttls is not None for step in steps) > 1:
        raise fault("TLS can begin once only", "dialogue")


class Dialogue:
    """Plays a script. ``begin_tls`` is called where TLS begins."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    async def play(
        self,
        attempt: Attempt,
        conversation: Conversation,
        begin_tls: Callable[[], Awaitable[None]],
    ) -> None:
        """From the first step to the last; ProbeError names the step that failed."""
        groups: tuple[bytes | None, ...] = ()
        for number, step in enumerate(self._steps, 1):
            attempt.facts["step"] = number
            if step.expect is not None:
                line, groups = await _line(conversation, step.expect, number)
                attempt.facts["answer"] = shown(line)
            elif (wanted := _wanted(step)) is not None:
                await _find(conversation, wanted, number)
            elif (said := _said(step, groups)) is not None:
                await conversation.say(said)
            else:
                await begin_tls()


def _wanted(step: Step) -> bytes | None:
    return step.expect_hex if step.expect_text is None else step.expect_text.encode()


def _said(step: Step, groups: tuple[bytes | None, ...]) -> bytes | None:
    if step.send is None:
        return step.send_hex

    def group(match: re.Match[bytes]) -> bytes:
        return b"$" if match[1] == b"$" else groups[int(match[1]) - 1] or b""

    return _REFERENCE_BYTES.sub(group, step.send.encode())


async def _line(
    conversation: Conversation, pattern: Regex, number: int
) -> tuple[bytes, tuple[bytes | None, ...]]:
    """The first line that matches, and its groups."""
    last = b""
    while True:
        try:
            line = await conversation.line()
        except ProbeError as error:
            if not conversation.is_over:
                raise _at(number, error) from error
            line = conversation.take(len(conversation.heard))
            if not pattern.search(line):
                got = shown(line or last) if line or last else "nothing"
                text = f"step {number}: got {got}, expected a line with {pattern.pattern!r}"
                raise ProbeError(Reason.BODY, text) from error
        match: Any = pattern.search(line)
        if match:
            return line, match.groups()
        last = line


async def _find(conversation: Conversation, wanted: bytes, number: int) -> None:
    """Take everything up to the end of what is wanted."""
    while (at := conversation.heard.find(wanted)) < 0:
        try:
            await conversation.more()
        except ProbeError as error:
            if not conversation.is_over:
                raise _at(number, error) from error
            text = f"step {number}: got {conversation.said}, expected {shown(wanted)}"
            raise ProbeError(Reason.BODY, text) from error
    conversation.take(at + len(wanted))


def _at(number: int, error: ProbeError) -> ProbeError:
    return ProbeError(error.reason, f"step {number}: {error}")
