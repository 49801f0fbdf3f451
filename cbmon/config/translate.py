"""Validation errors in the user's words, at the user's place.

Rule: says what was expected and what was got, in YAML's terms; never the validator's jargon,
never a secret.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cbmon.config.nodes import Block, Node, Step, follow, joined, key_place
from cbmon.config.problems import Problems
from cbmon.config.units import format_duration
from cbmon.config.words import Substituted, choices, clipped, kind, shown, suggestion

_EXPECTED: Final[dict[str, str]] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "none_required": "nothing",
}
_BOUNDS: Final[dict[str, tuple[str, str]]] = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was validated: the data, the model, and the path of the data in its file.

    ``known`` are keys that may stand beside the model's own.
    """

    root: Node
    model: type[BaseModel]
    path: str
    known: Iterable[str] = ()


def tell(error: ValidationError, subject: Subject, problems: Problems) -> None:
    """Add every error of a validation to the problems."""
    unions: dict[tuple[Step, ...], list[ErrorDetails]] = defaultdict(list)
    for detail in error.errors(include_url=False):
        steps, _, value = follow(subject.root, detail["loc"])
        if _is_consequence(detail, value):
            continue
        if detail["type"] == "extra_forbidden":
            _unknown_key(detail, subject, problems)
        elif len(steps) < len(detail["loc"]) and detail["type"] in _EXPECTED:
            unions[tuple(steps)].append(detail)
        else:
            _tell_one(detail, steps, subject, problems)
    for union, details in unions.items():
        _, place, value = follow(subject.root, union)
        problems.add(place, joined(subject.path, union), _union_message(details, value))


def _is_consequence(detail: ErrorDetails, value: object) -> bool:
    """A list counts as too short when only its items are wrong."""
    if detail["type"] != "too_short" or not isinstance(value, list):
        return False
    return len(value) >= int(detail["ctx"]["min_length"])


def _tell_one(
    detail: ErrorDetails, steps: list[Step], subject: Subject, problems: Problems
) -> None:
    at = detail.get("ctx", {}).get("at", ())
    taken, place, value = follow(subject.root, [*steps, *at])
    if detail["type"] == "missing":
        message = f'"{clipped(str(detail["loc"][-1]))}" is missing'
    else:
        message = _message(detail, value)
    problems.add(place, joined(subject.path, taken), message)


def tell_key(
    entry: Block, key: str, *, path: str, problems: Problems, known: Iterable[str]
) -> None:
    """Add that a key is not known."""
    hint = problems.suggest(key, (word for word in known if word not in entry))
    message = f'unknown key "{clipped(key)}"{hint}'
    problems.add(key_place(entry, key), path, message)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a model as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _unknown_key(detail: ErrorDetails, subject: Subject, problems: Problems) -> None:
    *outer, key = detail["loc"]
    steps, place, value = follow(subject.root, outer)
    path = joined(subject.path, steps)
    words = [word for found in _models_at(subject.model, outer) for word in keys_of(found)]
    if not steps:
        words += subject.known
    if isinstance(value, Block):
        tell_key(value, str(key), path=path, problems=problems, known=words)
    else:
        problems.add(place, path, f'unknown key "{clipped(str(key))}"')


def _models_at(model: type[BaseModel], steps: Sequence[Step]) -> list[type[BaseModel]]:
    """The models that may stand where the steps lead."""
    found = [model]
    for step in steps:
        fields = [
            field.annotation
            for one in found
            for name, field in one.model_fields.items()
            if (field.alias or name) == step
        ]
        if fields:
            found = [inner for annotation in fields for inner in _models_in(annotation)]
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in get_args(annotation) for inner in _models_in(part)]


def _message(detail: ErrorDetails, value: object) -> str:
    context = detail.get("ctx", {})
    name = detail["type"]
    if name in _EXPECTED:
        return _expected([_EXPECTED[name]], value)
    if name in _BOUNDS:
        key, words = _BOUNDS[name]
        return f"expected {words} {_bound(context[key], value)}, got {shown(value)}"
    if name in {"too_short", "too_long"}:
        return _count(name, context, value)
    if name in {"literal_error", "enum"}:
        return _choice(str(context["expected"]), value)
    return _own_words(detail, value)


def _own_words(detail: ErrorDetails, value: object) -> str:
    """The message of a validator, cbmon's or pydantic's."""
    context = detail.get("ctx", {})
    text = str(context["error"]) if detail["type"] == "value_error" else detail["msg"]
    if detail["type"] not in {"cbmon", "value_error"}:
        text = text[0].lower() + text[1:].removesuffix(".")
    if isinstance(value, Substituted):
        text = text.partition(", got ")[0]
    if any(secret in text for secret in _substituted(value)):
        return "what a variable stands for is not allowed here"
    if text.startswith("expected") and ", got" not in text and "(not shown" not in text:
        return f"{text}, got {kind(value)}"
    return text


def _substituted(value: object) -> Iterator[str]:
    """What came from the environment in a value, if it is long enough to be recognised."""
    if isinstance(value, Substituted):
        yield from (part for part in value.values if len(part) > 2)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _substituted(item)


def _union_message(details: Sequence[ErrorDetails], value: object) -> str:
    words = dict.fromkeys(_EXPECTED[detail["type"]] for detail in details)
    return _expected(list(words), value)


def _expected(words: Sequence[str], value: object) -> str:
    message = f"expected {' or '.join(words)}, got {kind(value)}"
    if "text" in words and isinstance(value, bool | int | float):
        return f"{message}; put it in quotes"
    if "a list" in words and isinstance(value, str) and value:
        return f"{message}; write [{clipped(value)}]"
    return message


def _bound(bound: Any, value: object) -> str:
    """A bound of a duration is written as one."""
    is_duration = isinstance(value, str) and value[-1:] in {"s", "m", "h", "d"}
    return format_duration(float(bound)) if is_duration else shown(bound)


def _choice(expected: str, value: object) -> str:
    words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(", ")]
    hint = suggestion(value, words) if isinstance(value, str) else ""
    return f"expected {choices(words)}, got {shown(value)}{hint}"


def _count(name: str, context: dict[str, Any], value: object) -> str:
    few = name == "too_short"
    limit = context["min_length" if few else "max_length"]
    noun = "item" if limit == 1 else "items"
    got = len(value) if isinstance(value, list | dict) else 0
    return f"expected at {'least' if few else 'most'} {limit} {noun}, got {got}"
