"""The options of ``mcp``."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, model_validator

from cbmon.config.fields import Duration, Options, Regex, SecretFile, Url, fault
from cbmon.probes.api import ApiOptions
from cbmon.probes.exec.options import Variable, Word
from cbmon.probes.http.redacted import redacted


class McpExpect(Options):
    """What makes an answer a good one."""

    tools: tuple[str, ...] = Field((), description="tools that the server must have")
    matches: Regex | None = Field(
        None, description="pattern that the text of the tool's result must match"
    )
    tool_error: Literal["pass", "fail"] = Field(
        "pass", description="whether a tool that answers with `isError` is good: the server lives"
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class McpOptions(ApiOptions):
    """A server of the Model Context Protocol."""

    one_of = (("url", "command"),)

    url: Url = Field("", description="endpoint of a server that speaks streamable HTTP")
    command: tuple[Word, ...] = Field(
        (),
        description="absolute path and arguments of a server that speaks over stdin and stdout",
        max_length=256,
    )
    environment: dict[Variable, Word] = Field(
        {}, description="environment variables of the command besides PATH, HOME and LC_ALL"
    )
    environment_files: dict[Variable, SecretFile] = Field(
        {}, description="environment variables whose values stand in files, read at every run"
    )
    tool: str | None = Field(
        None, description="tool that must be there; with `arguments` it is called", min_length=1
    )
    arguments: dict[str, Any] | None = Field(
        None, description="what to call the tool with; `{}` for nothing"
    )
    expect: McpExpect = Field(McpExpect(), description="what makes the answer a good one")

    @property
    def programs(self) -> tuple[str, ...]:
        """What it starts, for the list of what may be started."""
        return self.command[:1]

    @model_validator(mode="after")
    def _check_call(self) -> McpOptions:
        if self.arguments is not None and self.tool is None:
            raise fault("arguments needs tool", "arguments")
        if self.expect.matches is not None and self.arguments is None:
            raise fault("matching a result needs arguments to call the tool with", "expect")
        if self.command:
            path = PurePosixPath(self.command[0])
            if not path.is_absolute() or ".." in path.parts:
                raise fault('expected an absolute path without ".." as the program', "command", 0)
        return self

    def shown(self) -> str:
        """The target: the endpoint without credentials, or the program without its arguments."""
        return self.command[0] if self.command else redacted(self.url)
