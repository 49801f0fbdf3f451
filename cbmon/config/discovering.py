"""Checks that are made of targets: what is configured, and the making.

Rule: a discovered check goes through everything that a written one does, and has the same rights.
One that cannot be is left out and told; it never costs another one, or the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from cbmon.config.fields import Options
from cbmon.config.model import CheckConfig, Config, DiscoveryConfig
from cbmon.config.nodes import Block, Items, Node, place_of, value_place
from cbmon.config.placeholders import PlaceholderError, Target, expanded, has_placeholder
from cbmon.config.problems import Place, Problems
from cbmon.config.references import References
from cbmon.config.sections import Name
from cbmon.config.validation import Part

if TYPE_CHECKING:
    from cbmon.breaker import BreakerPolicy
    from cbmon.config.entries import Entries

MAX_TARGETS: Final = 100_000
_SAMPLE: Final = "target.example.net:8080"


class DiscoveryEntry(Options):
    """Checks from a list of targets that something else keeps."""

    name: Name = Field(description="Unique among these; a label value.")
    max_targets: int = Field(
        10_000,
        ge=1,
        le=MAX_TARGETS,
        description="How many targets there may be; a longer list is not taken.",
    )
    template: dict[str, Any] = Field(
        description="A check as under checks, in whose values {{ address }}, {{ host }}, "
        "{{ port }}, {{ id }} and {{ labels.NAME }} stand for what is known of the target."
    )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A target that is no check, and why."""

    discovery: str
    address: str
    problem: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """A configuration with the checks of its targets."""

    config: Config
    rejected: tuple[Rejected, ...] = ()


class _AnyLabel(dict[str, str]):
    def get(self, _key: str, _default: object = None) -> str:
        return "1"


@dataclass(slots=True, kw_only=True)
class Expander:
    """Makes checks of targets, as often as wanted.

    ``entries`` and its problems are its own; ``written`` are the entries that names may refer to.
    """

    entries: Entries
    problems: Problems
    written: tuple[Sequence[Part], Sequence[Part], Sequence[Part]]
    templates: dict[str, Part] = field(default_factory=dict)

    def add(self, name: str, template: Part, told: Problems) -> float | None:
        """A template, and the interval of its checks if that is the same for all.

        What is wrong with it whatever the target is goes to ``told``.
        """
        self.templates[name] = template
        if not has_placeholder(template.block.get("name")):
            text = "the name is the same for every target; it needs a placeholder such as {{ id }}"
            told.add(value_place(template.block, "name"), template.at("name"), text)
        touched: set[Place] = set()
        try:
            block = expanded(template.block, Target(_SAMPLE, _AnyLabel()), touched)
        except PlaceholderError as error:
            told.add(place_of(template.block), template.path, str(error))
            return None
        self._begin()
        made = self._make(Part(block, template.path, template.directory))
        for one in self.problems.take():
            place = Place(one.file, one.line, one.column)
            if place not in touched:
                told.add(place, one.path, one.message)
        varies = has_placeholder(template.block.get("interval"))
        return None if made is None or varies else made.interval

    def policy_of(self, name: str) -> BreakerPolicy | None:
        """The policy of a discovery's checks; None where it may differ from target to target."""
        template = self.templates[name]
        touched: set[Place] = set()
        try:
            block = expanded(template.block, Target(_SAMPLE, _AnyLabel()), touched)
        except PlaceholderError:
            return None
        self._begin()
        made = self._make(Part(block, template.path, template.directory))
        self.problems.take()
        breaker = template.block.get("breaker")
        varies = has_placeholder(breaker) or (isinstance(breaker, Block) and _varies(breaker))
        return None if made is None or varies else made.policy

    def expand(self, config: Config, targets: Mapping[str, Iterable[Target]]) -> Expansion:
        """The configuration with a check for each target of each discovery, by name.

        Checks that were discovered before are not kept. Blocks: thousands take a second.
        """
        self._begin()
        checks = [check for check in config.checks if not check.discovered]
        rejected: list[Rejected] = []
        for name, template in self.templates.items():
            for target in targets.get(name, ()):
                made = self._check(name, template, target)
                if isinstance(made, CheckConfig):
                    checks.append(made)
                else:
                    rejected.append(Rejected(name, target.address, made))
        return Expansion(replace(config, checks=tuple(checks)), tuple(rejected))

    def _check(self, name: str, template: Part, target: Target) -> CheckConfig | str:
        """The check of a target, or what is wrong with it."""
        try:
            block = expanded(template.block, target)
        except PlaceholderError as error:
            return str(error)
        made = self._make(Part(block, template.path, template.directory))
        problems = self.problems.take()
        if made is None or problems:
            return "; ".join(str(one) for one in problems) or "cannot be a check"
        return replace(made, discovered=name)

    def _make(self, part: Part) -> CheckConfig | None:
        made = self.entries.check(part)
        self.entries.references.check_part(part)
        return made

    def _begin(self) -> None:
        """Names are taken by what is written, and by nothing else yet."""
        self.entries.references = references = References(self.problems, complete=True)
        checks, exports, receivers = self.written
        for claim, parts in (
            (references.claim_check, checks),
            (references.claim_export, exports),
            (references.claim_receiver, receivers),
        ):
            for part in parts:
                claim(part)
        self.problems.take()


def configured(
    entry: DiscoveryEntry, kind: str, options: Options, template: Block, interval: float | None
) -> DiscoveryConfig:
    """A discovery as the daemon knows it."""
    return DiscoveryConfig(
        name=entry.name,
        type=kind,
        options=options,
        max_targets=entry.max_targets,
        template=_plain(template),
        interval=interval,
    )


def _varies(node: Node) -> bool:
    inner = node.values() if isinstance(node, Block) else node
    return any(
        _varies(one) if isinstance(one, Block | Items) else has_placeholder(one) for one in inner
    )


def _plain(node: Any) -> Any:
    if isinstance(node, Block):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, Items) else node
