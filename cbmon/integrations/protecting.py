"""``protect(obj, breaker, methods=…)``: any client's methods behind a breaker.

Rule: the object itself is left alone; what comes back stands in for it, with the named methods
guarded and everything else handed through. What counts as a failure is the policy's to say.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, Final, TypeVar, cast

from cbmon.breaker import CircuitBreaker, CircuitOpenError
from cbmon.breaker.arguments import refuse_type, several
from cbmon.breaker.registry import BreakerRegistry
from cbmon.integrations.calls import Breakers, checked

T = TypeVar("T")

_SPECIAL: Final = (
    "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__", "__next__",
    "__aiter__", "__anext__", "__await__", "__len__", "__bool__", "__contains__", "__getitem__",
    "__setitem__", "__delitem__", "__eq__", "__hash__", "__str__",
)  # fmt: skip
"""Methods that Python looks for in the class, so that they must be there."""


def protect(
    obj: T,
    breakers: Breakers,
    methods: Iterable[str] | None = None,
    *,
    kind: type[Exception] | None = None,
) -> T:
    """A stand-in for ``obj`` whose ``methods`` go through a breaker.

    ``methods`` are names (None: every public method); plain ones, coroutine functions and
    generators keep their kind. One breaker guards them all; a registry gives each its own, named
    ``Class.method``. ``kind`` is an exception class of the client: a rejection then is one of
    these too, made without its constructor. A method that gives back ``obj`` gives the stand-in.

    Raises AttributeError for a method that ``obj`` does not have.

        >>> breaker = CircuitBreaker("prices")
        >>> prices = protect({"tea": 9.99}, breaker, methods=["get"], kind=ConnectionError)
        >>> prices.get("tea"), len(prices), breaker.counts.successes
        (9.99, 1, 1)
        >>> breaker.force_open()
        >>> try:
        ...     prices.get("tea")
        ... except ConnectionError as error:
        ...     print(type(error).__name__, "-", error)
        OpenConnectionError - circuit breaker 'prices' is forced_open
    """
    checked(breakers)
    names = None if methods is None else frozenset(several(methods, "methods", "names"))
    if kind is not None and not _is_exception(kind):
        refuse_type("kind", kind, "an exception class of the client, or None")
    for name in sorted(names or ()):
        if not hasattr(obj, name):
            raise AttributeError(f"methods: {type(obj).__name__!r} has no method {name!r}")
    return cast("T", _stand_in_class(type(obj))(obj, breakers, names, kind))


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


class _StandIn:
    """Hands everything to the object, and guards what is to be guarded."""

    def __init__(
        self,
        obj: object,
        breakers: Breakers,
        names: frozenset[str] | None,
        kind: type[Exception] | None,
    ) -> None:
        vars(self).update(
            _cbmon_obj=obj, _cbmon_breakers=breakers, _cbmon_names=names, _cbmon_kind=kind
        )

    def __getattr__(self, name: str) -> Any:
        mine = vars(self)
        value = getattr(mine["_cbmon_obj"], name)
        names = mine["_cbmon_names"]
        chosen = name in names if names is not None else not name.startswith("_")
        if not chosen or not callable(value) or isinstance(value, type):
            return value
        mine[name] = guarded = _guarded(self, name, value)
        return guarded

    def __setattr__(self, name: str, value: object) -> None:
        vars(self).pop(name, None)
        setattr(vars(self)["_cbmon_obj"], name, value)

    def __delattr__(self, name: str) -> None:
        vars(self).pop(name, None)
        delattr(vars(self)["_cbmon_obj"], name)

    def __dir__(self) -> Iterable[str]:
        return dir(vars(self)["_cbmon_obj"])

    def __repr__(self) -> str:
        return f"<protected {vars(self)['_cbmon_obj']!r}>"


_STAND_INS: Final[dict[type, type[_StandIn]]] = {}
_REJECTIONS: Final[dict[type, type[CircuitOpenError]]] = {}


def _stand_in_class(original: type) -> type[_StandIn]:
    """A class that looks like ``original`` to isinstance and has its special methods."""
    if original in _STAND_INS:
        return _STAND_INS[original]
    body: dict[str, Any] = {name: _handed(name) for name in _SPECIAL if hasattr(original, name)}
    body["__class__"] = property(lambda _self: original)
    body.setdefault("__hash__", None)
    made = type(f"Protected{original.__name__}", (_StandIn,), body)
    return _STAND_INS.setdefault(original, made)


def _handed(name: str) -> Callable[..., Any]:
    def method(self: _StandIn, *args: Any) -> Any:
        guarded = vars(self).get(name)
        if guarded is None:
            value = getattr(vars(self)["_cbmon_obj"], name)
            names = vars(self)["_cbmon_names"] or ()
            guarded = _guarded(self, name, value) if name in names else _same(self, value)
            vars(self)[name] = guarded
        return guarded(*args)

    return method


def _guarded(stand_in: _StandIn, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    mine = vars(stand_in)
    breakers, kind = mine["_cbmon_breakers"], mine["_cbmon_kind"]
    returning = _same(stand_in, method)
    if isinstance(breakers, CircuitBreaker):
        return _refusing(breakers(returning), breakers.name, kind)
    return _keyed(breakers, f"{type(mine['_cbmon_obj']).__name__}.{name}", returning, kind)


def _keyed(
    registry: BreakerRegistry, key: str, method: Callable[..., Any], kind: type[Exception] | None
) -> Callable[..., Any]:
    """The breaker may be evicted between two calls, so it is asked for each time."""
    known: CircuitBreaker | None = None
    guarded: Callable[..., Any] = method

    def current(*args: Any, **kwargs: Any) -> Any:
        nonlocal known, guarded
        breaker = registry.get(key)
        if breaker is not known:
            known, guarded = breaker, _refusing(breaker(method), key, kind)
        return guarded(*args, **kwargs)

    return current


def _same(stand_in: _StandIn, method: Callable[..., Any]) -> Callable[..., Any]:
    """``method``, whose result is the stand-in when it would be the object."""
    obj = vars(stand_in)["_cbmon_obj"]
    if isgeneratorfunction(method) or isasyncgenfunction(method):
        return method
    if iscoroutinefunction(method):

        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            return stand_in if result is obj else result

        return awaiting

    def returning(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        return stand_in if result is obj else result

    return returning


def _refusing(
    guarded: Callable[..., Any], name: str, kind: type[Exception] | None
) -> Callable[..., Any]:
    """``guarded``, whose own rejections are of the client's kind."""
    if kind is None:
        return guarded
    if iscoroutinefunction(guarded):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await guarded(*args, **kwargs)
            except CircuitOpenError as error:
                raise _of_kind(error, name, kind) from None

        return call_async
    if isgeneratorfunction(guarded):

        def iterate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            try:
                return (yield from guarded(*args, **kwargs))
            except CircuitOpenError as error:
                raise _of_kind(error, name, kind) from None

        return iterate
    return _refusing_plainly(guarded, name, kind)


def _refusing_plainly(
    guarded: Callable[..., Any], name: str, kind: type[Exception]
) -> Callable[..., Any]:
    if isasyncgenfunction(guarded):

        async def iterate_async(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            try:
                async for item in guarded(*args, **kwargs):
                    yield item
            except CircuitOpenError as error:
                raise _of_kind(error, name, kind) from None

        return iterate_async

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return guarded(*args, **kwargs)
        except CircuitOpenError as error:
            raise _of_kind(error, name, kind) from None

    return call


def _of_kind(error: CircuitOpenError, name: str, kind: type[Exception]) -> CircuitOpenError:
    """The rejection as the client's kind; somebody else's rejection as it is."""
    if error.name != name or isinstance(error, kind):
        return error
    return _rejection_class(kind)(*error.args)


def _rejection_class(kind: type[Exception]) -> type[CircuitOpenError]:
    if kind in _REJECTIONS:
        return _REJECTIONS[kind]

    def keep(self: Exception, *args: object) -> None:
        self.args = args

    made = type(f"Open{kind.__name__}", (CircuitOpenError, kind), {"__init__": keep})
    return _REJECTIONS.setdefault(kind, made)
