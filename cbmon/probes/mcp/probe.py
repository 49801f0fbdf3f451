"""A run of ``mcp``.

Rule: a server that answers as the protocol says is good; that a tool fails is the tool's affair
unless it is expected not to.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from cbmon.config.fields import SecretError
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.api import Api
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, shown
from cbmon.probes.mcp import messages
from cbmon.probes.mcp.http import HttpTransport
from cbmon.probes.mcp.options import McpOptions
from cbmon.probes.mcp.stdio import StdioTransport
from cbmon.probes.outcome import outcome

PAGES: Final = 20
"""Pages of tools that are read at most."""
_SHOWN: Final = 20


class Transport(Protocol):
    """A way to ask a server."""

    async def ask(self, method: str, params: messages.Message | None = None) -> messages.Message:
        """The result of a request."""
        ...

    async def settle(self, version: str, /) -> None:
        """End the handshake."""
        ...

    async def end(self) -> None:
        """Hang up."""
        ...


class McpProbe:
    """Begins anew at every run: a session, or a program."""

    def __init__(self, options: McpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._api = None if options.command else Api(options, environment)

    async def run(self, attempt: Attempt) -> Result:
        """Shake hands, list the tools, call the one that is configured."""
        return await outcome(attempt, self._visit(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _visit(self, attempt: Attempt) -> None:
        transport = await self._begun(attempt)
        try:
            await self._converse(attempt, transport)
            attempt.end()
            check_duration(attempt, self._options.expect.max_duration)
        finally:
            await transport.end()

    async def _begun(self, attempt: Attempt) -> Transport:
        if self._api is not None:
            return HttpTransport(self._api, attempt)
        command = self._options.command
        self._environment.programs.check(command[0])
        return await StdioTransport.start(attempt, command, await self._variables())

    async def _variables(self) -> dict[str, str]:
        found = dict(self._options.environment)
        for name, file in self._options.environment_files.items():
            try:
                found[name] = (await asyncio.to_thread(file.read)).reveal()
            except SecretError as error:
                raise ProbeError(Reason.CONFIG, str(error)) from error
        return found

    async def _converse(self, attempt: Attempt, transport: Transport) -> None:
        version = await _shake_hands(attempt, transport)
        await transport.settle(version)
        wanted = {
            *self._options.expect.tools,
            *([self._options.tool] if self._options.tool else []),
        }
        capabilities = attempt.facts["capabilities"]
        if wanted or "tools" in capabilities:
            names = await _tools(transport)
            attempt.facts["tools"] = names[:_SHOWN]
            if missing := sorted(wanted - set(names)):
                got = shown(", ".join(names)) if names else "none"
                text = f"got the tools {got}, expected {', '.join(missing)}"
                raise ProbeError(Reason.BODY, text)
        if self._options.arguments is not None:
            await self._call(attempt, transport)

    async def _call(self, attempt: Attempt, transport: Transport) -> None:
        options, expect = self._options, self._options.expect
        params = {"name": options.tool, "arguments": options.arguments}
        found = await transport.ask("tools/call", params)
        text = messages.text_of(found)
        attempt.facts["tool_error"] = failed = found.get("isError") is True
        attempt.facts["result"] = shown(text)
        if failed and expect.tool_error == "fail":
            raise ProbeError(Reason.BODY, f"the tool {options.tool} failed: {shown(text)}")
        if expect.matches is not None and not expect.matches.search(text):
            wanted = expect.matches.pattern
            raise ProbeError(Reason.BODY, f"got {shown(text)}, expected a match for {wanted!r}")


async def _shake_hands(attempt: Attempt, transport: Transport) -> str:
    found = await transport.ask("initialize", messages.initialize())
    version = found.get("protocolVersion")
    if version not in messages.KNOWN:
        text = f"the server speaks {shown(str(version))}, expected {messages.VERSION}"
        raise ProbeError(Reason.PROTOCOL, text)
    server = found.get("serverInfo")
    if isinstance(server, dict):
        name, number = str(server.get("name", "")), str(server.get("version", ""))
        attempt.facts["server"] = shown(f"{name} {number}".strip())[1:-1]
    capabilities = found.get("capabilities")
    attempt.facts["capabilities"] = (
        sorted(map(str, capabilities))[:_SHOWN] if isinstance(capabilities, dict) else []
    )
    attempt.facts["protocol_version"] = version
    return str(version)


async def _tools(transport: Transport) -> list[str]:
    names: list[str] = []
    cursor: object = None
    for _ in range(PAGES):
        found = await transport.ask("tools/list", {"cursor": cursor} if cursor else None)
        names += messages.tool_names(found)
        cursor = found.get("nextCursor")
        if not cursor:
            break
    return names
