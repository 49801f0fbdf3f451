"""``protect(obj, breaker, methods=…)``: any client's methods behind a breaker.

Rules:

* The object itself is left alone; what comes back stands in for it, with the named methods guarded
  and everything else handed through. What counts as a failure is the policy's to say.
* With ``kind`` what the breaker itself raises, a rejection or the end of ``call_timeout``, is of
  the client's kind, too, so that code that catches its errors goes on as it was.
* A copy of the stand-in stands in for a copy of the object, behind the same breaker.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, Final, TypeVar, cast

from cbmon.breaker import CallTimeoutError, CircuitBreaker, CircuitOpenError
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
    these too, and so is what ``call_timeout`` raises (a ``TimeoutError`` still), both made without
    its constructor. A method that gives back ``obj`` gives the stand-in.

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
    if kind is not None:
        _check_kind(kind)
    for name in sorted(names or ()):
        if not hasattr(obj, name):
            raise AttributeError(f"methods: {type(obj).__name__!r} has no method {name!r}")
    return cast("T", _stand_in_class(type(obj))(obj, breakers, names, kind))


def _check_kind(kind: type[Exception]) -> None:
    """TypeError for a class that cannot be combined with the breaker's own errors."""
    for base in (CircuitOpenError, CallTimeoutError):
        try:
            if not issubclass(base, kind):
                _class_of(base, kind)
        except TypeError as error:
            raise TypeError(
                f"kind: {kind!r} cannot be combined with {base.__name__} ({error}); give a base "
                "class of it"
            ) from None


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
        if "_cbmon_obj" not in mine:  # one that copy or pickle has not filled yet
            raise AttributeError(name)
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

    def __copy__(self) -> Any:
        return self._around(copy.copy(vars(self)["_cbmon_obj"]))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._around(copy.deepcopy(vars(self)["_cbmon_obj"], memo))

    def __reduce_ex__(self, _protocol: Any) -> Any:
        mine = vars(self)
        names = mine["_cbmon_names"]
        return protect, (mine["_cbmon_obj"], mine["_cbmon_breakers"], names, mine["_cbmon_kind"])

    def _around(self, obj: object) -> Any:
        mine = vars(self)
        return type(self)(obj, mine["_cbmon_breakers"], mine["_cbmon_names"], mine["_cbmon_kind"])

    def __dir__(self) -> Iterable[str]:
        return dir(vars(self)["_cbmon_obj"])

    def __repr__(self) -> str:
        return f"<protected {vars(self)['_cbmon_obj']!r}>"


_STAND_INS: Final[dict[type, type[_StandIn]]] = {}
_REJECTIONS: Final[dict[tuple[type, type], type[Exception]]] = {}


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
    """``guarded``, whose own rejections and timeouts are of the client's kind."""
    if kind is None:
        return guarded
    if iscoroutinefunction(guarded):

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await guarded(*args, **kwargs)
            except (CircuitOpenError, CallTimeoutError) as error:
                raise _of_kind(error, name, kind) from error.__cause__

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


def _of_kind(
    error: CircuitOpenError | CallTimeoutError, name: str, kind: type[Exception]
) -> Exception:
    """The breaker's own error as the client's kind; somebody else's as it is."""
    if error.name != name or isinstance(error, kind):
        return error
    base: Any = CircuitOpenError if isinstance(error, CircuitOpenError) else CallTimeoutError
    return _made(base, kind, error.__reduce__()[1])


def _made(base: type[Exception], kind: type[Exception], args: Any) -> Exception:
    """An error of both kinds; this is also what it is pickled as."""
    return _class_of(base, kind)(*args)


def _class_of(base: type[Exception], kind: type[Exception]) -> type[Exception]:
    if (base, kind) in _REJECTIONS:
        return _REJECTIONS[base, kind]

    def keep(self: Any, *args: Any) -> None:
        if base is CallTimeoutError:
            CallTimeoutError.__init__(self, *args)
        else:
            self.args = args

    def reduce(self: Any) -> Any:
        timed_out = base is CallTimeoutError
        return _made, (base, kind, (self.name, self.seconds) if timed_out else self.args)

    body = {"__init__": keep, "__reduce__": reduce, "__module__": __name__}
    prefix = "Open" if base is CircuitOpenError else "Late"
    made = type(f"{prefix}{kind.__name__}", (base, kind), body)
    return _REJECTIONS.setdefault((base, kind), made)
