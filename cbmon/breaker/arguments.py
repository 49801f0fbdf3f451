"""What the library asks of the arguments that it is given.

Rule: a wrong argument is refused where it is given, not where it is first used; the error says
its name, what was got, what was expected and, where one can be seen, the next step. A wrong type
is a TypeError, a wrong value a ValueError.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, NoReturn

from cbmon.breaker.states import State

LONGEST_NAME: Final = 300
"""Characters of a name: a host, a port and a database's name fit."""
_LONGEST_SHOWN: Final = 80


def check_name(value: object, field: str = "name") -> None:
    """A name is a label of metrics and a word in messages: 1 to 300 printable characters."""
    if not isinstance(value, str):
        refuse_type(field, value, "a string")
    if not value.strip() or len(value) > LONGEST_NAME or not value.isprintable():
        text = f"{field}: {shown(value)} is not allowed; expected 1 to {LONGEST_NAME} printable "
        raise ValueError(f"{text}characters that are not all blank")


def check_clock(value: object) -> None:
    """A clock is any object that tells both times."""
    for name in ("monotonic", "time"):
        if not callable(getattr(value, name, None)):
            refuse_type("clock", value, "an object with monotonic() and time(), in seconds")


def check_seed(value: object) -> None:
    """A seed is an int or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        refuse_type("seed", value, "an integer or None")


def check_called(value: object, field: str, like: str) -> None:
    """What is called and not awaited must be callable, and no coroutine function."""
    if not callable(value):
        raise TypeError(f"{field}: {shown(value)} is not callable; expected {like}")
    if is_coroutine_function(value):
        raise TypeError(
            f"{field}: {shown(value)} is a coroutine function, but nobody awaits it; expected "
            f"{like} as a plain function, which may start a task or fill a queue"
        )


def several(value: object, field: str, like: str) -> tuple[Any, ...]:
    """An iterable as a tuple; one alone is refused with a hint."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        hint = f"; did you mean [{shown(value)}]?" if value is not None else ""
        refuse_type(field, value, f"several {like}{hint}")
    return tuple(value)


def state_of(value: Any, field: str) -> State:
    """A state by its name."""
    try:
        return State(value)
    except ValueError:
        choices = ", ".join(State)
        raise ValueError(
            f"{field}: {shown(value)} is not allowed; expected one of {choices}"
        ) from None


def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> NoReturn:
    """TypeError for a keyword that there is not, with the one that was probably meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for who needs it

    name = min(names)
    close = get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise TypeError(f"{name!r} is no field of {what}{hint}")


def refuse_type(field: str, value: object, expected: str) -> NoReturn:
    """TypeError in the form of all others."""
    raise TypeError(f"{field}: {shown(value)} is not allowed; expected {expected}")


def is_coroutine_function(value: object) -> bool:
    """Whether calling it gives a coroutine; partials and callable objects are looked into."""
    while isinstance(value, partial):
        value = value.func
    return inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(
        getattr(value, "__call__", None)  # noqa: B004 - its kind is asked, not whether it is there
    )


def shown(value: object) -> str:
    """A value as an error shows it: bounded, and printable whatever it holds."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except Exception:  # noqa: BLE001 - somebody else's __repr__, or a number of 5,000 digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
