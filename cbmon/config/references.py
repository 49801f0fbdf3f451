"""Names of entries, and what refers to them.

Rule: checks, exports and receivers share one space of names, because each names a breaker. What
refers to a name is looked at when all files are read, and only if all could be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from cbmon.config.graph import cycles
from cbmon.config.known import OutdatedError
from cbmon.config.model import CheckConfig
from cbmon.config.nodes import Block, Items, joined, value_place
from cbmon.config.problems import Place, Problems
from cbmon.config.validation import Part
from cbmon.config.words import shown

_NOWHERE: Final = Place("", 0, 0)


class References:
    """Who has which name, and whether those that are named exist."""

    def __init__(self, problems: Problems, *, complete: bool) -> None:
        self._problems = problems
        self._complete = complete
        self._names: dict[str, Place] = {}
        self._checks: dict[str, Part] = {}
        self._receivers: dict[str, Part] = {}
        self._known: dict[str, CheckConfig] = {}

    def take(self, known: Iterable[CheckConfig]) -> None:
        """The names of checks that are known to be good by themselves; before all others.

        From here on OutdatedError stands for everything that is wrong with one of them.
        """
        for check in known:
            if check.name in self._known:
                raise OutdatedError
            self._known[check.name] = check
        self._names = dict.fromkeys(self._known, _NOWHERE)

    def claim_check(self, part: Part) -> None:
        """A check's name, and that others may depend on it."""
        name = self._claim(part)
        if name is not None:
            self._checks[name] = part

    def claim_export(self, part: Part) -> None:
        """An export's name."""
        self._claim(part)

    def claim_receiver(self, part: Part) -> None:
        """A receiver's name, and that routes and checks may name it."""
        name = self._claim(part)
        if name is not None:
            self._receivers[name] = part

    def only_receiver(self) -> str | None:
        """The receiver's name, if there is exactly one."""
        return next(iter(self._receivers)) if len(self._receivers) == 1 else None

    def check_receiver(self, node: Block | Items, step: str | int, path: str) -> None:
        """Tell it when the receiver named there does not exist; ``path`` is that of ``node``."""
        name: Any = node[step]  # type: ignore[index]
        if not isinstance(name, str) or name in self._receivers or not self._complete:
            return
        hint = self._problems.suggest(name, self._receivers)
        message = f"unknown receiver {shown(name)}{hint}"
        self._problems.add(value_place(node, step), joined(path, [step]), message)

    def check(self) -> None:
        """Dependencies and receivers must exist, and no dependency leads in a circle."""
        if not self._complete:
            return
        for part in self._checks.values():
            self._check_receivers(part)
        edges = {name: self._dependencies(name, part) for name, part in self._checks.items()}
        for cycle in cycles(edges | self._known_edges()):
            self._tell_cycle(cycle)
        self._check_fallbacks()

    def _known_edges(self) -> dict[str, Sequence[str]]:
        """What the known checks depend on."""
        edges: dict[str, Sequence[str]] = {}
        for name, check in self._known.items():
            needed, told = check.depends_on, check.receivers
            if needed:
                edges[name] = needed
            if not all(other in self._checks or other in self._known for other in needed):
                raise OutdatedError
            if not all(receiver in self._receivers for receiver in told):
                raise OutdatedError
        return edges

    def check_part(self, part: Part) -> None:
        """Tell what a check depends on, or who it tells, that does not exist."""
        self._check_receivers(part)
        self._dependencies(str(part.block.get("name")), part)

    def _check_receivers(self, part: Part) -> None:
        names = part.block.get("receivers")
        if isinstance(names, Items):
            for index in range(len(names)):
                self.check_receiver(names, index, part.at("receivers"))

    def _check_fallbacks(self) -> None:
        """A fallback is a receiver, and none comes round to the one that it stands in for."""
        edges: dict[str, list[str]] = {}
        for name, part in self._receivers.items():
            other = part.block.get("fallback")
            edges[name] = [other] if isinstance(other, str) and other in self._receivers else []
            if isinstance(other, str):
                self.check_receiver(part.block, "fallback", part.path)
        for cycle in cycles(edges):
            block, path = self._receivers[cycle[0]].block, self._receivers[cycle[0]].at("fallback")
            message = f"receivers stand in for each other in a circle: {' → '.join(cycle)}"
            self._problems.add(value_place(block, "fallback"), path, message)

    def _claim(self, part: Part) -> str | None:
        """The name, if it is the first time that it is used."""
        name = part.block.get("name")
        if not isinstance(name, str):
            return None
        place = value_place(part.block, "name")
        first = self._names.setdefault(name, place)
        if first is place:
            return name
        if first is _NOWHERE:
            raise OutdatedError
        message = f"duplicate name {shown(name)}; first in {first.file}:{first.line}"
        self._problems.add(place, part.at("name"), message)
        return None

    def _dependencies(self, own: str, part: Part) -> list[str]:
        """The known checks that a check depends on; unknown ones are told."""
        names = part.block.get("depends_on")
        known = []
        for index, name in enumerate(names if isinstance(names, Items) else ()):
            if name in self._checks or name in self._known:
                known.append(name)
            elif isinstance(name, str):
                others = (word for word in self._checks if word != own)
                message = f"unknown check {shown(name)}{self._problems.suggest(name, others)}"
                path = f"{part.at('depends_on')}[{index}]"
                self._problems.add(value_place(part.block["depends_on"], index), path, message)
        return known

    def _tell_cycle(self, cycle: list[str]) -> None:
        if not self._known.keys().isdisjoint(cycle):
            raise OutdatedError
        part = self._checks[cycle[0]]
        names = part.block["depends_on"]
        index = names.index(cycle[1])
        chain = " → ".join(cycle)
        message = f"checks depend on each other in a circle: {chain}"
        self._problems.add(value_place(names, index), f"{part.at('depends_on')}[{index}]", message)
