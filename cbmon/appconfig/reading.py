"""From files to entries, or to everything that is wrong with them.

Rule: a directory is all its ``*.yml`` and ``*.yaml`` in the order of their names. A file is
either one breaker (it has a ``name``) or the sections ``defaults``, ``templates``,
``environments`` and ``breakers``. Every file is read, whatever is wrong with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cbmon.appconfig import keys
from cbmon.appconfig.layers import Layer, LayerReader
from cbmon.config.nodes import Block, Items, joined, key_place, place_of, value_place
from cbmon.config.problems import Place, Problems
from cbmon.config.reader import MAX_BYTES, read_yaml
from cbmon.config.words import shown

SECTIONS: Final = ("defaults", "templates", "environments", "breakers")
MAX_FILES: Final = 1000


@dataclass(slots=True, kw_only=True)
class Entry:
    """One breaker as it was written."""

    name: str
    place: tuple[Place, str]
    layer: Layer
    environments: dict[str, Layer] = field(default_factory=dict)
    only_in: tuple[str, ...] | None = None
    only_in_place: tuple[Place, str] | None = None


@dataclass(slots=True)
class Parts:
    """Everything that the files say."""

    defaults: Layer = field(default_factory=Layer)
    templates: dict[str, tuple[str, Layer, tuple[Place, str]]] = field(default_factory=dict)
    environments: dict[str, Layer] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    refused: list[Entry] = field(default_factory=list)
    """Without a name, or with one that is taken: looked at all the same."""
    files: list[str] = field(default_factory=list)


def read_files(path: Path, environ: Mapping[str, str], problems: Problems) -> Parts:
    """All that a file, or the files of a directory, say."""
    reader = _Reader(environ, problems)
    for one in _files(path, problems):
        reader.file(one)
    return reader.parts


def read_text(data: bytes, name: str, environ: Mapping[str, str], problems: Problems) -> Parts:
    """The same for what is no file; ``name`` stands for it in messages."""
    reader = _Reader(environ, problems)
    reader.text(data, name)
    return reader.parts


def _files(path: Path, problems: Problems) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.iterdir() if one.suffix in {".yml", ".yaml"})
    if not found:
        problems.add(Place(str(path), 1, 1), "", "no *.yml or *.yaml is in this directory")
    if len(found) > MAX_FILES:
        problems.add(Place(str(path), 1, 1), "", f"more than {MAX_FILES} files")
    return found[:MAX_FILES]


class _Reader:
    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self.parts = Parts()
        self._environ = environ
        self._problems = problems
        self._layers = LayerReader(problems)

    def file(self, path: Path) -> None:
        name = str(path)
        try:
            with path.open("rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._problems.add(Place(name, 1, 1), "", f"the file cannot be read: {why}")
            return
        self.text(data, name)

    def text(self, data: bytes, name: str) -> None:
        self.parts.files.append(name)
        root = read_yaml(data, name, environ=self._environ, problems=self._problems)
        if root is None:
            return
        if "name" in root:
            self._entry(root, "")
        else:
            self._sections(root)

    def _sections(self, root: Block) -> None:
        for key in root:
            if key not in SECTIONS and not key.startswith("x-"):
                hint = self._problems.suggest(key, (*SECTIONS, "name"))
                message = f"unknown key {shown(key)}{hint}"
                self._problems.add(key_place(root, key), "", message)
        if (block := self._mapping(root, "defaults", "")) is not None:
            self.parts.defaults = self._layers.read(block, "defaults", keys.LAYER).over(
                self.parts.defaults
            )
        for name, block, path in self._named(root, "templates", ""):
            self._template(name, block, path)
        for name, block, path in self._named(root, "environments", ""):
            layer = self._layers.read(block, path, keys.LAYER)
            self.parts.environments[name] = layer.over(self.parts.environments.get(name, Layer()))
        self._entries(root)

    def _entries(self, root: Block) -> None:
        value = root.get("breakers")
        if value is None:
            return
        if not isinstance(value, Items):
            message = f"expected a list, got {shown(value)}"
            self._problems.add(value_place(root, "breakers"), "breakers", message)
            return
        for index, block in enumerate(value):
            path = f"breakers[{index}]"
            if isinstance(block, Block):
                self._entry(block, path)
            else:
                message = f"expected a mapping, got {shown(block)}"
                self._problems.add(value_place(value, index), path, message)

    def _template(self, name: str, block: Block, path: str) -> None:
        where = (place_of(block), path)
        if name in self.parts.templates:
            self._problems.add(*where, f"the template {shown(name)} is there already")
            return
        layer = self._layers.read(block, path, ("base", "timeout_seconds", *keys.POLICY))
        base = block.get("base", "conservative")
        if not isinstance(base, str):
            place, at = value_place(block, "base"), joined(path, ["base"])
            self._problems.add(place, at, f"expected the name of a template, got {shown(base)}")
            base = "conservative"
        self.parts.templates[name] = (base, layer, where)

    def _entry(self, block: Block, path: str) -> None:
        layer = self._layers.read(block, path, keys.ENTRY)
        name = self._name(block, path)
        entry = Entry(name=name, place=(place_of(block), path), layer=layer)
        for environment, inner, at in self._named(block, "environments", path):
            entry.environments[environment] = self._layers.read(inner, at, keys.LAYER)
        if "only_in" in block:
            entry.only_in_place = (value_place(block, "only_in"), joined(path, ["only_in"]))
            entry.only_in = self._parsed(keys.names, block, "only_in", path)
        first = self.parts.entries.get(name)
        if not name or first is not None:
            self.parts.refused.append(entry)
        if not name:
            return
        if first is not None:
            place = first.place[0]
            message = f"{shown(name)} is in {place.file}:{place.line} already"
            self._problems.add(value_place(block, "name"), joined(path, ["name"]), message)
            return
        self.parts.entries[name] = entry

    def _name(self, block: Block, path: str) -> str:
        if "name" not in block:
            self._problems.add(place_of(block), path, '"name" is missing')
            return ""
        return self._parsed(keys.name, block, "name", path) or ""

    def _parsed(self, parser: keys.Parser, block: Block, key: str, path: str) -> Any:
        try:
            return parser(block[key])
        except ValueError as error:
            self._problems.add(value_place(block, key), joined(path, [key]), str(error))
            return None

    def _named(self, parent: Block, key: str, path: str) -> list[tuple[str, Block, str]]:
        """The mappings under the names of a section, with their paths."""
        section = self._mapping(parent, key, path)
        found = []
        for name in section or {}:
            at = joined(path, [key, name])
            block = section[name] if section is not None else None
            if isinstance(block, Block):
                found.append((name, block, at))
            elif block is not None and section is not None:
                message = f"expected a mapping, got {shown(block)}"
                self._problems.add(value_place(section, name), at, message)
        return found

    def _mapping(self, parent: Block, key: str, path: str) -> Block | None:
        value = parent.get(key)
        if value is None or isinstance(value, Block):
            return value
        message = f"expected a mapping, got {shown(value)}"
        self._problems.add(value_place(parent, key), joined(path, [key]), message)
        return None
