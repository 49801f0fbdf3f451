"""CEL expressions on JSON bodies.

Rule: they need the extra ``cel``; without it a module that has one loads, and its probe fails.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
from typing import Any

from cbmon.blackbox.modules import HttpModule
from cbmon.errors import MissingExtraError


def used(options: HttpModule) -> bool:
    """Whether the module has an expression."""
    return not (
        options.fail_if_body_json_matches_cel is None
        and options.fail_if_body_json_not_matches_cel is None
    )


def trouble(options: HttpModule, text: bytes) -> str | None:
    """Why the body is not a good one; None if it is. MissingExtraError without the package."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "Error unmarshalling HTTP body to JSON"
    for expression, bad in (
        (options.fail_if_body_json_matches_cel, True),
        (options.fail_if_body_json_not_matches_cel, False),
    ):
        if expression is None:
            continue
        value = _evaluated(expression, body)
        if isinstance(value, str):
            return value
        if value is bad:
            how = "matched" if bad else "did not match"
            return f"Body {how} CEL expression {expression}"
    return None


def _evaluated(expression: str, body: Any) -> bool | str:
    """What the expression says of the body, or what is wrong with it."""
    celpy = _celpy()
    errors = (celpy.CELEvalError, celpy.CELParseError, RecursionError, ValueError, TypeError)
    try:
        value = _program(expression).evaluate({"body": celpy.json_to_cel(body)})
    except errors as error:
        return f"Error evaluating CEL expression: {error.args[0] if error.args else error}"
    is_flag = isinstance(value, celpy.celtypes.BoolType)
    return bool(value) if is_flag else "CEL evaluation result is not a boolean"


@lru_cache(maxsize=256)
def _program(expression: str) -> Any:
    environment = _celpy().Environment()
    return environment.program(environment.compile(expression))


def _celpy() -> Any:
    try:
        return import_module("celpy")
    except ImportError as error:
        raise MissingExtraError("fail_if_body_json_matches_cel", "cel") from error
