"""Rule: a model is good when it is there, or when it answers as expected and in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from cbmon.model import Reason
from cbmon.probes import AddressPolicy
from cbmon.probes.llm import LlmOptions


def sse(*chunks: Any, done: bool = True) -> list[bytes]:
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return [b": keep-alive\n\n", *lines, *([b"data: [DONE]\n\n"] if done else [])]


def said(text: str, key: str = "content") -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {key: text}}]}


def ndjson(*chunks: Any) -> list[bytes]:
    return [json.dumps(chunk).encode() + b"\n" for chunk in chunks]


class Models:
    """Speaks both APIs; ``stream`` is what a prompt is answered with, piece by piece."""

    def __init__(self) -> None:
        self.port = 0
        self.stream: Sequence[bytes] = sse(said("Y"), said("es"), said("."))
        self.pause = 0.0
        self.stall = False
        self.whole: Any = None
        self.asked: list[tuple[web.Request, Any]] = []
        self.hung_up = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def ollama(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def list(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") == "Bearer wrong":
            return web.json_response({"error": {"message": "bad key"}}, status=401)
        return web.json_response({"data": [{"id": "small"}, {"id": "large"}]})

    async def tags(self, request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": "llama3:latest"}, {"name": "phi:3b"}]})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append((request, body))
        if body["model"] == "nobody":
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        if self.whole is not None:
            return web.json_response(self.whole)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for piece in self.stream:
                await asyncio.sleep(self.pause)
                await response.write(piece)
            while self.stall:
                await asyncio.sleep(0.01)
                await response.write(b": ping\n\n")
        except ConnectionError:
            self.hung_up.set()
        return response


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    made = Models()
    app = web.Application()
    app.router.add_get("/v1/models", made.list)
    app.router.add_get("/api/tags", made.tags)
    app.router.add_post("/v1/chat/completions", made.answer)
    app.router.add_post("/api/generate", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_without_a_prompt_the_models_are_listed(bench: Any, models: Models) -> None:
    result = await bench.look("llm", url=models.url)

    assert result.ok, result.error
    assert result.facts["models"] == ["small", "large"]
    assert models.asked == []


@pytest.mark.parametrize(
    ("good", "api", "model"),
    [
        (True, "openai", "large"),
        (False, "openai", "huge"),
        (True, "ollama", "llama3"),
        (True, "ollama", "llama3:latest"),
        (True, "ollama", "phi:3b"),
        (False, "ollama", "phi"),
    ],
)
async def test_a_model_must_be_among_them(
    bench: Any, models: Models, good: bool, api: str, model: str
) -> None:
    url = models.url if api == "openai" else models.ollama

    result = await bench.look("llm", url=url, api=api, model=model)

    assert result.ok is good, result.error
    if not good:
        assert result.reason is Reason.BODY
        assert f"expected {model}" in result.error


async def test_an_answer_is_read_as_it_streams(bench: Any, models: Models) -> None:
    models.pause = 0.01

    result = await bench.look(
        "llm",
        url=models.url,
        model="small",
        prompt="Say yes.",
        expect={"matches": "^Yes", "first_token": "5s"},
    )

    assert result.ok, result.error
    assert result.facts["tokens"] == 3
    assert result.facts["answer"] == '"Yes."'
    assert 0.01 < result.facts["first_token_seconds"] < result.duration - 0.025
    assert 1 < result.facts["tokens_per_second"] < 200
    assert result.phases.processing > 0
    assert result.phases.transfer > 0
    _, body = models.asked[0]
    assert body["messages"] == [{"role": "user", "content": "Say yes."}]
    assert (body["max_tokens"], body["stream"]) == (16, True)


async def test_the_server_s_own_count_of_tokens_is_believed(bench: Any, models: Models) -> None:
    usage = {"choices": [], "usage": {"completion_tokens": 42}}
    models.stream = sse(said("a"), said("b"), usage)

    result = await bench.look("llm", url=models.url, model="m", prompt="p")

    assert result.facts["tokens"] == 42


async def test_thinking_counts_as_answering(bench: Any, models: Models) -> None:
    models.stream = sse(said("hm", "reasoning_content"))

    assert (await bench.look("llm", url=models.url, model="m", prompt="p")).ok


async def test_ollama_is_asked_in_its_own_words(bench: Any, models: Models) -> None:
    models.stream = ndjson(
        {"response": "Y", "done": False}, {"response": "es", "done": True, "eval_count": 7}
    )

    result = await bench.look(
        "llm",
        url=models.ollama,
        api="ollama",
        model="llama3",
        prompt="p",
        max_tokens=5,
        expect={"matches": "Yes"},
    )

    assert result.ok, result.error
    assert result.facts["tokens"] == 7
    assert models.asked[0][1]["options"] == {"num_predict": 5}


async def test_a_server_that_does_not_stream_is_read_all_at_once(
    bench: Any, models: Models
) -> None:
    message = {"choices": [{"message": {"content": "Yes"}}], "usage": {"completion_tokens": 1}}
    models.whole = message

    result = await bench.look("llm", url=models.url, model="m", prompt="p", expect={"matches": "Y"})

    assert result.ok, result.error


async def test_parameters_change_the_request(bench: Any, models: Models) -> None:
    parameters = {"max_tokens": None, "max_completion_tokens": 5, "temperature": 0}

    await bench.look("llm", url=models.url, model="m", prompt="p", parameters=parameters)

    _, body = models.asked[0]
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 5


@pytest.mark.parametrize(
    ("reason", "message", "stream", "expect"),
    [
        (Reason.BODY, "expected a match for 'no'", sse(said("yes")), {"matches": "no"}),
        (Reason.BODY, "without a token", sse(said("")), {}),
        (Reason.BODY, "without a token", sse(), {}),
        (Reason.PROTOCOL, "ends in the middle", sse(said("y"), done=False), {}),
        (Reason.PROTOCOL, "expected JSON", [b"data: {\n\n"], {}),
        (Reason.PROTOCOL, "malformed", sse([1]), {}),
        (Reason.STATUS, 'failed: "no memory"', sse({"error": {"message": "no memory"}}), {}),
        (Reason.SIZE, "a line is longer", [b"data: " + b"x" * 300_000], {}),
        (Reason.SIZE, "larger than", [b"x" * 1000 + b"\n"] * 5000, {}),
        (Reason.LATENCY, "the first token came after", sse(said("y")), {"first_token": 0.0001}),
        (Reason.LATENCY, "took", sse(said("y")), {"max_duration": 0.0001}),
    ],
)  # fmt: skip
async def test_an_answer_that_is_not_good_has_its_reason(
    bench: Any,
    models: Models,
    reason: Reason,
    message: str,
    stream: list[bytes],
    expect: dict[str, Any],
) -> None:
    models.stream = stream

    result = await bench.look("llm", url=models.url, model="m", prompt="p", expect=expect)

    assert result.reason is reason, result.error
    assert message in result.error


async def test_an_error_in_the_middle_of_ollama_s_answer_is_told(
    bench: Any, models: Models
) -> None:
    models.stream = ndjson({"response": "Y"}, {"error": "llama runner has ended"})

    result = await bench.look("llm", url=models.ollama, api="ollama", model="m", prompt="p")

    assert result.reason is Reason.STATUS
    assert "llama runner has ended" in result.error


async def test_a_refusal_says_what_the_server_says(
    bench: Any, models: Models, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("wrong\n")

    unknown = await bench.look("llm", url=models.url, model="nobody", prompt="p")
    refused = await bench.look("llm", url=models.url, bearer_token_file=str(tmp_path / "key"))

    assert unknown.reason is Reason.STATUS
    assert unknown.error == 'got status 404, expected 200: "no such model"'
    assert refused.reason is Reason.AUTH
    assert 'expected 200: "bad key"' in refused.error


async def test_a_stream_that_stalls_is_cut_off_and_hung_up_on(bench: Any, models: Models) -> None:
    models.stream, models.stall = sse(said("Y"), done=False), True
    task = asyncio.ensure_future(bench.look("llm", url=models.url, model="m", prompt="p"))
    await asyncio.sleep(0.1)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(models.hung_up.wait(), 2)


async def test_the_address_policy_holds(bench: Any) -> None:
    closed = bench.environment.under(AddressPolicy(deny=["127.0.0.0/8"]))

    result = await bench.look("llm", closed, url="http://127.0.0.1:1/v1")

    assert result.reason is Reason.POLICY


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("prompt needs model", {"prompt": "p"}),
        ("needs prompt", {"model": "m", "expect": {"matches": "x"}}),
        ("needs prompt", {"expect": {"first_token": "1s"}}),
        ("exclude each other", {"bearer_token": "a", "headers": {"Authorization": "b"}}),
    ],
)
def test_what_cannot_work_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=message):
        LlmOptions.model_validate({"url": "http://a.test/v1", **options})
