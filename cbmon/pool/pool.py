"""A pool of protected services: registered by name, called by name, healthy or not at a glance.

Rule: every call goes through its service's breaker, and only what may be repeated is repeated by
itself: HTTP methods that are idempotent, and calls that say so.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

import aiohttp

from cbmon.appconfig import (
    BreakerConfig,
    BreakerConfigs,
    HealthCheckConfig,
    breaker_config,
    bulkhead_of,
    load_breakers,
)
from cbmon.breaker.registry import BreakerRegistry
from cbmon.breakerlog import BreakerLog
from cbmon.pool import clients
from cbmon.pool import status as statuses
from cbmon.pool.service import Service
from cbmon.resilience import Bulkhead, RecoveryCheck, url_answers

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
Fallback = Callable[[Exception], Any]

CLOSE_DEADLINE: Final = 5.0
"""Seconds that closing a client may take."""
LONGEST: Final = 30.0
"""Seconds that a call may take whose service has no ``call_timeout``."""


class ServicePool:
    """Services behind breakers, with one lifecycle; use it as ``async with``.

    ``configs`` is what :func:`cbmon.appconfig.load_breakers` gives: every entry is a service.
    Others are added by :meth:`register`. A change of the configuration is in force at once.

        async with ServicePool.from_file("services.yml") as pool:
            answer = await pool.make_http_request("ollama", "POST", "/api/generate", json={…})
    """

    def __init__(self, configs: BreakerConfigs | None = None) -> None:
        self.configs = configs
        self.breakers = BreakerRegistry() if configs is None else configs.registry
        self._log = BreakerLog()
        self._services: dict[str, Service] = {}
        self._pools: dict[str, Bulkhead] = {}
        self._checks: dict[str, RecoveryCheck] = {}
        self._making = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._gone: list[Service] = []
        self._closed = False
        if configs is not None:
            for config in configs:
                self._add(config)
            configs.on_change(self._changed)

    @classmethod
    def from_file(cls, path: Path | str, *, environment: str | None = None) -> Self:
        """A pool of all that a file, or a directory of files, describes; ConfigError."""
        return cls(load_breakers(path, environment=environment))

    # --- services ------------------------------------------------------------------------

    def register(
        self,
        name: str,
        template: str = "conservative",
        *,
        client: Any = None,
        fallback: Fallback | None = None,
        health_check: Callable[[], Any] | None = None,
        **settings: Any,
    ) -> Service:
        """Add a service, or give the one that is there; ConfigError for a bad setting.

        ``settings`` are those of a file's entry: ``url``, ``category``, ``call_timeout``,
        ``bulkhead={…}``, ``retry={…}``, fields of the policy. ``client`` is used instead of one
        that the pool would make, and is not closed by it. ``fallback(error)`` answers for calls
        that were rejected or failed. ``health_check`` is a function that looks at the service
        while its breaker is open, from the start of the pool on. With settings for a service that
        exists: ValueError.
        """
        service = self._services.get(name)
        if service is None:
            service = self._add(breaker_config(name, template, **settings), fallback)
        elif settings:
            raise ValueError(f"service {name!r} exists; change it by its configuration")
        if fallback is not None:
            service.fallback = fallback
            service.configure(service.config, service.bulkhead)
        if client is not None:
            service.client = client
        if health_check is not None:
            service.health_check = health_check
        return service

    def service(self, name: str) -> Service:
        """The service of that name; KeyError."""
        try:
            return self._services[name]
        except KeyError:
            raise KeyError(f"no service is named {name!r}; register it first") from None

    def __iter__(self) -> Iterator[Service]:
        return iter(list(self._services.values()))

    def __contains__(self, name: object) -> bool:
        return name in self._services

    # --- calls ---------------------------------------------------------------------------

    async def call_service(
        self, name: str, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Await ``func(*args, **kwargs)`` as a call of the service, retried as configured."""
        service = self._usable(name)
        result = await service.call(partial(func, *args, **kwargs), again=True)
        return cast("R", result)

    def protect(self, name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function or coroutine function as a call of the service."""

        def decorate(func: Callable[P, R]) -> Callable[P, R]:
            if iscoroutinefunction(func):

                @functools.wraps(func)
                async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
                    return await self.call_service(name, cast("Any", func), *args, **kwargs)

                return cast("Callable[P, R]", call)

            @functools.wraps(func)
            def plain(*args: P.args, **kwargs: P.kwargs) -> R:
                its = self._usable(name)
                return cast("R", its.call_plain(partial(func, *args, **kwargs), again=True))

            return plain

        return decorate

    async def make_http_request(
        self, service: str, method: str, url: str = "", *, retry: bool | None = None, **options: Any
    ) -> clients.HttpResponse:
        """Send a request to a service and read its answer.

        ``url`` is relative to the service's own. ``options`` are aiohttp's (``json``, ``params``,
        ``headers``, ``data``). An answer of 5xx or 429 is returned and counts as a failure.
        ``retry`` None: idempotent methods only. Raises what aiohttp raises, CircuitOpenError, and
        RequestError for a URL that leads away from the service.
        """
        its = self._usable(service)
        again = method.upper() in clients.IDEMPOTENT if retry is None else retry
        target = clients.target_of(its.config.url, url)
        session = its.client or await self._http()
        call = partial(clients.http_request, session, method, target, **options)
        return cast("clients.HttpResponse", await its.call(call, again=again))

    async def execute_redis_command(
        self, *command: Any, service: str = "redis", retry: bool = False
    ) -> Any:
        """Send one command to a Redis service: ``execute_redis_command("set", "key", "value")``.

        An error by which Redis refuses the command is raised and is a success of the service.
        """
        its = self._usable(service)
        client = await self._client(its, clients.redis_client, clients.redis_answered)
        call = _bounded(its, partial(client.execute_command, *command))
        return await its.call(call, again=retry)

    async def execute_db_query(
        self,
        query: str,
        *arguments: Any,
        fetch_one: bool = False,
        fetch: bool = True,
        service: str = "database",
        retry: bool = False,
    ) -> Any:
        """Run a statement on a database service: all rows, one row, or without ``fetch`` none.

        The client is a pool of asyncpg (``$1``) or psycopg (``%s``). A constraint or a mistake
        in the statement is raised and is a success of the service.
        """
        its = self._usable(service)
        pool = await self._client(its, clients.database_pool, clients.database_answered)
        call = partial(
            clients.database_query, pool, query, arguments, fetch_one=fetch_one, fetch=fetch
        )
        return await its.call(_bounded(its, call), again=retry)

    # --- how they are --------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Summary (healthy, degraded, failed), totals by state, by category, each service."""
        return statuses.status((each.config.category, each.breaker) for each in self)

    def health(self) -> dict[str, Any]:
        """A part for a health endpoint: overall status, and the services that are not healthy."""
        found = self.status()
        unhealthy = {
            name: its["state"]
            for name, its in found["services"].items()
            if its["health"] != "healthy"
        }
        return {"status": found["status"], **found["summary"], "services": unhealthy}

    def reset(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Reset the breaker of a service; KeyError."""
        self.service(name).breaker.reset(actor=actor, reason=reason)

    def reset_all(self, *, actor: str | None = None, reason: str | None = None) -> int:
        """Reset every service's breaker; how many there were."""
        services = list(self)
        for service in services:
            service.breaker.reset(actor=actor, reason=reason)
        return len(services)

    # --- life ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin the health checks; clients are made when they are first needed."""
        for service in self:
            await self._watch(service)

    async def close(self) -> None:
        """End the health checks and close the clients that the pool has made."""
        self._closed = True
        for check in self._checks.values():
            await check.stop()
        self._checks.clear()
        owned = [service for service in (*self, *self._gone) if service.owned]
        found = [service.client for service in owned]
        for service in owned:
            service.client, service.owned = None, False
        for client in (*found, self._session):
            if client is not None:
                await self._shut(client)

    @staticmethod
    async def _shut(client: Any) -> None:
        try:
            async with asyncio.timeout(CLOSE_DEADLINE):
                await clients.close(client)
        except (TimeoutError, OSError) as error:
            log.warning("client was not closed in order: %s", error)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- inside --------------------------------------------------------------------------

    def _usable(self, name: str) -> Service:
        if self._closed:
            raise RuntimeError("the pool is closed")
        return self.service(name)

    def _add(self, config: BreakerConfig, fallback: Fallback | None = None) -> Service:
        if self.configs is not None and config.name in self.configs:
            breaker = self.configs.breaker(config.name)
        else:
            breaker = self.breakers.get(config.name, config.policy)
        if breaker.policy.is_failure is None:
            judged = breaker.policy.replace(is_failure=clients.is_overloaded_or_broken)
            breaker.reconfigure(judged)
        breaker.add_listener(self._log, kinds=BreakerLog.kinds)
        service = Service(config, breaker, bulkhead_of(config, self._pools), fallback=fallback)
        self._services[config.name] = service
        return service

    def _changed(self, before: BreakerConfig | None, after: BreakerConfig | None) -> None:
        if after is None and before is not None:
            if (gone := self._services.pop(before.name, None)) is not None:
                self._gone.append(gone)
        elif after is not None and after.name in self._services:
            service = self._services[after.name]
            same = before is not None and before.bulkhead == after.bulkhead
            service.configure(after, service.bulkhead if same else bulkhead_of(after, self._pools))
        elif after is not None:
            self._add(after)

    async def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LONGEST))
        return self._session

    async def _client(
        self,
        service: Service,
        make: Callable[[str], Awaitable[Any]],
        answered: Callable[[BaseException], bool],
    ) -> Any:
        service.answered = answered
        if service.client is None:
            async with self._making:
                if service.client is None:
                    if service.config.url is None:
                        raise ValueError(f"service {service.config.name!r}: give a url or a client")
                    service.client, service.owned = await make(service.config.url), True
        return service.client

    async def _watch(self, service: Service) -> None:
        settings = service.config.health_check or HealthCheckConfig()
        look = service.health_check
        if look is None and settings.url is not None:
            look = url_answers(settings.url, timeout=settings.timeout)
        elif look is None and settings.query is not None:
            look = partial(self._answers, service.config.name, settings.query)
        if look is None:
            return
        check = RecoveryCheck(
            service.breaker,
            look,
            interval=settings.interval,
            timeout=settings.timeout,
            successes=settings.successes,
        )
        self._checks[service.config.name] = check
        await check.start()

    async def _answers(self, name: str, query: str) -> bool:
        its = self.service(name)
        pool = await self._client(its, clients.database_pool, clients.database_answered)
        await clients.database_query(pool, query, (), fetch_one=True, fetch=True)
        return True


def _bounded(service: Service, call: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """The same call, which ends: at the breaker's ``call_timeout``, or at the pool's own."""
    return call if service.breaker.policy.call_timeout else partial(clients.within, LONGEST, call)
