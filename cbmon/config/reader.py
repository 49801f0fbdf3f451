"""YAML as far as a configuration needs it, with the place of every value.

Rule: built from libyaml's events with an own stack, so that depth, number of nodes and expansion
of aliases are bounded while reading. Duplicate keys, tags and scalars that readers disagree about
are refused; a wrong value is told and reading goes on, a broken file is told and reading ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from cbmon.config.nodes import Block, Items, Node, joined
from cbmon.config.problems import Place, Problems
from cbmon.config.scalars import resolve
from cbmon.config.variables import substitute
from cbmon.config.words import Substituted, clipped
from cbmon.errors import ConfigurationError

MAX_BYTES: Final = 32 << 20
MAX_NODES: Final = 2_000_000
"""Values in one file, counted as often as aliases repeat them."""
MAX_DEPTH: Final = 40

_MERGE: Final = "<<"

Dialect = Callable[[str, bool, str | None], object]
"""A scalar's text, whether it is plain, and its tag, to its value; ValueError refuses it."""


@dataclass(slots=True)
class Trail:
    """What reading a file found of it besides its values."""

    ties: list[int] = field(default_factory=list)
    """Lines, counted from 0, with an anchor or an alias."""
    nodes: int = 0
    """Values, counted as often as aliases repeat them."""


class _Abort(Exception):  # noqa: N818 - a signal inside this module, never seen outside
    """Reading cannot go on; the problem is already told."""


class _Frame:
    """A mapping or list that is being read."""

    __slots__ = ("anchor", "height", "key", "key_mark", "merges", "node", "weight")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: str | None = None
        self.key_mark: Any = None
        self.merges: list[Any] = []
        self.weight = 1
        self.height = 1


def require_libyaml() -> None:
    """ConfigurationError when PyYAML was built without libyaml."""
    if not yaml.__with_libyaml__:
        raise ConfigurationError(
            "PyYAML was installed without libyaml, which cbmon needs to read its configuration; "
            "install libyaml and PyYAML's binary wheel: pip install --force-reinstall pyyaml"
        )


def read_yaml(
    data: bytes,
    file: str,
    *,
    environ: Mapping[str, str],
    problems: Problems,
    dialect: Dialect | None = None,
    trail: Trail | None = None,
) -> Block | None:
    """The one mapping that the file holds, or None when it is empty or cannot be read.

    What is wrong goes to ``problems``; an empty file alone is not told. A ``dialect`` is for the
    files of other programs: it says what scalars mean, and nothing is replaced in them. What else
    there is to know is left in ``trail``.
    """
    require_libyaml()
    try:
        _check_bytes(data, file, problems)
        found = _Reader(data, file, environ, problems, dialect, trail=trail).read()
    except _Abort:
        return None
    return found if isinstance(found, Block) else None


def read_list(data: bytes, file: str, problems: Problems) -> Items | None:
    """The one list that a file of another program holds; its scalars stay text.

    The same bounds hold as for :func:`read_yaml`; what is wrong goes to ``problems``.
    """
    require_libyaml()
    try:
        _check_bytes(data, file, problems)
        reader = _Reader(data, file, {}, problems, lambda text, _plain, _tag: text)
        found = reader.read(Items, "expected a list of target groups")
    except _Abort:
        return None
    return found if isinstance(found, Items) else None


def _check_bytes(data: bytes, file: str, problems: Problems) -> None:
    if len(data) > MAX_BYTES:
        problems.add(Place(file, 1, 1), "", f"the file is larger than {MAX_BYTES >> 20} MiB")
        raise _Abort
    try:
        data.decode()
        bad, what = data.find(b"\0"), "a NUL byte"
    except UnicodeDecodeError as error:
        bad, what = error.start, f"byte 0x{data[error.start]:02x}"
    if bad >= 0:
        line = data.count(b"\n", 0, bad) + 1
        column = len(data[data.rfind(b"\n", 0, bad) + 1 : bad].decode(errors="replace")) + 1
        problems.add(Place(file, line, column), "", f"{what}; the file must be UTF-8 text")
        raise _Abort


class _Reader:
    def __init__(
        self,
        data: bytes,
        file: str,
        environ: Mapping[str, str],
        problems: Problems,
        dialect: Dialect | None,
        *,
        trail: Trail | None = None,
    ) -> None:
        self._text = data.removeprefix(b"\xef\xbb\xbf")
        self._file = file
        self._environ = environ
        self._problems = problems
        self._dialect = dialect
        self._trail = trail or Trail()
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._nodes = 0
        self._root: Any = None
        self._documents = 0

    def read(
        self,
        kind: type[Node] = Block,
        expected: str = "expected a mapping of sections such as checks:",
    ) -> Node | None:
        try:
            parser = yaml.CSafeLoader(self._text)
            try:
                self._consume(parser)
            finally:
                parser.dispose()
        except yaml.YAMLError as error:
            self._syntax_error(error)
        root = self._root
        if root is not None and not isinstance(root, kind):
            self._fail(Place(self._file, 1, 1), expected)
        return root

    def _consume(self, parser: Any) -> None:
        handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        next_event = parser.get_event
        while (event := next_event()) is not None:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._fail(self._place(event.start_mark), "a second document; one file holds one")

    def _open(self, event: Any) -> None:
        mark = event.start_mark
        if len(self._stack) >= MAX_DEPTH:
            self._fail(self._place(mark), f"nested deeper than {MAX_DEPTH} levels")
        if event.tag is not None:
            self._refuse_tag(event)
        is_map = type(event) is yaml.MappingStartEvent
        node: Node = Block(self._file, mark) if is_map else Items(self._file, mark)
        self._refuse_as_key(mark)
        self._stack.append(_Frame(node, event.anchor))

    def _close(self, _: Any) -> None:
        frame = self._stack.pop()
        if frame.merges:
            self._merge(frame)
        if frame.anchor is not None:
            self._trail.ties.append(frame.node.mark.line)
            self._anchors[frame.anchor] = (frame.node, frame.weight, frame.height)
        self._put(frame.node, frame.node.mark, frame.weight, frame.height)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        self._trail.ties.append(mark.line)
        self._refuse_as_key(mark)
        known = self._anchors.get(event.anchor)
        if known is None:
            inside = any(frame.anchor == event.anchor for frame in self._stack)
            why = "stands inside itself" if inside else "has no anchor before it"
            self._fail(self._place(mark), f"the alias *{clipped(event.anchor)} {why}")
        value, weight, height = known
        if len(self._stack) + height > MAX_DEPTH:
            self._fail(self._place(mark), f"nested deeper than {MAX_DEPTH} levels by aliases")
        self._put(value, mark, weight, height)

    def _scalar(self, event: Any) -> None:
        stack = self._stack
        if stack and stack[-1].key is None and type(stack[-1].node) is Block:
            self._key(event, stack[-1])
            return
        if event.tag is not None and event.tag != "!" and self._dialect is None:
            self._refuse_tag(event)
        value = self._value(event)
        if event.anchor is not None:
            self._trail.ties.append(event.start_mark.line)
            self._anchors[event.anchor] = (value, 1, 0)
        self._put(value, event.start_mark, 1, 0)

    def _key(self, event: Any, frame: _Frame) -> None:
        if event.tag is not None and event.tag != "!":
            self._refuse_tag(event)
        key = event.value
        if not 0 < len(key) <= 1024:
            place = self._place(event.start_mark)
            self._fail(place, "a key has from 1 to 1024 characters")
        if key in frame.node and isinstance(frame.node, Block):
            first = frame.node.places[key][0]
            message = f'duplicate key "{clipped(key)}"; first on line {first.line + 1}'
            self._problems.add(self._place(event.start_mark), self._path(), message)
        frame.key, frame.key_mark = key, event.start_mark

    def _value(self, event: Any) -> Any:
        text = event.value
        plain = not event.style
        try:
            if self._dialect is not None:
                return self._dialect(text, plain, event.tag)
            if "$" in text:
                text = substitute(text, self._environ)
                if isinstance(text, Substituted):
                    return text
            return resolve(text) if plain else text
        except ValueError as error:
            self._problems.spoil(self._place(event.start_mark), self._path_of_value(), str(error))
            return text

    def _put(self, value: Any, mark: Any, weight: int, height: int) -> None:
        self._nodes += 1
        stack = self._stack
        if not stack:
            self._root = value
            self._trail.nodes = max(weight, self._nodes)
            return
        frame = stack[-1]
        frame.weight += weight
        if frame.weight > MAX_NODES or self._nodes > MAX_NODES:
            self._fail(self._place(mark), f"more than {MAX_NODES} values (aliases count as often)")
        if height >= frame.height:
            frame.height = height + 1
        node, key = frame.node, frame.key
        if type(node) is Items:
            node.append(value)
            node.places.append(mark)
        elif key == _MERGE:
            frame.merges.append((value, mark))
            frame.key = None
        elif key is not None:
            if key not in node:
                node[key] = value  # type: ignore[call-overload]
                node.places[key] = (frame.key_mark, mark)  # type: ignore[call-overload]
            frame.key = None

    def _merge(self, frame: _Frame) -> None:
        """What the keys do not say is taken from the merged mappings, the first one winning."""
        node = frame.node
        for value, mark in frame.merges:
            for source in value if type(value) is Items else [value]:
                if type(source) is not Block:
                    self._problems.add(
                        self._place(mark),
                        self._path_of_value(),
                        "<< merges a mapping or a list of mappings",
                    )
                    break
                for key, item in source.items():
                    if key not in node:
                        node[key] = item  # type: ignore[call-overload]
                        node.places[key] = source.places[key]  # type: ignore[call-overload]

    def _refuse_as_key(self, mark: Any) -> None:
        stack = self._stack
        if stack and type(stack[-1].node) is Block and stack[-1].key is None:
            hint = "; a value that begins with { or is ${NAME} inside { } needs quotes"
            self._fail(self._place(mark), f"a key must be text{hint}")

    def _refuse_tag(self, event: Any) -> None:
        tag = clipped(event.tag.replace("tag:yaml.org,2002:", "!!"))
        message = f"the tag {tag} is not supported; values have no tags here"
        self._problems.spoil(self._place(event.start_mark), self._path_of_value(), message)

    def _path_of_value(self) -> str:
        frame = self._stack[-1] if self._stack else None
        if frame is None:
            return ""
        step = len(frame.node) if type(frame.node) is Items else frame.key
        return joined(self._path(), [] if step is None else [step])

    def _path(self) -> str:
        """The path of the mapping or list that is being read."""
        steps: list[str | int] = []
        for frame in self._stack[:-1]:
            step = len(frame.node) if type(frame.node) is Items else frame.key
            steps.append("" if step is None else step)
        return joined("", steps)

    def _place(self, mark: Any) -> Place:
        return Place(self._file, mark.line + 1, mark.column + 1)

    def _fail(self, place: Place, message: str) -> NoReturn:
        self._problems.add(place, "", message)
        raise _Abort

    def _syntax_error(self, error: yaml.YAMLError) -> NoReturn:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None:
            self._fail(*self._reader_error(error))
        self._fail(self._place(mark), _syntax_message(error, self._line(mark.line)))

    def _reader_error(self, error: yaml.YAMLError) -> tuple[Place, str]:
        text = self._text.decode()
        bad = re.search(
            r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff\x80-\x84\x86-\x9f]", text
        )
        if bad is None:
            return Place(self._file, 1, 1), f"not YAML: {clipped(str(error))}"
        before = text[: bad.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        what = f"the control character U+{ord(bad[0]):04X} is not allowed in YAML"
        return Place(self._file, line, column), what

    def _line(self, number: int) -> str:
        lines = self._text.split(b"\n", number + 1)
        return lines[number].decode() if 0 <= number < len(lines) else ""


def _syntax_message(error: Any, line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return "a tab indents this line; YAML is indented with spaces"
    problem = error.problem or "not YAML"
    context = f" {error.context}" if error.context else ""
    if "${" in line:
        return f"{problem}{context}; inside {{ }} and [ ] a ${{NAME}} needs quotes"
    if "mapping values are not allowed" in problem:
        return 'a ": " inside a value, or a wrong indentation; quote the value if it holds a ": "'
    return f"{problem}{context}"
