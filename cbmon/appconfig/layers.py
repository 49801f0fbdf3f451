"""One mapping of settings: read with its places, and laid over another.

Rule: what is wrong is told where it stands, and everything else is read all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbmon.appconfig import keys
from cbmon.breaker import BreakerPolicy
from cbmon.breaker.validation import LONGEST
from cbmon.config.nodes import Block, joined, key_place, place_of, value_place
from cbmon.config.problems import Place, Problems
from cbmon.config.words import shown


@dataclass(slots=True)
class Layer:
    """Settings that were written together. ``places`` has where each policy field stands."""

    template: str | None = None
    template_place: tuple[Place, str] | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[Place, str]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, dict[str, Any]] = field(default_factory=dict)

    def over(self, below: Layer) -> Layer:
        """This one laid over ``below``: what both say, this one says."""
        nested = {name: dict(values) for name, values in below.nested.items()}
        for name, values in self.nested.items():
            nested[name] = {**nested.get(name, {}), **values}
        return Layer(
            template=self.template or below.template,
            template_place=self.template_place or below.template_place,
            policy={**below.policy, **self.policy},
            places={**below.places, **self.places},
            settings={**below.settings, **self.settings},
            nested=nested,
        )


class LayerReader:
    """Reads layers; ``problems`` gets what is wrong."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def read(self, block: Block, path: str, known: Iterable[str]) -> Layer:
        """The settings of a mapping; keys that are not in ``known`` are told."""
        layer, known = Layer(), tuple(known)
        for key, value in block.items():
            if key not in known:
                self._unknown(block, key, path, known)
            elif key == "template":
                self._template(layer, block, path)
            elif key in keys.POLICY or key == "timeout_seconds":
                self._field(layer, block, key, path)
            elif key in keys.SETTINGS:
                self._setting(layer.settings, block, key, keys.SETTINGS[key], path)
            elif key in keys.NESTED:
                self._nested(layer, block, key, value, path)
        return layer

    def _template(self, layer: Layer, block: Block, path: str) -> None:
        found: dict[str, Any] = {}
        self._setting(found, block, "template", keys.name, path)
        layer.template = found.get("template")
        layer.template_place = (value_place(block, "template"), joined(path, ["template"]))

    def _field(self, layer: Layer, block: Block, key: str, path: str) -> None:
        name = "recovery_timeout" if key == "timeout_seconds" else key
        where = (value_place(block, key), joined(path, [key]))
        if name in layer.policy:
            self._problems.add(*where, "the same as recovery_timeout; keep one of them")
            return
        try:
            value = keys.POLICY[name](block[key])
            _possible(name, value)
        except ValueError as error:
            self._problems.add(*where, _in_yaml(str(error), name))
            return
        layer.policy[name] = value
        layer.places[name] = where

    def _nested(self, layer: Layer, block: Block, key: str, value: Any, path: str) -> None:
        at = joined(path, [key])
        if not isinstance(value, Block):
            message = f"expected a mapping, got {shown(value)}"
            self._problems.add(value_place(block, key), at, message)
            return
        found = layer.nested[key] = {}
        for name in value:
            if name not in keys.NESTED[key]:
                self._unknown(value, name, at, tuple(keys.NESTED[key]))
            else:
                self._setting(found, value, name, keys.NESTED[key][name], at)

    def _setting(
        self, into: dict[str, Any], block: Block, key: str, parser: keys.Parser, path: str
    ) -> None:
        try:
            into[key] = parser(block[key])
        except ValueError as error:
            self._problems.add(value_place(block, key), joined(path, [key]), str(error))

    def _unknown(self, block: Block, key: str, path: str, known: tuple[str, ...]) -> None:
        free = [word for word in known if word not in block]
        hint = keys.HINTS.get(key) or self._problems.suggest(key, free)
        self._problems.add(key_place(block, key), path, f'unknown key "{key[:60]}"{hint}')


def policy_of(
    base: Mapping[str, Any], layer: Layer, place: tuple[Place, str], problems: Problems
) -> BreakerPolicy:
    """The policy of a template's fields with the layer's over them; the default if impossible."""
    try:
        return BreakerPolicy(**{**base, **layer.policy})
    except ValueError as error:
        name, _, _ = str(error).partition(": ")
        where = layer.places.get(name, place)
        inside = name in layer.places
        problems.add(*where, _in_yaml(str(error), name if inside else ""))
        return BreakerPolicy()


def block_place(block: Block, path: str) -> tuple[Place, str]:
    """Where a mapping stands, for what concerns it as a whole."""
    return place_of(block), path


def _possible(name: str, value: Any) -> None:
    """ValueError for a value that no policy may have, whatever its other fields are."""
    longest = {"max_recovery_timeout": LONGEST} if name == "recovery_timeout" else {}
    companions: dict[str, dict[str, Any]] = {
        "max_recovery_timeout": {"recovery_timeout": 1e-9},
        "minimum_calls": {"window_size": 1_000_000},
        "window_size": {"minimum_calls": None},
        "success_threshold": {"half_open_max_calls": None},
        "adaptive_floor": {"adaptive_ceiling": 1.0},
        "adaptive_ceiling": {"adaptive_floor": 1e-9},
        "adaptive_latency_floor": {"adaptive_latency_ceiling": 1e9},
        "adaptive_latency_ceiling": {"adaptive_latency_floor": 1.0},
    }
    BreakerPolicy(**{**longest, **companions.get(name, {}), name: value})


def _in_yaml(message: str, name: str) -> str:
    if name:
        message = message.removeprefix(f"{name}: ")
    return message.replace(" or None", " or null").replace("None", "null")
