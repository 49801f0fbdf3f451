"""The reporter against a daemon's part over HTTP. Rule: nothing raises into the program."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cbmon import BreakerRegistry, CircuitBreaker, State
from cbmon.apps import parse_report
from cbmon.report import BreakerReporter, DaemonError, RefusedError


class FakeDaemon:
    """Keeps what is reported and hands out orders."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []
        self.orders: list[dict[str, Any]] = []
        self.status = 200
        self.raw: bytes | None = None
        self.refused: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake.changed:
                    fake.tokens.append(self.headers["Authorization"])
                    if fake.status == 200:
                        fake.reports.append(body)
                        fake.orders = [o for o in fake.orders if o["id"] not in body["done"]]
                    fake.changed.notify_all()
                self.answer()

            def do_GET(self) -> None:
                with fake.changed:
                    fake.changed.wait_for(lambda: bool(fake.orders), timeout=0.2)
                self.answer()

            def answer(self) -> None:
                error = {"error": {"code": "no", "message": "because"}}
                body: Any = {"orders": fake.orders, "refused": fake.refused}
                body = body if fake.status == 200 else error
                raw = json.dumps(body).encode() if fake.raw is None else fake.raw
                self.send_response(fake.status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=seconds)


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    fake = FakeDaemon()
    yield fake
    fake.close()


@pytest.fixture
def breakers() -> BreakerRegistry:
    found = BreakerRegistry(failure_threshold=2)
    found.get("redis")
    found.get("db")
    return found


def reporter(daemon: FakeDaemon, breakers: BreakerRegistry, **options: Any) -> BreakerReporter:
    options = {"interval": 3600, "application": "shop", "token": "secret", **options}
    return BreakerReporter(breakers, url=daemon.url, **options)


def test_a_batch_job_reports_once(daemon: FakeDaemon, breakers: BreakerRegistry) -> None:
    its = reporter(daemon, breakers, process="nightly", labels={"team": "a"}, tags=["batch"])
    breakers.get("redis").open()
    assert its.report() == 2
    (body,) = daemon.reports
    assert {one["name"]: one["state"] for one in body["breakers"]} == {
        "redis": "open",
        "db": "closed",
    }
    assert (body["application"], body["process"], body["takes_orders"]) == (
        "shop",
        "nightly",
        False,
    )
    assert daemon.tokens == ["Bearer secret"]


def test_a_move_is_told_at_once_and_only_once(
    daemon: FakeDaemon, breakers: BreakerRegistry
) -> None:
    with reporter(daemon, breakers):
        daemon.until(lambda: len(daemon.reports) == 1)
        breakers.get("redis").open()
        daemon.until(lambda: len(daemon.reports) == 2)
    told = [
        (one["name"], move["from"], move["to"])
        for body in daemon.reports
        for one in body["breakers"]
        for move in one["moves"]
    ]
    assert told == [("redis", "closed", "open")]
    assert daemon.reports[-1]["final"] is True


def test_moves_wait_for_a_daemon_that_is_down(
    daemon: FakeDaemon, breakers: BreakerRegistry
) -> None:
    its = reporter(daemon, breakers)
    its.report()
    daemon.status = 503
    breakers.get("redis").open()
    with pytest.raises(DaemonError, match="503: because"):
        its.report()
    breakers.get("redis").close()
    daemon.status = 200
    its.report()
    (redis,) = [one for one in daemon.reports[-1]["breakers"] if one["name"] == "redis"]
    assert [(move["from"], move["to"]) for move in redis["moves"]] == [
        ("closed", "open"),
        ("open", "closed"),
    ]
    assert [move["number"] for move in redis["moves"]] == [1, 2]


@pytest.mark.parametrize(
    ("status", "raw", "error"),
    [
        (401, None, RefusedError),
        (409, b"<html>", RefusedError),
        (500, None, DaemonError),
        (302, b"", DaemonError),
        (200, b"not json", DaemonError),
        (200, b"[]", DaemonError),
        (200, b'{"orders": 7}', DaemonError),
    ],
)
def test_a_wrong_answer_is_an_error_with_its_reason(
    daemon: FakeDaemon,
    breakers: BreakerRegistry,
    status: int,
    raw: bytes | None,
    error: type[Exception],
) -> None:
    daemon.status, daemon.raw = status, raw
    with pytest.raises(error) as caught:
        reporter(daemon, breakers).report()
    assert "secret" not in str(caught.value)


def test_nobody_there_costs_a_log_line_and_no_more(
    breakers: BreakerRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    its = BreakerReporter(breakers, url="http://127.0.0.1:1", application="shop")
    with its:
        deadline = time.monotonic() + 5
        while not its.failures and time.monotonic() < deadline:
            time.sleep(0.01)
        breakers.get("redis").call(len, "")
    assert its.last_error is not None
    assert "does not answer" in caplog.text


def test_orders_are_carried_out_once_and_acknowledged(
    daemon: FakeDaemon, breakers: BreakerRegistry
) -> None:
    redis = breakers.get("redis")
    with reporter(daemon, breakers, accept_orders=True):
        daemon.until(lambda: len(daemon.reports) == 1)
        with daemon.changed:
            daemon.orders = [
                {
                    "id": "1",
                    "breaker": "redis",
                    "action": "open",
                    "actor": "me",
                    "reason": "deploy",
                    "options": {"for_seconds": 50},
                }
            ]
            daemon.changed.notify_all()
        daemon.until(lambda: not daemon.orders)
    assert redis.state is State.OPEN
    assert redis.retry_after == pytest.approx(50, abs=5)
    assert "by me: deploy" in redis.explain() or "deploy" in redis.explain()
    assert redis.counts.transitions == {(State.CLOSED, State.OPEN): 1}


def test_an_order_that_comes_again_after_it_was_acknowledged_is_not_carried_out_again(
    daemon: FakeDaemon, breakers: BreakerRegistry
) -> None:
    its = reporter(daemon, breakers, accept_orders=True)
    order = {"id": "1", "breaker": "redis", "action": "force_open", "actor": "me"}
    daemon.orders = [order]
    its.report()
    its.report()
    assert daemon.orders == []
    breakers.get("redis").close()
    daemon.orders = [order]
    its.report()
    assert breakers.get("redis").state is State.CLOSED


@pytest.mark.parametrize(
    "order",
    [
        {"breaker": "redis", "action": "disable"},
        {"breaker": "redis", "action": "__init__"},
        {"breaker": "none", "action": "reset"},
        {"breaker": "redis", "action": "reset", "options": {"exec": 1}},
        {"breaker": "redis", "action": "open", "options": {"for_seconds": "x"}},
        {"breaker": "db", "action": "half_open"},
    ],
)
def test_an_order_that_is_not_accepted_does_nothing_but_is_answered(
    daemon: FakeDaemon, breakers: BreakerRegistry, order: dict[str, Any]
) -> None:
    its = reporter(daemon, breakers, accept_orders={"open", "reset", "half_open"})
    daemon.orders = [{"id": "1", "actor": "me", "reason": "", "options": {}, **order}]
    its.report()
    its.report()
    assert daemon.orders == []
    assert set(breakers.states().values()) == {State.CLOSED}


def test_many_breakers_go_in_several_reports(daemon: FakeDaemon) -> None:
    many = BreakerRegistry()
    for number in range(100):
        many.get(f"b{number}")
    its = reporter(daemon, many)
    assert its.report(final=True) == 100
    assert sum(len(body["breakers"]) for body in daemon.reports) == 100
    assert [body["final"] for body in daemon.reports] == [
        *[False] * (len(daemon.reports) - 1),
        True,
    ]
    assert all(len(json.dumps(body)) < 60_000 for body in daemon.reports)


def test_a_token_file_is_read_for_every_report(
    daemon: FakeDaemon, breakers: BreakerRegistry, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    its = reporter(daemon, breakers, token=None, token_file=file)
    with pytest.raises(DaemonError, match="cannot be read"):
        its.report()
    for secret in ("one", "two"):
        file.write_text(f"{secret}\n")
        its.report()
    assert daemon.tokens == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://x", "token": "a", "token_file": "b"}, "token"),
        ({"url": "http://x", "timeout": 0}, "timeout"),
        ({"url": "http://x", "interval": 0}, "interval"),
        ({"url": "http://x", "accept_orders": {"explode"}}, "accept_orders"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        BreakerReporter([], application="shop", **options)


async def test_it_ends_without_holding_up_the_loop(
    daemon: FakeDaemon, breakers: BreakerRegistry
) -> None:
    async with reporter(daemon, breakers):
        await asyncio.to_thread(daemon.until, lambda: len(daemon.reports) == 1)
    assert daemon.reports[-1]["final"] is True


def test_breakers_that_cannot_be_listed_end_no_thread(
    daemon: FakeDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd:
        asked = 0

        def __iter__(self) -> Iterator[CircuitBreaker]:
            self.asked += 1
            if self.asked == 2:
                raise RuntimeError("changed size during iteration")
            return iter([CircuitBreaker("a")])

    its = BreakerReporter(Odd(), url=daemon.url, application="shop", interval=3600)
    with its:
        daemon.until(lambda: len(daemon.reports) == 1, 10)
    assert "report could not be made" in caplog.text


def test_starting_twice_is_refused(daemon: FakeDaemon, breakers: BreakerRegistry) -> None:
    its = reporter(daemon, breakers)
    with its, pytest.raises(RuntimeError):
        its.start()


def test_names_that_a_daemon_does_not_take_are_carried_as_others_that_stay_apart(
    daemon: FakeDaemon,
) -> None:
    names = ["x" * 200 + "a", "x" * 200 + "b", " a", "a ", ".", "..", "a"]
    several = [CircuitBreaker(name) for name in names]
    its = BreakerReporter(several, url=daemon.url, application="shop", accept_orders=True)
    several[0].open()
    assert its.report() == 7
    found = parse_report(daemon.reports[0])
    assert (len({one.name for one in found.breakers}), found.refused) == (7, ())
    assert found.breakers[-1].name == "a"
    order = {"id": "1", "action": "force_open", "breaker": found.breakers[0].name}
    daemon.orders = [order]
    its.report()
    assert several[0].state is State.FORCED_OPEN
    assert [move.to_state for move in parse_report(daemon.reports[1]).breakers[0].moves] == []


def test_what_a_daemon_refuses_is_said_once_and_the_rest_arrives(
    daemon: FakeDaemon, breakers: BreakerRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.refused = [{"name": "db", "path": "breakers[1].name", "message": "is taken"}]
    its = reporter(daemon, breakers)
    assert (its.report(), its.report()) == (2, 2)
    said = [record.getMessage() for record in caplog.records if "not take" in record.getMessage()]
    assert said == ["the daemon does not take the breaker db: is taken"]


def test_a_portion_that_is_refused_holds_up_no_other(daemon: FakeDaemon) -> None:
    several = [CircuitBreaker(f"b{number}") for number in range(300)]
    its = BreakerReporter(several, url=daemon.url, application="shop")
    asked = 0

    def refuse_first(body: dict[str, Any]) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RefusedError("the daemon answered 400: because")
        return post(body)

    post = its._daemon.post
    its._daemon.post = refuse_first  # type: ignore[method-assign, assignment]
    with pytest.raises(RefusedError, match="because"):
        its.report()
    assert sum(len(body["breakers"]) for body in daemon.reports) > 0
