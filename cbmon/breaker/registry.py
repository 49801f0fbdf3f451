"""One breaker per key (user, tenant, host, tool), at most so many of them.

Rule: :meth:`BreakerRegistry.get` costs the same however many keys there are. No breaker that is
not closed, or that has a call in flight, is ever given up to make room.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from cbmon.breaker.arguments import (
    check_called,
    check_clock,
    check_name,
    check_seed,
    refuse_type,
    several,
)
from cbmon.breaker.breaker import CircuitBreaker
from cbmon.breaker.clock import Clock
from cbmon.breaker.errors import RegistryFullError
from cbmon.breaker.forking import remember
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.settings import check_policy, merged
from cbmon.breaker.states import State
from cbmon.breaker.unique import Unique

Listener = Callable[[Any], object]
RemovalListener = Callable[[CircuitBreaker], object]

_MOVES: Final = frozenset({"transition"})


class BreakerRegistry(Unique):
    """Breakers by key, made when first asked for; threads and tasks may share it.

    ``policy`` and the ``policy_fields`` that replace its fields are those of every breaker that
    :meth:`get` makes without a policy of its own. ``max_keys`` (an integer >= 1; None: no bound)
    is the most breakers that it holds: then an idle closed breaker without failures makes room,
    the longest unused first, then the longest unused idle closed one, and when there is none
    :class:`RegistryFullError` is raised. ``category``, ``clock`` and ``listeners`` are given to
    every breaker; from ``seed`` each key gets a seed of its own, the same in every run.

    Ask the registry for each call (it is cheap) instead of keeping the breaker: what is kept may
    have been evicted meanwhile.

        >>> users = BreakerRegistry(failure_threshold=3, max_keys=10_000)
        >>> users.get("alice").call(len, "abc")
        3
        >>> users.states()
        {'alice': <State.CLOSED: 'closed'>}
    """

    def __init__(
        self,
        policy: BreakerPolicy | None = None,
        *,
        max_keys: int | None = None,
        clock: Clock | None = None,
        listeners: Iterable[Listener] = (),
        seed: int | None = None,
        category: str = "app",
        **policy_fields: Any,
    ) -> None:
        if clock is not None:
            check_clock(clock)
        check_seed(seed)
        if not isinstance(category, str):
            refuse_type("category", category, "a string")
        if max_keys is not None and (type(max_keys) is not int or max_keys < 1):
            raise ValueError(f"max_keys: got {max_keys!r}, expected an integer >= 1 or None")
        self.policy = merged(policy, policy_fields)
        self.max_keys = max_keys
        self._clock = clock
        self._listeners = several(listeners, "listeners", "functions")
        for listener in self._listeners:
            check_called(listener, "listeners", "listener(event)")
        self._seed = seed
        self._category = category
        self._lock = threading.RLock()
        self._breakers: dict[str, CircuitBreaker] = {}
        self._order = None if max_keys is None else _EvictionOrder()
        self._removal_listeners: tuple[RemovalListener, ...] = ()
        remember(self)
        self._on_move = self._moved  # one bound method for all, not 64 bytes for each

    def get(self, key: str, policy: BreakerPolicy | None = None) -> CircuitBreaker:
        """The breaker of ``key``, made if there is none.

        Raises ValueError if it exists with another policy than the one given, or if the key is
        not 1 to 300 printable characters; TypeError if it is not a string;
        :class:`RegistryFullError` if there is no room for a new one.
        """
        breaker = self._breakers.get(key)
        if breaker is None or self._order is not None:
            breaker = self._touched(key, policy)
        if policy is not None and breaker.policy != policy:
            check_policy(policy)
            raise ValueError(
                f"policy: breaker {key!r} exists with another one; change it by reconfigure()"
            )
        return breaker

    def remove(self, key: str) -> bool:
        """Forget ``key`` and its breaker, whatever its state; whether there was one."""
        with self._lock:
            breaker = self._breakers.pop(key, None)
            if self._order is not None:
                self._order.forget(key)
        if breaker is not None:
            self._tell_removed(breaker)
        return breaker is not None

    def on_removal(self, listener: RemovalListener) -> None:
        """Call ``listener`` with each breaker that is evicted or removed, outside any lock."""
        check_called(listener, "listener", "listener(breaker)")
        with self._lock:
            self._removal_listeners = (*self._removal_listeners, listener)

    def reset(self, key: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Reset the breaker of ``key``. KeyError if there is none."""
        breaker = self._breakers.get(key)
        if breaker is None:
            raise KeyError(f"no breaker has the key {key!r}")
        breaker.reset(actor=actor, reason=reason)

    def reset_all(self, *, actor: str | None = None, reason: str | None = None) -> int:
        """Reset every breaker; how many there were."""
        breakers = list(self)
        for breaker in breakers:
            breaker.reset(actor=actor, reason=reason)
        return len(breakers)

    def open_keys(self) -> list[str]:
        """The keys whose breaker is open (not forced open, not disabled)."""
        return self._keys_in(State.OPEN)

    def half_open_keys(self) -> list[str]:
        """The keys whose breaker is half-open."""
        return self._keys_in(State.HALF_OPEN)

    def states(self) -> dict[str, State]:
        """The state of every key's breaker."""
        return {breaker.name: breaker.state for breaker in self}

    def __iter__(self) -> Iterator[CircuitBreaker]:
        """Over the breakers there are now; keys may come and go meanwhile."""
        return iter(list(self._breakers.values()))

    def __len__(self) -> int:
        return len(self._breakers)

    def __contains__(self, key: object) -> bool:
        return key in self._breakers

    def __repr__(self) -> str:
        bound = "" if self.max_keys is None else f" of {self.max_keys}"
        return f"<BreakerRegistry: {len(self)}{bound} keys>"

    def _in_child(self) -> None:
        self._lock = threading.RLock()

    def _keys_in(self, state: State) -> list[str]:
        return [breaker.name for breaker in self if breaker.state is state]

    def _touched(self, key: str, policy: BreakerPolicy | None) -> CircuitBreaker:
        """The breaker of ``key``, now the most recently used one."""
        evicted = None
        with self._lock:
            breaker = self._breakers.get(key)
            if breaker is None:
                check_name(key, "key")
                evicted = self._make_room(key)
                breaker = self._breakers[key] = self._made(key, policy)
            if self._order is not None:
                self._order.touch(key, breaker)
        if evicted is not None:
            self._tell_removed(evicted)
        return breaker

    def _make_room(self, key: str) -> CircuitBreaker | None:
        if self._order is None or self.max_keys is None or len(self._breakers) < self.max_keys:
            return None
        victim = self._order.victim()
        if victim is None:
            raise RegistryFullError(key, self.max_keys)
        return self._breakers.pop(victim)

    def _made(self, key: str, policy: BreakerPolicy | None) -> CircuitBreaker:
        breaker = CircuitBreaker(
            key,
            self.policy if policy is None else policy,
            clock=self._clock,
            seed=None if self._seed is None else zlib.crc32(f"{self._seed}:{key}".encode()),
            listeners=self._listeners,
            category=self._category,
        )
        if self._order is not None:
            breaker.add_listener(self._on_move, kinds=_MOVES)
        return breaker

    def _moved(self, event: Any) -> None:
        """A breaker left closed, or is closed again: only closed ones make room.

        The one that moved may have been removed, and its key have another one by now.
        """
        order = self._order
        assert order is not None  # noqa: S101 - only a registry with a bound listens
        with self._lock:
            breaker = self._breakers.get(event.name)
            if breaker is not None:
                order.moved(event.name, breaker, closed=breaker.state is State.CLOSED)

    def _tell_removed(self, breaker: CircuitBreaker) -> None:
        for listener in self._removal_listeners:
            listener(breaker)


class _EvictionOrder:
    """Which key goes next. Not thread-safe: the registry calls it under its lock.

    ``_clean`` and ``_marred`` hold closed breakers, ordered by last use. Keys start in ``_clean``;
    the search for a victim moves those with failures to ``_marred``, so that no search looks at
    the same one twice without a use in between. Breakers that are not closed are ``_away``.
    """

    __slots__ = ("_away", "_clean", "_marred")

    def __init__(self) -> None:
        self._clean: OrderedDict[str, CircuitBreaker] = OrderedDict()
        self._marred: OrderedDict[str, CircuitBreaker] = OrderedDict()
        self._away: set[str] = set()

    def touch(self, key: str, breaker: CircuitBreaker) -> None:
        if key in self._away:
            return
        self._clean[key] = breaker
        self._clean.move_to_end(key)
        if self._marred:
            self._marred.pop(key, None)

    def forget(self, key: str) -> None:
        self._away.discard(key)
        self._clean.pop(key, None)
        self._marred.pop(key, None)

    def moved(self, key: str, breaker: CircuitBreaker, *, closed: bool) -> None:
        self.forget(key)
        if closed:
            self.touch(key, breaker)
        else:
            self._away.add(key)

    def victim(self) -> str | None:
        """Take out the key that goes next; None if there is none that may go."""
        return self._healed() or self._first_clean() or self._first_marred()

    def _healed(self) -> str | None:
        """The longest unused of the marred, if its failures have left the window since."""
        key = next(iter(self._marred), None)
        if key is None or not _idle(self._marred[key]) or self._marred[key].counts.failure_count:
            return None
        del self._marred[key]
        return key

    def _first_clean(self) -> str | None:
        for _ in range(len(self._clean)):
            key, breaker = self._clean.popitem(last=False)
            if not _idle(breaker):
                self._clean[key] = breaker
            elif breaker.counts.failure_count:
                self._marred[key] = breaker
            else:
                return key
        return None

    def _first_marred(self) -> str | None:
        for _ in range(len(self._marred)):
            key, breaker = self._marred.popitem(last=False)
            if _idle(breaker):
                return key
            self._clean[key] = breaker
        return None


def _idle(breaker: CircuitBreaker) -> bool:
    return breaker.state is State.CLOSED and not breaker.counts.in_flight
