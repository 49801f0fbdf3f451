"""The keys of a breaker's entry, and what each may hold.

Rule: one table says what is known, how it is read and what it is called in a message. Values
arrive as the reader resolved them; text that came from a variable may hold a number.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, get_args

from cbmon.breaker.policy import Kind
from cbmon.config.units import parse_duration, parse_ratio
from cbmon.config.words import Substituted, choices, shown

Parser = Callable[[Any], Any]

_KINDS: Final = get_args(Kind)
_RULES: Final = ("error_rate", "throttling", "latency")


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected text, got {shown(value)}")
    return str(value)


def name(value: Any) -> str:
    """A name: printable, without outer blanks, at most 128 characters."""
    found = text(value)
    if len(found) > 128 or found != found.strip() or not found.isprintable():
        raise ValueError(f"expected a name of 1 to 128 printable characters, got {shown(value)}")
    return found


def whole(value: Any) -> int:
    """A whole number."""
    if isinstance(value, Substituted) and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"expected a whole number, got {shown(value)}")


def number(value: Any) -> float:
    """A number."""
    if isinstance(value, Substituted):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"expected a number, got {shown(value)}") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"expected a number, got {shown(value)}")


def flag(value: Any) -> bool:
    """True or false."""
    if isinstance(value, Substituted) and value in {"true", "false"}:
        return value == "true"
    if isinstance(value, bool):
        return value
    raise ValueError(f"expected true or false, got {shown(value)}")


def names(value: Any) -> tuple[str, ...]:
    """A list of different words."""
    found = tuple(name(one) for one in value) if isinstance(value, list) else None
    if found is None:
        raise ValueError(f"expected a list, got {shown(value)}")
    if len(set(found)) < len(found):
        raise ValueError("a word stands in the list twice")
    return found


def one_of(*allowed: str) -> Parser:
    """A word out of a closed set."""

    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"expected {choices(allowed)}, got {shown(value)}")
        return str(value)

    return parse


def many_of(*allowed: str) -> Parser:
    """A list of words out of a closed set."""
    parse = one_of(*allowed)
    return lambda value: tuple(parse(one) for one in names(value))


def optional(parser: Parser) -> Parser:
    """The same, or nothing."""
    return lambda value: None if value is None else parser(value)


def exceptions(value: Any) -> tuple[type[BaseException], ...]:
    """Exception classes by name: ``ConnectionError``, ``httpx.TransportError``.

    Classes themselves are taken as well, for settings that come from Python.
    """
    if isinstance(value, list) and all(isinstance(one, type) for one in value):
        return tuple(value)
    return tuple(_exception(one) for one in names(value))


def mapping(value: Any) -> Mapping[str, Any]:
    """Anything under keys."""
    if isinstance(value, dict):
        return dict(value)
    raise ValueError(f"expected a mapping, got {shown(value)}")


def anything(value: Any) -> Any:
    """Any value."""
    return value


def _exception(path: str) -> type[BaseException]:
    module, _, attribute = path.rpartition(".")
    try:
        found = (
            getattr(import_module(module), attribute) if module else getattr(builtins, attribute)
        )
    except (ImportError, AttributeError):
        raise ValueError(
            f"no exception is called {shown(path)}; expected one such as ConnectionError or "
            "package.module.SomeError"
        ) from None
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    raise ValueError(f"{shown(path)} is no exception class")


POLICY: Final[Mapping[str, Parser]] = {
    "kind": one_of(*_KINDS),
    "failure_threshold": whole,
    "failure_rate_threshold": parse_ratio,
    "minimum_calls": optional(whole),
    "window_size": whole,
    "window_seconds": parse_duration,
    "slow_call_seconds": optional(parse_duration),
    "slow_call_rate_threshold": parse_ratio,
    "recovery_timeout": parse_duration,
    "recovery_backoff": number,
    "max_recovery_timeout": optional(parse_duration),
    "recovery_jitter": parse_ratio,
    "half_open_max_calls": optional(whole),
    "success_threshold": optional(whole),
    "half_open_max_wait": optional(parse_duration),
    "call_timeout": optional(parse_duration),
    "auto_disable_enabled": flag,
    "max_failure_cycles": whole,
    "expected_exceptions": exceptions,
    "ignored_exceptions": exceptions,
    "gradual_return_seconds": optional(parse_duration),
    "adaptive_rules": many_of(*_RULES),
    "adaptive_floor": parse_ratio,
    "adaptive_ceiling": parse_ratio,
    "adaptive_smoothing": parse_ratio,
    "adaptive_sensitivity": number,
    "adaptive_memory": whole,
    "adaptive_multiplier": number,
    "adaptive_latency_limit": number,
    "adaptive_latency_floor": number,
    "adaptive_latency_ceiling": number,
}
"""Fields of BreakerPolicy; ``timeout_seconds`` is another name for ``recovery_timeout``."""

SETTINGS: Final[Mapping[str, Parser]] = {
    "category": text,
    "tags": names,
    "description": text,
    "priority": whole,
    "url": text,
    "fallback": anything,
    "metadata": mapping,
}

NESTED: Final[Mapping[str, Mapping[str, Parser]]] = {
    "bulkhead": {
        "max_concurrent_calls": whole,
        "queue_timeout": parse_duration,
        "max_queued": optional(whole),
        "pool": name,
    },
    "retry": {"attempts": whole, "deadline": optional(parse_duration)},
    "health_check": {
        "url": text,
        "query": text,
        "interval": parse_duration,
        "timeout": parse_duration,
        "successes": whole,
    },
}

LAYER: Final = ("template", "timeout_seconds", *POLICY, *SETTINGS, *NESTED)
"""What may stand in an entry, in ``defaults`` and in an environment."""
ENTRY: Final = ("name", "environments", "only_in", *LAYER)
HINTS: Final = {
    "timeout": "; write call_timeout for how long a call may take, recovery_timeout for how long "
    "it stays open",
    "circuit_type": '; did you mean "kind"?',
    "service_category": '; did you mean "category"?',
    "bulkhead_config": '; did you mean "bulkhead"?',
    "health_check_config": '; did you mean "health_check"?',
}
