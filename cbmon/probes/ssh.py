"""``ssh``: the line with which an SSH server introduces itself.

Rule: nobody logs in, no key is exchanged; the server sees a client that says its name and leaves.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from cbmon import __version__
from cbmon.config.fields import Duration, HostPort, Options, Regex
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.conversation import Conversation
from cbmon.probes.dial import Route
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.kind import ProbeType
from cbmon.probes.options import ConnectOptions
from cbmon.probes.outcome import outcome

# RFC 4253, section 4.2: lines may come before the version, which has at most 255 bytes.
_LINES: Final = 50
_LONGEST: Final = 255
_VERSIONS: Final = (b"SSH-2.0-", b"SSH-1.99-")


class SshExpect(Options):
    """What makes a server a good one."""

    matches: Regex | None = Field(
        None, description="pattern that must match the server's version line",
        examples=["OpenSSH_9"],
    )  # fmt: skip
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class SshOptions(ConnectOptions):
    """The greeting of an SSH server."""

    address: HostPort = Field(description="where to connect", examples=["host.example.net:22"])
    expect: SshExpect = Field(SshExpect(), description="what makes the server a good one")


class SshProbe:
    """Connects anew at every run."""

    def __init__(self, options: SshOptions, environment: ProbeEnvironment) -> None:
        self._expect = options.expect
        self._environment = environment
        host, port = options.address
        self._route = Route(
            host=host, port=port, family=options.usable_family, source=options.source_address
        )

    async def run(self, attempt: Attempt) -> Result:
        """Connect, listen, say who it was, hang up."""
        return await outcome(attempt, self._look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _look(self, attempt: Attempt) -> None:
        conversation = Conversation(attempt)
        try:
            await conversation.begin(self._environment, self._route)
            version = await _version(conversation)
            attempt.end()
            await conversation.say(f"SSH-2.0-cbmon_{__version__}\r\n".encode())
            attempt.end()
        finally:
            conversation.end()
        attempt.facts["server"] = shown(version)[1:-1]
        pattern = self._expect.matches
        if pattern is not None and not pattern.search(version):
            text = f"got {shown(version)}, expected a match for {pattern.pattern!r}"
            raise ProbeError(Reason.BODY, text)
        check_duration(attempt, self._expect.max_duration)


async def _version(conversation: Conversation) -> bytes:
    for _ in range(_LINES):
        line = await conversation.line()
        if line.startswith(b"SSH-"):
            break
    else:
        text = f"{conversation.where} said {_LINES} lines without its version of SSH"
        raise ProbeError(Reason.PROTOCOL, text)
    if not line.startswith(_VERSIONS) or len(line) > _LONGEST:
        raise ProbeError(Reason.PROTOCOL, f"got {shown(line)}, expected version 2 of SSH")
    return line


TYPE: Final = ProbeType(
    name="ssh",
    options=SshOptions,
    target=lambda options: str(options.address),
    build=SshProbe,
)
