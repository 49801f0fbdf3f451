"""Breaker settings: the templates that are built in, and how a policy is put together.

Rule: a policy is a template's chain of bases, each saying what differs, and on top what the check
says. Its own rules are the engine's; here they only get a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbmon.breaker import BreakerPolicy
from cbmon.config.breakers import BreakerSettings, TemplateSettings
from cbmon.config.graph import cycles
from cbmon.config.nodes import Block, follow, joined
from cbmon.config.problems import Place, Problems
from cbmon.config.templates import BUILT_IN
from cbmon.config.words import shown

__all__ = ["BUILT_IN", "Policies", "Templates"]

Templates = Mapping[str, tuple[TemplateSettings, Block, str]]
"""Own templates: the settings, where they stand, and the path there."""


class Policies:
    """Makes the policies of one configuration; equal ones are one object."""

    def __init__(self, templates: Templates, problems: Problems, *, complete: bool = True) -> None:
        self._problems = problems
        self._complete = complete
        self._made: dict[tuple[Any, ...], BreakerPolicy | ValueError] = {}
        self._fields: dict[str, dict[str, Any]] = {
            name: dict(fields) for name, (_, fields) in BUILT_IN.items()
        }
        self.default = BreakerPolicy(**self._fields["conservative"])
        self._default_fields = self._fields["conservative"]
        self._resolve_templates(templates)

    def set_default(self, breaker: str | BreakerSettings, node: Block, path: str) -> None:
        """What checks get that say nothing, and what overrides without a template start from."""
        self.default = self.make(breaker, node, path)
        values = self._values(breaker)
        if values is not None and isinstance(self._policy(values), BreakerPolicy):
            self._default_fields = values

    def make(
        self, breaker: str | BreakerSettings | None, node: Block | None, path: str
    ) -> BreakerPolicy:
        """The policy that ``breaker`` means; the default one after telling what is wrong.

        ``node`` is the mapping that holds the key ``breaker``, and ``path`` its path.
        """
        if breaker is None or node is None:
            return self.default
        values = self._values(breaker)
        if values is None:
            self._tell_unknown(breaker, node, path)
            return self.default
        made = self._policy(values)
        if isinstance(made, ValueError):
            self._tell(made, node, ["breaker"], path)
            return self.default
        return made

    def _values(self, breaker: str | BreakerSettings) -> dict[str, Any] | None:
        if isinstance(breaker, str):
            return self._fields.get(breaker)
        if breaker.template is None:
            return {**self._default_fields, **breaker.given()}
        base = self._fields.get(breaker.template)
        return None if base is None else {**base, **breaker.given()}

    def _policy(self, values: dict[str, Any]) -> BreakerPolicy | ValueError:
        key = tuple(sorted(values.items()))
        if key not in self._made:
            try:
                self._made[key] = BreakerPolicy(**values)
            except ValueError as error:
                self._made[key] = error
        return self._made[key]

    def _resolve_templates(self, templates: Templates) -> None:
        bases = {name: (settings.base,) for name, (settings, _, _) in templates.items()}
        broken = self._tell_cycles(bases, templates)
        for name in templates:
            chain: list[str] = []
            step = name
            while step in templates and step not in broken and step not in self._fields:
                chain.append(step)
                step = bases[step][0]
            self._tell_unknown_base(step, chain, templates, broken)
            for link in reversed(chain):
                self._add(link, templates)

    def _add(self, name: str, templates: Templates) -> None:
        settings, node, path = templates[name]
        base = self._fields.get(settings.base, self._fields["conservative"])
        values = {**base, **settings.given()}
        made = self._policy(values)
        if isinstance(made, ValueError):
            self._tell(made, node, [], path)
            values = base
        self._fields[name] = values

    def _tell_cycles(self, bases: Mapping[str, tuple[str]], templates: Templates) -> set[str]:
        broken: set[str] = set()
        for cycle in cycles(bases):
            _, node, path = templates[cycle[0]]
            steps, place, _ = follow(node, ["base"])
            chain = " → ".join(cycle)
            self._problems.add(place, joined(path, steps), f"templates in a circle: {chain}")
            broken.update(cycle)
        for name in broken:
            self._fields[name] = self._fields["conservative"]
        return broken

    def _tell_unknown_base(
        self, base: str, chain: list[str], templates: Templates, broken: set[str]
    ) -> None:
        if not chain or base in self._fields or base in broken or not self._complete:
            return
        _, node, path = templates[chain[-1]]
        steps, place, _ = follow(node, ["base"])
        words = [*self._fields, *templates]
        message = f"unknown template {shown(base)}{self._problems.suggest(base, words)}"
        self._problems.add(place, joined(path, steps), message)

    def _tell_unknown(self, breaker: str | BreakerSettings, node: Block, path: str) -> None:
        if not self._complete:
            return
        name = breaker if isinstance(breaker, str) else str(breaker.template)
        steps, place, _ = follow(node, ["breaker", "template"])
        message = f"unknown template {shown(name)}{self._problems.suggest(name, self._fields)}"
        self._problems.add(place, joined(path, steps), message)

    def _tell(self, error: ValueError, node: Block, steps: list[str], path: str) -> None:
        """The engine's refusal, at the field it is about if that is written here."""
        field, _, reason = str(error).partition(": ")
        where, place, _ = _place_of_field(node, steps, field)
        text = reason.replace(" or None", " or null").replace("None", "null")
        here = bool(where) and where[-1] in {field, "timeout_seconds"}
        self._problems.add(place, joined(path, where), text if here else f"{field}: {text}")


def _place_of_field(node: Block, steps: list[str], field: str) -> tuple[list[Any], Place, Any]:
    names = ["timeout_seconds", field] if field == "recovery_timeout" else [field]
    found = [follow(node, [*steps, name]) for name in names]
    return max(found, key=lambda one: len(one[0]))
