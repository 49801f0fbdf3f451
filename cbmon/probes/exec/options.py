"""The options of ``exec``."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from cbmon.config.fields import Duration, Options, Regex, SecretFile, Size, fault
from cbmon.model import Unit
from cbmon.probes.exec.perfdata import LONGEST_LABEL

State = Literal["ok", "warning", "critical", "unknown"]
STATES: Final[tuple[State, ...]] = ("ok", "warning", "critical", "unknown")
"""By the exit code that means them."""

MOST_SERIES: Final = 64
"""Labels of one check that may become metrics."""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# With these a library of one's own, or other code, is loaded before the program's.
_LOADER: Final = re.compile(r"LD_.*|PYTHON(PATH|HOME|STARTUP)|PERL5?(LIB|OPT)|BASH_ENV|ENV|IFS")


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("expected the name of an environment variable")
    if _LOADER.fullmatch(name):
        raise ValueError(f"{name} cannot be set: it changes what a program is")
    return name


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("an argument cannot hold a NUL byte")
    return text


def _label(text: str) -> str:
    if not text or not text.isprintable() or len(text) > LONGEST_LABEL:
        raise ValueError(f"expected 1 to {LONGEST_LABEL} printable characters")
    return text


def _with_units(value: Any) -> Any:
    """A list of labels is short for a mapping in which each is a ``value``."""
    if not isinstance(value, list | tuple):
        return value
    twice = [one for place, one in enumerate(value) if one in value[:place]]
    if twice:
        raise ValueError(f"{twice[0]!r} stands twice; keep one")
    if not all(isinstance(one, str) for one in value):
        raise ValueError('expected labels, or a mapping such as {"/": bytes}')
    return dict.fromkeys(value, "value")


Variable = Annotated[str, AfterValidator(_variable)]
Word = Annotated[str, AfterValidator(_without_nul)]
Perfdata = Annotated[
    dict[Annotated[str, AfterValidator(_label)], Unit],
    BeforeValidator(_with_units),
    Field(max_length=MOST_SERIES),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "maxItems": MOST_SERIES},
                {
                    "type": "object",
                    "additionalProperties": {"enum": [*get_args(Unit)]},
                    "maxProperties": MOST_SERIES,
                },
            ]
        }
    ),
]
"""Labels of performance data by the unit of their metrics."""


class ExecExpect(Options):
    """What makes a run a good one."""

    states: tuple[State, ...] = Field(
        ("ok",), description="states that are good: exit codes 0 to 3 in words", min_length=1
    )
    matches: Regex | None = Field(None, description="pattern that the first line must match")
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class ExecOptions(Options):
    """A monitoring plug-in, or any program with its exit codes."""

    command: tuple[Word, ...] = Field(
        description="absolute path of the program, and its arguments; no shell is involved",
        examples=[["/usr/lib/nagios/plugins/check_load", "-w", "4,3,2", "-c", "8,6,4"]],
        min_length=1,
        max_length=256,
    )
    environment: dict[Variable, Word] = Field(
        {}, description="environment variables besides PATH, HOME and LC_ALL"
    )
    environment_files: dict[Variable, SecretFile] = Field(
        {}, description="environment variables whose values stand in files, read at every run"
    )
    max_output: Size = Field(
        64 * 1024, description="most that it may print", gt=0, le=16 * 1024 * 1024
    )
    max_memory: Size = Field(
        512 * 1024 * 1024, description="most data that each of its processes may hold",
        ge=8 * 1024 * 1024,
    )  # fmt: skip
    max_processes: int = Field(
        64, description="most processes and threads that it may add to those of the daemon's user",
        ge=1, le=4096,
    )  # fmt: skip
    user: str | None = Field(
        None, description="account to run it as, if the daemon runs as root", min_length=1
    )
    perfdata: Perfdata = Field(
        {}, description="labels of performance data that become metrics: a list, or by their units",
        examples=[["load1", "load5"], {"/": "bytes", "time": "seconds"}],
    )  # fmt: skip
    expect: ExecExpect = Field(ExecExpect(), description="what makes a run a good one")

    @property
    def programs(self) -> tuple[str, ...]:
        """What it starts, for the list of what may be started."""
        return (self.command[0],)

    @model_validator(mode="after")
    def _check_command(self) -> ExecOptions:
        path = PurePosixPath(self.command[0])
        if not path.is_absolute() or ".." in path.parts:
            raise fault('expected an absolute path without ".." as the program', "command", 0)
        for name in self.environment:
            if name in self.environment_files:
                raise fault(f"{name} stands in environment too; keep one", "environment_files")
        return self
