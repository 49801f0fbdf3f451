"""LLM APIs behind a breaker: streams, stalls, limits and overload.

Rule: a stream is one call whose latency is the time to the first token; a server that says when to
come back is left alone for just as long.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cbmon import CircuitBreaker, CircuitOpenError, State
from cbmon.integrations.httpx import AsyncBreakerTransport, BreakerTransport
from cbmon.integrations.llm import LLM_RULES
from tests.component.integrations.conftest import Handler, Origin, Story, serving
from tests.component.integrations.drivers import PATIENCE

GAP = 0.08


class Model(Handler):
    """An OpenAI-compatible server; the model's name says how it behaves."""

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        length = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(length))
        self.server.seen.append(asked["model"])
        self.server.arrived.set()
        getattr(self, f"on_{asked['model']}")()

    def event(self, **data: Any) -> None:
        self.chunk(f"data: {json.dumps(data)}\n\n".encode())

    def token(self, text: str) -> None:
        self.event(choices=[{"index": 0, "delta": {"content": text}}])

    def role(self) -> None:
        self.begin("text/event-stream; charset=utf-8")
        self.chunk(b": waiting for a free slot\n\n")
        self.event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])

    def on_good(self) -> None:
        self.role()
        time.sleep(GAP)
        for word in ("good ", "tea"):
            self.token(word)
        time.sleep(6 * GAP)
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def on_stuck(self) -> None:
        self.role()
        self.token("well ")
        self.server.released.wait(20)

    def on_limited(self) -> None:
        self.answer(429, b'{"error": {"type": "rate_limit_error"}}', Retry_After="4")

    def on_fine_limited(self) -> None:
        self.answer(429, b"{}", retry_after_ms="2500")

    def on_overloaded(self) -> None:
        self.answer(529, b"{}", Retry_After="9")

    def on_breaking(self) -> None:
        self.role()
        self.token("so ")
        self.event(type="error", error={"type": "overloaded_error", "message": "come back later"})
        self.chunk(b"")

    def on_refusing(self) -> None:
        self.role()
        self.event(error={"type": "invalid_request_error", "message": "too long"})
        self.chunk(b"")


@pytest.fixture
def model() -> Iterator[Origin]:
    with serving(Origin(Model)) as server:
        yield server


def slow(**fields: Any) -> CircuitBreaker:
    """Opens when the first token takes longer than five gaps."""
    return CircuitBreaker(
        "llm", kind="time", minimum_calls=1, slow_call_seconds=5 * GAP, failure_rate_threshold=1.0,
        **fields,
    )  # fmt: skip


def asked(breaker: CircuitBreaker, server: Origin, model: str, stream: bool = True) -> list[str]:
    transport = BreakerTransport(breaker, rules=LLM_RULES)
    with (
        httpx.Client(transport=transport, timeout=max(0.8, PATIENCE)) as client,
        client.stream(
            "POST", f"{server.url}/v1/chat/completions", json={"model": model, "stream": stream}
        ) as response,
    ):
        return [line for line in response.iter_lines() if line]


def test_the_latency_of_a_stream_is_the_time_to_its_first_token(model: Origin) -> None:
    breaker = slow()
    breaker.enable_duration_histogram([GAP / 2, 5 * GAP, 10 * GAP])
    assert asked(breaker, model, "good")[-1] == "data: [DONE]"
    counts = breaker.counts
    assert (counts.successes, counts.slow_calls, counts.in_flight) == (1, 0, 0)
    assert counts.histogram is not None
    assert GAP / 2 < counts.histogram.sum < 5 * GAP


def test_a_stream_that_stalls_is_a_failure(
    breaker: CircuitBreaker, model: Origin, story: Story
) -> None:
    with pytest.raises(httpx.ReadTimeout):
        asked(breaker, model, "stuck")
    assert story.reasons == ["timeout"]


@pytest.mark.parametrize(
    ("name", "seconds"), [("limited", 4), ("fine_limited", 2.5), ("overloaded", 9)]
)
def test_a_limit_opens_it_for_as_long_as_the_server_says(
    breaker: CircuitBreaker, model: Origin, name: str, seconds: float
) -> None:
    asked(breaker, model, name)
    assert breaker.state is State.OPEN
    assert seconds - 1 < (breaker.retry_after or 0) <= seconds
    with pytest.raises(httpx.TransportError) as caught:
        asked(breaker, model, "good")
    assert isinstance(caught.value, CircuitOpenError)
    assert model.seen == [name]


def test_an_error_in_the_middle_of_a_stream_is_a_failure(
    breaker: CircuitBreaker, model: Origin, story: Story
) -> None:
    asked(breaker, model, "breaking")
    assert story.reasons == ["body"]
    assert "overloaded_error" in str(breaker.explain()) or breaker.counts.failures == 1


def test_an_error_that_is_about_the_request_is_an_answer(
    breaker: CircuitBreaker, model: Origin
) -> None:
    asked(breaker, model, "refusing")
    assert (breaker.counts.failures, breaker.counts.successes) == (0, 1)


async def test_a_stream_that_is_closed_early_is_a_success(
    breaker: CircuitBreaker, model: Origin
) -> None:
    transport = AsyncBreakerTransport(breaker, rules=LLM_RULES)
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("POST", f"{model.url}/v1/chat", json={"model": "good"}) as response,
    ):
        async for line in response.aiter_lines():
            if "tea" in line:
                break
        assert breaker.counts.in_flight == 1
    assert (breaker.counts.in_flight, breaker.counts.successes) == (0, 1)


async def test_a_cancelled_stream_says_nothing(breaker: CircuitBreaker, model: Origin) -> None:
    transport = AsyncBreakerTransport(breaker, rules=LLM_RULES)
    async with httpx.AsyncClient(transport=transport) as client:
        task = asyncio.create_task(client.post(f"{model.url}/v1/chat", json={"model": "stuck"}))
        await asyncio.to_thread(model.arrived.wait, 5)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    counts = breaker.counts
    assert (counts.cancelled, counts.failures, counts.in_flight) == (1, 0, 0)
