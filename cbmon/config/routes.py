"""Where messages go: the tree of routes in Alertmanager's vocabulary.

Rule: written as a tree in which a child says only what differs; read as a tree in which every
route is complete.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from cbmon.config.fields import Duration, Options, Regex, ZeroOrMore
from cbmon.config.words import shown

_MATCHER: Final = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"\s]*))\s*', re.DOTALL
)
_ESCAPES: Final[Mapping[str, str]] = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label: ``team="shop"``, ``severity!=info`` or ``site=~"fra.*"``."""

    label: str
    operator: str
    value: str
    regex: Regex | None = None

    @classmethod
    def parse(cls, text: object) -> Matcher:
        """From its text; ValueError says what is wrong. A pattern matches the whole value."""
        match = _MATCHER.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'expected a matcher such as team="shop", got {shown(text)}')
        quoted = match[3]
        value = match[4] if quoted is None else _unescaped(quoted)
        regex = Regex(value) if match[2].endswith("~") else None
        return cls(match[1], match[2], value, regex)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy it; a label that is absent is an empty one."""
        value = labels.get(self.label, "")
        if self.regex is None:
            found = value == self.value
        else:
            found = self.regex.fullmatch(value) is not None
        return found is not self.operator.startswith("!")

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.label}{self.operator}"{escaped}"'

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Matcher) else cls.parse(value),
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "minLength": 2}


class RouteSection(Options):
    """One route. A child takes from its parent what it does not say itself."""

    receiver: str | None = Field(
        None, description="Who gets the messages; the parent's receiver when it is left out."
    )
    matchers: tuple[Matcher, ...] = Field(
        (), description='Conditions that must all hold, such as team="shop"; none on the root.'
    )
    continue_: bool = Field(
        False, alias="continue", description="Try the following routes too when this one matches."
    )
    group_by: tuple[str, ...] = Field(
        ("group",), description="Labels by which messages are put together."
    )
    group_wait: ZeroOrMore = Field(
        10.0, description="How long the first message of a group waits for others."
    )
    group_interval: Duration = Field(
        300.0, description="How long news of a group that was told already waits."
    )
    repeat_interval: Duration = Field(
        4 * 3600.0, description="When a group that is still open is told again."
    )
    mute_time_intervals: tuple[str, ...] = Field(
        (), description="While one of these named intervals lasts, nothing is told."
    )
    active_time_intervals: tuple[str, ...] = Field(
        (), description="Only while one of these named intervals lasts, something is told."
    )
    routes: tuple[RouteSection, ...] = Field(
        (), description="Finer routes; the first one that matches wins."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A complete route. Durations in seconds."""

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    continue_: bool = False
    group_by: tuple[str, ...] = ("group",)
    group_wait: float = 10.0
    group_interval: float = 300.0
    repeat_interval: float = 14_400.0
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()


_INHERITED: Final = ("receiver", "group_by", "group_wait", "group_interval", "repeat_interval")


def complete(section: RouteSection, parent: Route) -> Route:
    """The route with what it leaves out taken from its parent, and so its children."""
    given = section.model_fields_set
    values = {name: getattr(section if name in given else parent, name) for name in _INHERITED}
    values["receiver"] = section.receiver or parent.receiver
    own = Route(
        matchers=section.matchers,
        continue_=section.continue_,
        # As in Alertmanager, a child does not take over when its parent is quiet.
        mute_time_intervals=section.mute_time_intervals,
        active_time_intervals=section.active_time_intervals,
        **values,
    )
    return replace(own, routes=tuple(complete(child, own) for child in section.routes))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text, flags=re.DOTALL)
