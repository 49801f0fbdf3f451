"""What there is only one of: a breaker, a registry, a bulkhead.

Rule: a copy is the thing itself, so that settings and clients that hold one can be copied; another
process cannot have it, and whoever tries is told what to do instead.
"""

from __future__ import annotations

from typing import Any, NoReturn, Self


class Unique:
    """Copied as itself, and not pickled."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled: it counts what happens in this process; make one in each "
            "process (a breaker's snapshot() and restore() carry its state over)"
        )
