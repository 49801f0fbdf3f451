"""Texts of one's own: jinja2, without what could do harm or take long.

Rule: a template only looks at plain values. It calls nothing, defines nothing, builds no text out
of texts but by writing it, and what it writes is counted; so its time and its size are bounded by
what is allowed here, whatever it says. Values are escaped for the channel, its own words are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from jinja2 import TemplateError, meta, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import ChainableUndefined, Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_SOURCE: Final = 16 * 1024
LONGEST_VALUE: Final = 256 * 1024
"""Characters that a filter may make of its value."""
DEEPEST: Final = 40
"""Levels of what stands in what; compiling takes the square of it."""
MOST_STEPS: Final = 10_000
"""Values written and rounds of loops, altogether."""
LARGEST_NUMBER: Final = 1e15

Escape = Callable[[str], str]

_PLAIN: Final = (
    *("capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items"),
    *("last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "select"),
    *("selectattr", "sort", "title", "trim", "truncate", "unique", "upper"),
)
_ALLOWED: Final = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign),
    *(nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Keyword),
    *(nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.CondExpr),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    *(nodes.List, nodes.Tuple),
)
_STEP: Final = "_step"
_WRITER: Final = "_writer"


class BadTemplateError(ValueError):
    """A template cannot be used, or could not be rendered; its text says why."""


class _Writer:
    """Counts the steps of one rendering."""

    def __init__(self, escape: Escape) -> None:
        self.escape = escape
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SecurityError(f"it takes more than {MOST_STEPS} steps")


class _Environment(ImmutableSandboxedEnvironment):
    """Numbers are for calculating, and small."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The result for two numbers; SecurityError for anything else."""
        for value in (left, right):
            if not isinstance(value, int | float) or abs(value) > LARGEST_NUMBER:
                raise SecurityError(f"{operator} is for numbers up to {LARGEST_NUMBER:g}")
        return super().call_binop(context, operator, left, right)


class Template:
    """A template that has been checked; equal to another of the same text."""

    def __init__(self, source: str, known: Mapping[str, Any]) -> None:
        """BadTemplateError if it cannot be used; ``known`` has the names that it may use."""
        self.source = source
        if len(source) > LONGEST_SOURCE:
            raise BadTemplateError(f"it is longer than {LONGEST_SOURCE} characters")
        try:
            tree = _ENVIRONMENT.parse(source)
            _check(tree, known)
            for loop in list(tree.find_all(nodes.For)):
                step = nodes.Output([nodes.Name(_STEP, "load")])
                step.set_lineno(loop.lineno)
                step.set_environment(_ENVIRONMENT)
                loop.body.insert(0, step)
            self._template = _ENVIRONMENT.from_string(tree)
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise BadTemplateError(f"{f'line {line}: ' if line else ''}{error.message}") from None
        except (RecursionError, SyntaxError):
            raise BadTemplateError("it is nested too deeply") from None

    def render(self, values: Mapping[str, Any], escape: Escape, limit: int) -> str:
        """The text, at most ``limit`` characters; BadTemplateError says why there is none."""
        own = {_WRITER: _Writer(escape), _STEP: _STEP_TAKEN}
        try:
            return "".join(_up_to(limit, self._template.generate({**values, **own})))
        except TemplateError as error:
            raise BadTemplateError(str(error.message)) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            raise BadTemplateError(f"{type(error).__name__}: {error}") from None


def _up_to(limit: int, pieces: Iterable[str]) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > limit:
            raise BadTemplateError(f"its text is longer than {limit} characters")
        yield piece


def _check(tree: nodes.Template, known: Mapping[str, Any]) -> None:
    if _depth(tree) > DEEPEST:
        raise BadTemplateError("it is nested too deeply")
    for node in tree.find_all(nodes.Node):
        what = type(node).__name__.lower()
        if not isinstance(node, _ALLOWED):
            raise BadTemplateError(f"line {node.lineno}: {what} is not available in templates")
        if isinstance(node, nodes.For) and (node.recursive or node.test is not None):
            raise BadTemplateError(f"line {node.lineno}: no condition here; use if inside")
        if isinstance(node, nodes.List | nodes.Tuple) and not _is_fixed(node):
            raise BadTemplateError(f"line {node.lineno}: a list may only hold fixed values")
    if unknown := sorted(meta.find_undeclared_variables(tree) - known.keys()):
        near = get_close_matches(unknown[0], known, n=1)
        names = ", ".join(sorted(known))
        hint = f'did you mean "{near[0]}"?' if near else f"known are {names}"
        raise BadTemplateError(f'"{unknown[0]}" is not known; {hint}')


def _depth(node: nodes.Node) -> int:
    return 1 + max(map(_depth, node.iter_child_nodes()), default=0)


def _is_fixed(node: nodes.List | nodes.Tuple) -> bool:
    """Lists of lists of texts could grow beyond all bounds when they are written."""
    names = isinstance(node, nodes.Tuple) and node.ctx == "store"
    return all(isinstance(item, nodes.Name if names else nodes.Const) for item in node.items)


@pass_context
def _written(context: Context, value: Any) -> str:
    """What stands for a value in the text."""
    writer = context[_WRITER]
    writer.step()
    if value is _STEP_TAKEN or value is None:
        return ""
    if isinstance(value, ChainableUndefined):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        escaped: str = writer.escape(str(value))
        return escaped
    raise SecurityError(f"a {type(value).__name__} is not text; use join, tojson or a loop")


class _StepTaken:
    """Marks a round of a loop."""


_STEP_TAKEN: Final = _StepTaken()


def _tojson(value: Any) -> str:
    return _bounded(json.dumps(value, default=_listed, ensure_ascii=False))


def _listed(value: Any) -> Any:
    if isinstance(value, ChainableUndefined):
        return None
    if isinstance(value, Iterator):
        return list(value)
    raise SecurityError(f"a {type(value).__name__} cannot be JSON")


def _join(value: Any, between: str = ", ", attribute: str | None = None) -> str:
    texts = [one.get(attribute, "") if attribute else one for one in value]
    if not all(isinstance(one, str | int | float) for one in texts):
        raise SecurityError("join is for a list of texts")
    if sum(len(str(one)) + len(between) for one in texts) > LONGEST_VALUE:
        raise SecurityError("a value is too long")
    return between.join(str(one) for one in texts)


def _round(value: Any, digits: int = 0) -> float:
    return round(float(value), min(max(int(digits), 0), 9))


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter; one that makes too much of its value fails."""

    def limited(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        return _bounded(made) if isinstance(made, str) else made

    for mark in ("jinja_pass_arg", "jinja_async_variant"):
        if hasattr(function, mark):
            setattr(limited, mark, getattr(function, mark))
    return limited


def _bounded(text: str) -> str:
    if len(text) > LONGEST_VALUE:
        raise SecurityError("a value is too long")
    return text


def _made() -> _Environment:
    made = _Environment(
        undefined=ChainableUndefined,
        finalize=_written,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    made.globals.clear()
    own = {"join": _join, "round": _round, "tojson": _tojson}
    made.filters.clear()
    made.filters.update({name: _limited(FILTERS[name]) for name in _PLAIN})
    made.filters.update(own)
    return made


_ENVIRONMENT: Final = _made()
