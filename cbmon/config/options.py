"""The base of every group of options.

Rule: an option is described where it is defined; a value has one type (text is never taken for a
number, nor a number for text), and keys that nobody knows are refused.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from cbmon.config.strictness import strict_leaves

OptionsT = TypeVar("OptionsT", bound="Options")
_set: Final = object.__setattr__
"""Past the model, which is frozen for everybody else."""


class Options(BaseModel):
    """Base of every group of options: strict types, unknown keys refused, frozen, described.

    A field needs a description (TypeError at class definition otherwise). A field ``x_file`` of
    type :class:`SecretFile` beside a field ``x`` makes the two exclusive. ``one_of`` lists groups
    of fields of which exactly one must be given; a pair with ``_file`` counts as one field.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=False
    )
    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if not field.description:
                raise TypeError(f"{cls.__name__}.{name} has no description")
        first = object.__new__(cls)  # it lays down the names that compact ones share
        for name in cls.model_fields:
            _set(first, name, None)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return strict_leaves(handler(source))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        rules = [_one_of_schema(cls, group) for group in cls.one_of] + _pair_schemas(cls)
        if rules:
            handler.resolve_ref_schema(made)["allOf"] = rules
        return made

    @property
    def programs(self) -> tuple[str, ...]:
        """Paths of the programs that it starts: they must be in ``global.exec_allow``."""
        return ()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Options:
        """Itself: it is frozen, and so defaults are shared instead of copied for every check."""
        return self

    @model_validator(mode="after")
    def _check_groups(self) -> Options:
        given = self.model_fields_set
        for name in given:
            if name.endswith("_file") and name[:-5] in given:
                raise fault(f"{name[:-5]} and {name} exclude each other; keep one of them")
        for group in self.one_of:
            found = [name for name in group if name in given or f"{name}_file" in given]
            if len(found) > 1:
                raise fault(f"{' and '.join(found)} exclude each other; keep one of them")
            if not found:
                names = _members(type(self), group)
                raise fault(f"one of {', '.join(names)} is missing")
        return self


def compact(options: OptionsT) -> OptionsT:
    """The same options in less memory, for those of which there are thousands.

    pydantic gives each instance a dictionary of its own. Values that are assigned, in the order of
    the fields, share their names with all other instances; and what equals a default becomes it.
    """
    model = type(options)
    made, defaults = object.__new__(model), _defaults(model)
    for name, value in vars(options).items():
        default = defaults.get(name)
        same = value is not default and type(value) is type(default) and value == default
        _set(made, name, default if same else value)
    return _completed(made, options)


def loose(options: OptionsT) -> OptionsT:
    """The same options to serialise and throw away: compact ones keep the dictionary that they
    are asked for."""
    made = object.__new__(type(options))
    _set(made, "__dict__", {name: getattr(options, name) for name in type(options).model_fields})
    return _completed(made, options)


@cache
def _defaults(model: type[Options]) -> dict[str, Any]:
    return {name: field.default for name, field in model.model_fields.items()}


def _completed(made: OptionsT, options: OptionsT) -> OptionsT:
    """With what a model has besides its fields."""
    _set(made, "__pydantic_fields_set__", options.__pydantic_fields_set__)
    _set(made, "__pydantic_extra__", options.__pydantic_extra__)
    _set(made, "__pydantic_private__", options.__pydantic_private__)
    return made


def _members(model: type[Options], group: tuple[str, ...]) -> list[str]:
    """The options of a group, each with the one for its file."""
    pairs = (one for name in group for one in (name, f"{name}_file"))
    return [name for name in pairs if name in model.model_fields]


def _one_of_schema(model: type[Options], group: tuple[str, ...]) -> JsonSchemaValue:
    return {"oneOf": [{"required": [name]} for name in _members(model, group)]}


def _pair_schemas(model: type[Options]) -> list[JsonSchemaValue]:
    grouped = {name for group in model.one_of for name in group}
    names = [field.alias or name for name, field in model.model_fields.items()]
    return [
        {"not": {"required": [name, f"{name}_file"]}}
        for name in names
        if f"{name}_file" in names and name not in grouped
    ]


def fault(message: str, *at: str | int) -> PydanticCustomError:
    """An error for a validator to raise; ``at`` is the path to the culprit inside the model."""
    return PydanticCustomError("cbmon", "{message}", {"message": message, "at": at})
