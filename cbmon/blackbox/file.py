"""Module files: read, judged as a whole, every problem with its place.

Rule: a file is taken whole or not at all. A duplicate key, an unknown key, an empty file and a
timeout without unit are refused, as blackbox_exporter does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbmon.blackbox.modules import Module
from cbmon.blackbox.prober import PROBERS, prober
from cbmon.blackbox.scalars import scalar
from cbmon.config.nodes import Block, Items, key_place, value_place
from cbmon.config.problems import Place, Problems
from cbmon.config.reader import read_yaml
from cbmon.config.translate import tell_key
from cbmon.config.validation import Part, Validator
from cbmon.config.words import kind


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """The modules of one file by name."""

    path: Path
    modules: Mapping[str, Module] = field(default_factory=dict)


def load_modules(path: Path) -> ModuleFile:
    """The modules of a file; ConfigError says everything that is wrong with it."""
    problems = Problems()
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.add(Place(str(path), 1, 1), "", f"cannot be read: {error.strerror}")
        data = b""
    else:
        if not data.strip():
            problems.add(Place(str(path), 1, 1), "", "the file is empty; expected modules:")
    problems.check()
    modules = parse_modules(data, str(path), problems)
    for name in {module.prober for module in modules.values()} & PROBERS.keys():
        prober(name)  # imported now, so that the first probe is not late
    return ModuleFile(path, modules)


def parse_modules(data: bytes, name: str, problems: Problems) -> dict[str, Module]:
    """The modules in the text of a file; ConfigError says everything that is wrong with it."""
    root = read_yaml(data, name, environ={}, problems=problems, dialect=scalar)
    problems.check()
    if root is None:
        problems.add(Place(name, 1, 1), "", "the file is empty; expected modules:")
        problems.check()
        return {}
    found = _modules(root, problems)
    problems.check()
    return found


def _modules(root: Block, problems: Problems) -> dict[str, Module]:
    for key in root:
        if key != "modules":
            tell_key(root, key, path="", problems=problems, known=["modules"])
    block = root.get("modules")
    if block is None:
        return {}
    if not isinstance(block, Block):
        problems.add(
            value_place(root, "modules"), "modules", f"expected a mapping, got {kind(block)}"
        )
        return {}
    validator = Validator(problems)
    found = {}
    for name, value in block.items():
        part = _part(block, name, value, problems)
        module = part and validator.validate(Module, part, data=_given(part.block))
        if module:
            found[name] = module
    return found


def _part(block: Block, name: str, value: object, problems: Problems) -> Part | None:
    path = Part(block, "modules", Path()).at(name)
    if value is None:
        return Part(Block(block.file, block.places[name][1]), path, Path())
    if isinstance(value, Block):
        return Part(value, path, Path())
    problems.add(key_place(block, name), path, f"expected a mapping, got {kind(value)}")
    return None


def _given(value: Any) -> Any:
    """Without keys that have no value: they stand for the default."""
    if isinstance(value, Block):
        return {key: _given(one) for key, one in value.items() if one is not None}
    return [_given(one) for one in value] if isinstance(value, Items) else value
