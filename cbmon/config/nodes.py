"""Mappings and lists that remember where they were written.

Rule: they are a dict and a list to everybody else; places are kept beside the values, as the
parser's own marks, and looked up only when there is something to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from cbmon.config.problems import Place

Step = str | int


class Block(dict[str, Any]):
    """A mapping of a file. ``places`` has the marks of each key and of its value."""

    __slots__ = ("file", "mark", "places")

    def __init__(self, file: str, mark: Any) -> None:
        super().__init__()
        self.file = file
        self.mark = mark
        self.places: dict[str, tuple[Any, Any]] = {}


class Items(list[Any]):
    """A list of a file. ``places`` has the mark of each item."""

    __slots__ = ("file", "mark", "places")

    def __init__(self, file: str, mark: Any) -> None:
        super().__init__()
        self.file = file
        self.mark = mark
        self.places: list[Any] = []


Node = Block | Items


def place_of(node: Node) -> Place:
    """Where the mapping or list begins."""
    return _place(node.file, node.mark)


def value_place(node: Node, step: Step) -> Place:
    """Where the value of a key or index begins; the node's own place if it has none."""
    if isinstance(node, Block):
        marks = node.places.get(str(step))
        return _place(node.file, marks[1] if marks else node.mark)
    inside = isinstance(step, int) and step < len(node.places)
    return _place(node.file, node.places[int(step)] if inside else node.mark)


def key_place(node: Block, key: str) -> Place:
    """Where a key begins; the mapping's own place if it has no such key."""
    marks = node.places.get(key)
    return _place(node.file, marks[0] if marks else node.mark)


def follow(root: Node, steps: Iterable[Step]) -> tuple[list[Step], Place, Any]:
    """Walk down as far as the steps exist: the steps taken, the place and the value there.

    A step that is not in the data (the name of a branch that a validator tried, or a key that is
    missing) is left out.
    """
    taken: list[Step] = []
    place, value = place_of(root), root
    for step in steps:
        if not _has(value, step):
            continue
        place = value_place(value, step)
        value = cast("Any", value)[step]
        taken.append(step)
    return taken, place, value


def joined(path: str, steps: Sequence[Step]) -> str:
    """``checks[0]`` and (``http``, ``url``) give ``checks[0].http.url``."""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            plain = step.replace("_", "").replace("-", "").isalnum()
            name = step if plain else f'"{step[:60]}"'
            path += f".{name}" if path else name
    return path


def _has(value: Any, step: Step) -> bool:
    if isinstance(value, Block):
        return step in value
    return isinstance(value, Items) and isinstance(step, int) and 0 <= step < len(value)


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1)
