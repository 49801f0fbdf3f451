"""What the middlewares of web servers share: which route a request belongs to, and its guard.

Rule: knows breakers and bulkheads and no web framework. The first route whose pattern and method
fit is the one; a request that fits none passes untouched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final, Literal

from cbmon.breaker import BreakerPolicy, CircuitBreaker
from cbmon.breaker.arguments import check_name, refuse_type, several
from cbmon.breaker.outcomes import Outcome, classify, in_words
from cbmon.breaker.registry import BreakerRegistry
from cbmon.breaker.settings import merged
from cbmon.integrations.replies import Fallback, Rejection
from cbmon.resilience import Bulkhead

SERVER_ERRORS: Final[Collection[int]] = range(500, 600)
"""The statuses that count as failures unless a route says otherwise."""

_TOKEN: Final = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?P<path>:path)?\}|(?P<deep>\*\*)|(?P<one>\*)")


class ProtectedRoute:
    """The routes that one breaker guards, and what is answered while it is open.

    ``pattern`` is a path: ``{name}`` is one segment, ``{name:path}`` and ``**`` are any number of
    them, ``*`` is a part of a segment, and ``/*`` at the end is everything below. ``methods``
    narrows it. ``name`` is the breaker's name (default: the pattern); routes of one name share a
    breaker, whose policy the first of them gives.

    ``max_concurrent_requests`` (with ``queue_timeout`` seconds of waiting) is a bulkhead: a
    request that gets no place is answered 503 and says nothing of the handler.

    ``failure_statuses`` are failures (default: 5xx; a handler's own 4xx is a success). ``judge``
    is when the verdict falls: at the ``end`` of the response, or at its ``start``, for streams
    that go on for hours.

    ``fallback`` answers instead of the 503: text, bytes, something JSON-able, a ``Reply`` with a
    status of its own, or a function of the :class:`~cbmon.integrations.replies.Rejection` that
    gives one of these, or an ASGI response; it may be async. A body without a status goes out
    as 503.

    ``policy`` and ``policy_fields`` are the breaker's. ``call_timeout`` is answered 504. Raises
    ValueError for a pattern that is no path, or a bad field; TypeError for one method or status
    where several are expected.
    """

    __slots__ = (
        "failure_statuses",
        "fallback",
        "judge",
        "max_concurrent_requests",
        "methods",
        "name",
        "pattern",
        "policy",
        "queue_timeout",
    )

    def __init__(
        self,
        pattern: str,
        *,
        name: str | None = None,
        methods: Iterable[str] | None = None,
        policy: BreakerPolicy | None = None,
        max_concurrent_requests: int | None = None,
        queue_timeout: float = 0.0,
        fallback: Fallback = None,
        failure_statuses: Collection[int] = SERVER_ERRORS,
        judge: Literal["start", "end"] = "end",
        **policy_fields: Any,
    ) -> None:
        if judge not in {"start", "end"}:
            raise ValueError(f"judge: got {judge!r}, expected 'start' or 'end'")
        if isinstance(methods, str):
            raise TypeError(f"methods: got {methods!r}, expected several, such as [{methods!r}]")
        if isinstance(failure_statuses, int):
            text = f"failure_statuses: got {failure_statuses}, expected several, such as "
            raise TypeError(f"{text}[{failure_statuses}]")
        if not isinstance(pattern, str):
            refuse_type("pattern", pattern, "a path")
        compiled(pattern)
        check_name(pattern if name is None else name)
        self.pattern = pattern
        self.name = pattern if name is None else name
        self.methods = None if methods is None else frozenset(map(str.upper, methods))
        self.max_concurrent_requests = max_concurrent_requests
        self.queue_timeout = queue_timeout
        self.fallback = fallback
        self.failure_statuses = failure_statuses
        self.judge = judge
        self.policy = policy
        if policy is not None or policy_fields:
            self.policy = merged(policy, policy_fields)


class Guard:
    """One route in force: its breaker, its bulkhead, and the verdict on what its handler did."""

    __slots__ = ("at_start", "breaker", "bulkhead", "route", "statuses", "timeout")

    def __init__(self, route: ProtectedRoute, breaker: CircuitBreaker) -> None:
        self.route = route
        self.breaker = breaker
        self.timeout = breaker.policy.call_timeout
        self.statuses = route.failure_statuses
        self.at_start = route.judge == "start"
        self.bulkhead: Bulkhead | None = None
        if route.max_concurrent_requests is not None:
            self.bulkhead = Bulkhead(
                route.name,
                max_concurrent_calls=route.max_concurrent_requests,
                queue_timeout=route.queue_timeout,
            )

    def answered(self, permit: int, status: int, duration: float) -> None:
        """The handler gave an answer of that status, after so many seconds."""
        failed = status in self.statuses
        if failed:
            self.breaker.record(
                permit, failed=True, duration=duration, reason="status", error=f"status {status}"
            )
        else:
            self.breaker.record(permit, failed=False, duration=duration)

    def broken(self, permit: int, duration: float, reason: str, error: str) -> None:
        """The handler gave no whole answer, and nobody else is to blame."""
        self.breaker.record(permit, failed=True, duration=duration, reason=reason, error=error)

    def raised(self, permit: int, duration: float, error: BaseException) -> None:
        """The handler raised: the policy says what that means; cancellation means nothing."""
        outcome = classify(self.breaker.policy, error)
        if outcome is Outcome.FAILURE:
            self.broken(permit, duration, "internal", in_words(error))
        elif outcome is Outcome.SUCCESS:
            self.breaker.record(permit, failed=False, duration=duration)
        else:
            self.breaker.release(permit, ignored=outcome is Outcome.IGNORED)

    def rejection(self, cause: str, method: str, path: str) -> Rejection:
        """Why a request is not let through to the handler now."""
        breaker = self.breaker
        state, retry_after = breaker.state, breaker.retry_after
        if cause != "open":
            retry_after = None
        return Rejection(
            cause=cause,
            name=breaker.name,
            state=state,
            retry_after=retry_after,
            method=method,
            path=path,
        )


class RouteTable:
    """The guards of an application by path and method."""

    def __init__(self, routes: Iterable[ProtectedRoute], registry: BreakerRegistry) -> None:
        if not isinstance(registry, BreakerRegistry):
            refuse_type("registry", registry, "a BreakerRegistry or None")
        routes = several(routes, "routes", "ProtectedRoute(…)")
        for route in routes:
            if not isinstance(route, ProtectedRoute):
                refuse_type("routes", route, "a ProtectedRoute(pattern, …)")
        self.breakers = registry
        self.guards = [Guard(route, registry.get(route.name, route.policy)) for route in routes]
        parts = [f"(?P<r{n}>{compiled(g.route.pattern)})" for n, g in enumerate(self.guards)]
        self._pattern = re.compile("|".join(parts) if parts else r"(?!)", re.DOTALL)
        self._index = {f"r{n}": n for n in range(len(self.guards))}
        self._single = [re.compile(compiled(g.route.pattern), re.DOTALL) for g in self.guards]

    def find(self, method: str, path: str) -> Guard | None:
        """The guard of the first route that fits, or None."""
        match = self._pattern.fullmatch(path)
        if match is None or match.lastgroup is None:
            return None
        first = self._index[match.lastgroup]
        guard = self.guards[first]
        if guard.route.methods is None or method in guard.route.methods:
            return guard
        return self._next(method, path, first + 1)

    def _next(self, method: str, path: str, start: int) -> Guard | None:
        for guard, pattern in zip(self.guards[start:], self._single[start:], strict=True):
            methods = guard.route.methods
            if (methods is None or method in methods) and pattern.fullmatch(path):
                return guard
        return None


def compiled(pattern: str) -> str:
    """The regular expression that a path pattern means; ValueError if it is none."""
    if not pattern.startswith("/"):
        raise ValueError(f"pattern: got {pattern!r}, expected a path that begins with '/'")
    if pattern.count("**") > 1:
        raise ValueError(f"pattern: got {pattern!r}, expected at most one '**'")
    head, below = (pattern[:-1], ".+") if pattern.endswith("/*") else (pattern, "")
    parts, at = [], 0
    for token in _TOKEN.finditer(head):
        parts.append(_literal(pattern, head[at : token.start()]))
        at = token.end()
        if token["name"] is not None:
            parts.append(".+" if token["path"] else "[^/]+")
        else:
            parts.append(".*" if token["deep"] else "[^/]*")
    parts.append(_literal(pattern, head[at:]))
    return "".join(parts) + below


def _literal(pattern: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"pattern: got {pattern!r}, expected {{name}} or {{name:path}} in braces")
    return re.escape(text)
