"""A daemon made of real breakers and a clock that a test moves, and a served web over it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cbmon.breaker import BreakerPolicy, CircuitBreaker
from cbmon.config.secrets import Secret, SecretFile
from cbmon.config.statuspage import StatusPageSection
from cbmon.errors import StoreError
from cbmon.model import (
    BreakerInfo,
    Category,
    Message,
    MessageState,
    Reason,
    Result,
    SkipCause,
)
from cbmon.notify.silences import Silence
from cbmon.results.summary import NUMBER_OF
from cbmon.settings.sheet import Author
from cbmon.testing import ManualClock
from cbmon.web.connections import Limits
from cbmon.web.server import WebServer
from cbmon.web.services import Operation, Order, ReloadOutcome, ResetOutcome
from tests.component.web.administering import FakeRecord, FakeSettings
from tests.component.web.keeping import FakeResults


@dataclass
class FakeComponent:
    info: BreakerInfo
    breaker: CircuitBreaker
    interval: float = 30.0
    timeout: float = 5.0
    last: Result | None = None
    last_run_at: float | None = None
    last_success_at: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


class FakeExposition:
    async def stream(self, *, openmetrics: bool = False) -> AsyncIterator[bytes]:
        yield b"# TYPE up gauge\nup 1\n"
        yield b"# EOF\n" if openmetrics else b""

    async def render_gzip(self, *, openmetrics: bool = False) -> bytes:
        pieces = [piece async for piece in self.stream(openmetrics=openmetrics)]
        return gzip.compress(b"".join(pieces))


@dataclass
class FakeMessaging:
    """The notify room's silences and messages, in memory."""

    clock: ManualClock
    made: list[Silence] = field(default_factory=list)
    outbox: list[Message] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)

    async def silences(self, *, expired: bool = False) -> list[Silence]:
        now = self.clock.time()
        return [one for one in reversed(self.made) if expired or now < one.ends_at]

    async def mute(
        self, matchers: Sequence[Any], seconds: float, *, author: str, reason: str
    ) -> Silence:
        now = self.clock.time()
        name = f"silence-{len(self.made)}"
        times = {"starts_at": now, "ends_at": now + seconds, "created_at": now}
        made = Silence(id=name, matchers=tuple(matchers), author=author, reason=reason, **times)
        self.made.append(made)
        return made

    async def expire_silence(self, silence_id: str) -> Silence:
        found = {one.id: one for one in await self.silences()}[silence_id]
        self.made.remove(found)
        ended = replace(found, ends_at=self.clock.time())
        self.made.append(ended)
        return ended

    async def messages(
        self,
        *,
        receiver: str | None = None,
        state: MessageState | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Message]:
        newest = sorted(self.outbox, key=lambda one: one.id, reverse=True)
        return [
            one
            for one in newest
            if receiver in {None, one.receiver} and state in {None, one.state}
            if before is None or one.id < before
        ][:limit]

    async def retry(self, message_id: str) -> bool:
        self.retried.append(message_id)
        return any(one.id == message_id and one.state == "dead" for one in self.outbox)

    async def try_receiver(self, receiver: str, *, dry_run: bool) -> list[dict[str, Any]]:
        if receiver != "oncall":
            raise KeyError(receiver)
        shown = {"reason": None, "error": None, "rendered": "the text" if dry_run else None}
        good = {"line": "oncall/slack", "outcome": "rendered" if dry_run else "delivered", **shown}
        bad = {"line": "oncall/email", "outcome": "temporary", **shown, "error": "no answer"}
        return [good] if dry_run else [good, bad]


@dataclass
class FakeDaemon:
    """What the web asks, without a monitor, a scheduler and a store."""

    clock: ManualClock = field(default_factory=ManualClock)
    version: str = "9.9.9"
    external_url: str | None = None
    exposition: Any = field(default_factory=FakeExposition)
    status_page: StatusPageSection = field(default_factory=StatusPageSection)
    problems: tuple[str, ...] = ()
    reasons: list[str] = field(default_factory=list)
    orders: list[tuple[str, Order]] = field(default_factory=list)
    reloads: list[str] = field(default_factory=list)
    authors: list[Author] = field(default_factory=list)
    store_broken: bool = False
    run_result: Result | SkipCause = field(default_factory=lambda: Result(ok=True, duration=0.02))

    def __post_init__(self) -> None:
        self.started_at = self.clock.time()
        self.notifying = FakeMessaging(self.clock)
        self.results = FakeResults(self.clock)
        self.kept = {0: 86_400.0, 300: 2 * 86_400.0, 3600: 30 * 86_400.0, 86_400: 400 * 86_400.0}
        self._components: dict[str, FakeComponent] = {}
        self._rows: list[dict[str, Any]] = []
        self.settings = FakeSettings(self._components)
        self.record = FakeRecord(moves=self.transitions)
        self.outages: list[dict[str, Any]] = []

    def add(
        self,
        name: str,
        *,
        category: Category = Category.CHECK,
        kind: str = "http",
        target: str = "",
        policy: Mapping[str, Any] | None = None,
        **info: Any,
    ) -> FakeComponent:
        breaker = CircuitBreaker(
            name, BreakerPolicy(**(policy or {})), clock=self.clock, category=category
        )
        breaker.add_listener(self._moved, kinds=("transition",))
        found = FakeComponent(
            BreakerInfo(name=name, category=category, kind=kind, target=target, **info), breaker
        )
        self._components[name] = found
        return found

    def ran(self, name: str, result: Result) -> None:
        """One run of a component ended like this."""
        component = self._components[name]
        permit = component.breaker.try_acquire()
        component.last, component.last_run_at = result, self.clock.time()
        self.results.add(name, result.duration, NUMBER_OF[result.reason])
        if result.ok:
            component.last_success_at = self.clock.time()
        if permit is not None:
            component.breaker.record(
                permit,
                failed=not result.ok,
                duration=result.duration,
                reason=result.reason,
                error=result.error,
            )

    def fail(self, name: str, times: int = 5, error: str = "connection refused") -> None:
        for _ in range(times):
            self.ran(name, failed(error))

    def _moved(self, event: Any) -> None:
        self._rows.insert(
            0,
            {
                "id": f"{len(self._rows):08}",
                "kind": "transition",
                "at": event.at,
                "component": event.name,
                "category": "check",
                "from_state": event.from_state.value,
                "to_state": event.to_state.value,
                "cause": event.cause.value,
                "text": event.text,
                "reason": event.last_reason,
                "last_error": event.last_error,
                "actor": event.actor,
                "incident_started_at": event.at,
                "cycles": event.cycles,
                "snapshot": {"secret": "inside"},
            },
        )

    # --- Services ---------------------------------------------------------------------------

    def discoveries(self) -> list[dict[str, Any]]:
        return [
            {
                "name": "fleet",
                "type": "file_sd",
                "source": "/srv/targets.json",
                "targets": 3,
                "checks": 2,
                "rejected": [{"address": "x", "problem": "no port"}],
                "rejected_count": 1,
                "last_success_at": 1_700_000_000.0,
                "failures": 1,
                "error": None,
            }
        ]

    def components(self) -> Iterator[FakeComponent]:
        return iter(self._components.values())

    def component(self, name: str) -> FakeComponent:
        return self._components[name]

    def next_run_in(self, name: str) -> float | None:
        component = self._components[name]
        return 12.0 if component.breaker.state.gauge == 1 else component.breaker.retry_after

    def ready(self) -> Sequence[str]:
        return self.reasons

    async def reload(self, author: Author) -> ReloadOutcome:
        self.reloads.append(author.actor)
        if self.problems:
            return ReloadOutcome(ok=False, problems=self.problems)
        return ReloadOutcome(ok=True, added=("new",), changed=("api", "db"))

    async def act(self, name: str, order: Order) -> None:
        self.orders.append((name, order))
        breaker = self._components[name].breaker
        said = {"actor": order.actor, "reason": order.reason}
        match order.operation:
            case Operation.OPEN if order.hold:
                breaker.force_open(**said)
            case Operation.OPEN:
                breaker.open(order.for_seconds, **said)
            case Operation.CLOSE if order.hold:
                breaker.force_close(**said)
            case Operation.ENABLE:
                breaker.enable(order.reset_counters, **said)
            case other:
                getattr(breaker, other.value)(**said)

    async def reset_all(self, author: Author) -> ResetOutcome:
        self.authors.append(author)
        return ResetOutcome(reset=len(self._components), left={"shop:redis": "it takes no orders"})

    async def run_component(self, name: str, author: Author) -> Result | SkipCause:
        assert name in self._components
        self.authors.append(author)
        return self.run_result

    async def transitions(
        self, *, component: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        if self.store_broken:
            raise StoreError("database is locked")
        rows = [row for row in self._rows if component in {None, row["component"]}]
        return [row for row in rows if before is None or row["id"] < before][:limit]

    async def incidents(
        self, *, open_only: bool = False, limit: int = 100, before: str | None = None
    ) -> list[dict[str, Any]]:
        if self.store_broken:
            raise StoreError("database is locked")
        rows = [one for one in self.outages if not open_only or one["ended_at"] is None]
        return [one for one in rows if before is None or one["id"] < before][:limit]


def failed(error: str = "connection refused", reason: Reason = Reason.CONNECT) -> Result:
    return Result(ok=False, duration=0.003, reason=reason, error=error)


@dataclass(frozen=True)
class Token:
    name: str
    role: str
    token: Secret | None = None
    token_file: SecretFile | None = None
    expires: float | None = None


TOKENS = (
    Token("vera", "viewer", Secret("viewer-token")),
    Token("otto", "operator", Secret("operator-token")),
    Token("ada", "admin", Secret("admin-tokén")),
)


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


class Served:
    """A bound server and a client that talks to it over loopback."""

    def __init__(self, server: WebServer, client: aiohttp.ClientSession) -> None:
        self.server = server
        self.port = server.addresses[0][1]
        self._client = client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        return await self.ask("POST", path, **options)

    async def ask(self, method: str, path: str, *, token: str = "", **options: Any) -> Reply:
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self._client.request(
            method, self.url + path, headers=headers, allow_redirects=False, **options
        ) as response:
            return Reply(response.status, response.headers, await response.read())


@asynccontextmanager
async def serving(
    daemon: Any,
    *,
    tokens: Sequence[Token] = (),
    limits: Limits | None = None,
    control: Path | None = None,
    listen: Sequence[tuple[str, int]] = (("127.0.0.1", 0),),
) -> AsyncIterator[Served]:
    server = WebServer(daemon, tokens=tokens, limits=limits)
    await server.bind(listen, control)
    await server.serve()
    try:
        async with aiohttp.ClientSession(auto_decompress=False) as client:
            yield Served(server, client)
    finally:
        await server.stop(1.0)
        await asyncio.sleep(0)


@pytest.fixture
def serve() -> Any:
    """``async with serve(daemon, tokens=…, limits=…) as web``."""
    return serving


@pytest.fixture
def fail_result() -> Any:
    return failed


@pytest.fixture
def tokens() -> Sequence[Token]:
    return TOKENS


@pytest.fixture
def token_of() -> Any:
    """Makes one entry of ``web.tokens``."""
    return Token


@pytest.fixture
def daemon() -> FakeDaemon:
    """Four components: three checks (one of them open) and an export."""
    fake = FakeDaemon()
    fake.add("api", target="https://api.example.net/health", tags=("critical",), group="shop")
    fake.add("db", kind="tcp", target="db.example.net:5432", depends_on=("api",))
    fake.add("flaky", target="http://127.0.0.1:1/", labels={"team": "shop"})
    fake.add("gateway", category=Category.EXPORT, kind="pushgateway")
    fake.ran("api", Result(ok=True, duration=0.023, facts={"status": 200}))
    fake.clock.advance(60)
    fake.fail("flaky")
    return fake


@pytest.fixture
async def web(daemon: FakeDaemon) -> AsyncIterator[Served]:
    """It, served without any credential."""
    async with serving(daemon) as served:
        yield served


@pytest.fixture
async def guarded(daemon: FakeDaemon) -> AsyncIterator[Served]:
    """It, served with one token for each role."""
    async with serving(daemon, tokens=TOKENS) as served:
        yield served
