"""One part of a file against one model.

Rule: what is wrong is told with its place and path, and the part counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from cbmon.config.fields import Options
from cbmon.config.model import OptionsSource
from cbmon.config.nodes import Block, Items, joined, place_of, value_place
from cbmon.config.options import compact
from cbmon.config.problems import Problem, Problems
from cbmon.config.secrets import SecretFile
from cbmon.config.translate import Subject, tell
from cbmon.config.words import kind
from cbmon.errors import CbmonError

OptionsT = TypeVar("OptionsT", bound=Options)


@dataclass(frozen=True, slots=True)
class Part:
    """A mapping of a file: its data, its path there, and the directory of the file."""

    block: Block
    path: str
    directory: Path

    def at(self, key: str) -> str:
        """The path of the value of a key."""
        return joined(self.path, [key])


class Validator:
    """Validates parts of files, and imports each option model once."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._models: dict[tuple[str, str], type[Options] | str] = {}
        self._warned: dict[Path, Problem | None] = {}
        self._given: dict[frozenset[str], set[str]] = {}
        self.outside = 0
        """How often something outside of the configuration was looked at."""

    def warnings(self) -> tuple[Problem, ...]:
        """What is odd about the secret files of all parts, sorted by place."""
        return tuple(sorted(found for found in self._warned.values() if found is not None))

    def part(self, parent: Part, key: str) -> Part | None:
        """The mapping under a key; None when it is absent or, after telling, something else."""
        value = parent.block.get(key)
        if value is None:
            return None
        if isinstance(value, Block):
            return Part(value, parent.at(key), parent.directory)
        message = f"expected a mapping, got {kind(value)}"
        self._problems.add(value_place(parent.block, key), parent.at(key), message)
        return None

    def parts(self, parent: Part, key: str, places: Sequence[int] | None = None) -> list[Part]:
        """The mappings of the list under a key, without what is none, which is told.

        ``places`` are those of the items in the file, if some are left out.
        """
        value = parent.block.get(key)
        if value is None:
            return []
        if not isinstance(value, Items):
            message = f"expected a list, got {kind(value)}"
            self._problems.add(value_place(parent.block, key), parent.at(key), message)
            return []
        found = []
        above = parent.at(key)
        for index, item in enumerate(value):
            path = f"{above}[{index if places is None else places[index]}]"
            if isinstance(item, Block):
                found.append(Part(item, path, parent.directory))
            else:
                message = f"expected a mapping, got {kind(item)}"
                self._problems.add(value_place(value, index), path, message)
        return found

    def validate(
        self,
        model: type[OptionsT],
        part: Part,
        *,
        data: Mapping[str, Any] | None = None,
        known: Iterable[str] = (),
    ) -> OptionsT | None:
        """The part as an instance of the model, or None after telling.

        ``data`` is what is validated of it, if not all; ``known`` are keys besides the model's.
        """
        validator = model.__pydantic_validator__
        secret_files: list[SecretFile] = []
        context = {"directory": part.directory, "secret_files": secret_files}
        try:
            made: OptionsT = validator.validate_python(
                part.block if data is None else data, context=context
            )
        except ValidationError as error:
            subject = Subject(root=part.block, model=model, path=part.path, known=known)
            tell(error, subject, self._problems)
            return None
        for file in secret_files:
            self._look_at(file, part)
        return made

    def _look_at(self, file: SecretFile, part: Part) -> None:
        self.outside += 1
        if file.path in self._warned:
            return
        text, place = file.warning(), place_of(part.block)
        found = Problem(place.file, place.line, place.column, part.path, text) if text else None
        self._warned[file.path] = found

    def options(
        self, sources: Mapping[str, OptionsSource], family: str, key: str, part: Part
    ) -> Options | None:
        """The options under a type's key."""
        model = self._model(sources, family, key)
        if isinstance(model, str):
            self._problems.add(value_place(part.block, key), part.at(key), model)
            return None
        if part.block.get(key) is None:
            empty = Block(part.block.file, part.block.places[key][1])
            return self.validate(model, Part(empty, part.at(key), part.directory))
        inner = self.part(part, key)
        made = None if inner is None else self.validate(model, inner)
        return None if made is None else self._compact(made)

    def _compact(self, made: Options) -> Options:
        """Thousands of them take as little as they can. Those in which the same was given have one
        set that says so, which would be a quarter of a kilobyte each: it is never changed."""
        given = made.__pydantic_fields_set__
        shared = self._given.setdefault(frozenset(given), given)
        object.__setattr__(made, "__pydantic_fields_set__", shared)
        return compact(made)

    def _model(
        self, sources: Mapping[str, OptionsSource], family: str, key: str
    ) -> type[Options] | str:
        """The option model of a type, or why it cannot be had."""
        if (family, key) not in self._models:
            source = sources[key]
            try:
                model = source if isinstance(source, type) else source()
            except CbmonError as error:
                self._models[family, key] = str(error)
            else:
                self._models[family, key] = model
        return self._models[family, key]
