"""``llm``: is a language model there, and does it answer.

Rule: without a prompt the models are listed, which costs the server nothing; with one, it is asked
and its answer is read as it streams, so that the time to the first token is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from pydantic import Field, model_validator

from cbmon.config.fields import Duration, Options, Regex, fault
from cbmon.interfaces import Attempt, Clock
from cbmon.model import Reason, Result
from cbmon.probes.api import Api, ApiOptions, Reply, entries, parsed
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, seconds, shown
from cbmon.probes.http.redacted import redacted
from cbmon.probes.kind import ProbeType
from cbmon.probes.outcome import outcome

KEPT: Final = 64 * 1024
"""Characters of an answer that are looked at."""
_SHOWN: Final = 20


class LlmExpect(Options):
    """What makes an answer a good one."""

    matches: Regex | None = Field(None, description="pattern that the answer's text must match")
    first_token: Duration | None = Field(
        None, description="longest time until the first token, connecting included"
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class LlmOptions(ApiOptions):
    """A server of language models."""

    api: Literal["openai", "ollama"] = Field(
        "openai",
        description="what the server speaks: the URL then ends with `/v1`, or is Ollama's own",
    )
    model: str | None = Field(
        None, description="model that must be there, or be asked", min_length=1, max_length=300
    )
    prompt: str | None = Field(None, description="what to ask the model", min_length=1)
    max_tokens: int = Field(16, description="longest answer to ask for", ge=1, le=4096)
    parameters: dict[str, Any] = Field(
        {}, description="more fields of the request; one that is null is left out"
    )
    expect: LlmExpect = Field(LlmExpect(), description="what makes the answer a good one")

    @model_validator(mode="after")
    def _check_prompt(self) -> LlmOptions:
        if self.prompt is not None and self.model is None:
            raise fault("prompt needs model", "prompt")
        if self.prompt is None and (self.expect.matches or self.expect.first_token):
            raise fault("expecting an answer needs prompt", "expect")
        return self


class Piece(NamedTuple):
    """A part of an answer; ``tokens`` is how many the server says there were in all."""

    text: str = ""
    tokens: int | None = None
    last: bool = False


class LlmProbe:
    """Lists or asks anew at every run."""

    def __init__(self, options: LlmOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._clock: Clock = environment.clock
        self._api = Api(options, environment)
        self._dialect = DIALECTS[options.api]

    async def run(self, attempt: Attempt) -> Result:
        """List the models, or ask one."""
        look = self._list if self._options.prompt is None else self._ask
        return await outcome(attempt, look(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _list(self, attempt: Attempt) -> None:
        async with self._api.ask(attempt, self._dialect.listing) as reply:
            if reply.status != 200:
                raise await reply.refuse()
            names = self._dialect.names(await reply.json())
        attempt.facts["models"] = names[:_SHOWN]
        wanted = self._options.model
        if wanted is not None and wanted not in names and f"{wanted}:latest" not in names:
            got = shown(", ".join(names)) if names else "none"
            raise ProbeError(Reason.BODY, f"got the models {got}, expected {wanted}")
        check_duration(attempt, self._options.expect.max_duration)

    async def _ask(self, attempt: Attempt) -> None:
        body = {**self._dialect.request(self._options), **self._options.parameters}
        body = {name: value for name, value in body.items() if value is not None}
        path = self._dialect.asking
        async with self._api.ask(attempt, path, method="POST", body=body) as reply:
            if reply.status != 200:
                raise await reply.refuse()
            text = await self._hear(attempt, reply)
        expect = self._options.expect
        if expect.matches is not None and not expect.matches.search(text):
            wanted = expect.matches.pattern
            raise ProbeError(Reason.BODY, f"got {shown(text)}, expected a match for {wanted!r}")
        first = attempt.facts["first_token_seconds"]
        if expect.first_token is not None and first > expect.first_token:
            text = f"the first token came after {seconds(first)}, expected at most "
            raise ProbeError(Reason.LATENCY, text + seconds(expect.first_token))
        check_duration(attempt, expect.max_duration)

    async def _hear(self, attempt: Attempt, reply: Reply) -> str:
        """The text of a whole answer; its figures go to the facts."""
        text, count, told = "", 0, None
        first = now = self._clock.monotonic()
        ended = False
        async for piece in _pieces(reply, self._dialect):
            now = self._clock.monotonic()
            if piece.text:
                first = now if count == 0 else first
                count += 1
                text += piece.text[: max(0, KEPT - len(text))]
            told = piece.tokens or told
            attempt.facts["tokens"] = told or count
            if count:
                attempt.facts["first_token_seconds"] = round(first - attempt.started, 6)
            if piece.last:
                ended = True
                break
        if not ended:
            raise ProbeError(Reason.PROTOCOL, "the answer ends in the middle")
        if count == 0:
            raise ProbeError(Reason.BODY, "got an answer without a token")
        if count > 1 and now > first:
            attempt.facts["tokens_per_second"] = round((count - 1) / (now - first), 2)
        attempt.facts["answer"] = shown(text)
        return text


class Dialect(NamedTuple):
    """What one kind of server is asked, and how its answers are read."""

    listing: str
    names: Callable[[Any], list[str]]
    asking: str
    request: Callable[[LlmOptions], dict[str, Any]]
    piece: Callable[[str], Piece | None]
    """What a line of a stream means; None for one that means nothing."""


async def _pieces(reply: Reply, dialect: Dialect) -> AsyncIterator[Piece]:
    if dialect is DIALECTS["openai"] and "json" in reply.headers.get("Content-Type", ""):
        whole = await reply.json()  # a server that does not stream answers all at once
        yield Piece(_text(_first(whole).get("message")), _count(whole), last=True)
        return
    async for line in reply.lines():
        if line and (piece := dialect.piece(line)) is not None:
            yield piece


def _openai_request(options: LlmOptions) -> dict[str, Any]:
    return {
        "model": options.model,
        "messages": [{"role": "user", "content": options.prompt}],
        "max_tokens": options.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _ollama_request(options: LlmOptions) -> dict[str, Any]:
    return {
        "model": options.model,
        "prompt": options.prompt,
        "stream": True,
        "options": {"num_predict": options.max_tokens},
    }


def _openai_piece(line: str) -> Piece | None:
    field, _, data = line.partition(":")
    if field != "data":
        return None
    if data.strip() == "[DONE]":
        return Piece(last=True)
    found = _sound(parsed(data))
    return Piece(_text(_first(found).get("delta")), _count(found))


def _ollama_piece(line: str) -> Piece | None:
    found = _sound(parsed(line))
    count = found.get("eval_count")
    return Piece(
        str(found.get("response") or found.get("thinking") or ""),
        count if isinstance(count, int) else None,
        found.get("done") is True,
    )


def _sound(found: Any) -> dict[str, Any]:
    """A message of a stream that is one, and tells of no error."""
    if not isinstance(found, dict):
        raise ProbeError(Reason.PROTOCOL, "the answer is malformed")
    if error := found.get("error"):
        said = error.get("message") if isinstance(error, Mapping) else error
        raise ProbeError(Reason.STATUS, f"the server failed: {shown(str(said))}")
    return found


def _first(found: Any) -> Mapping[str, Any]:
    choices = found.get("choices") if isinstance(found, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        first: Mapping[str, Any] = choices[0]
        return first
    return {}


def _text(message: object) -> str:
    if not isinstance(message, Mapping):
        return ""
    found = message.get("content") or message.get("reasoning_content") or message.get("reasoning")
    return found if isinstance(found, str) else ""


def _count(found: Any) -> int | None:
    usage = found.get("usage") if isinstance(found, dict) else None
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


def _names(list_key: str, name_key: str) -> Callable[[Any], list[str]]:
    def names(document: Any) -> list[str]:
        models = entries(document, list_key)
        if not isinstance(models, list):
            raise ProbeError(Reason.PROTOCOL, f"{list_key} of the answer is not a list")
        return [str(entries(model, name_key)) for model in models]

    return names


DIALECTS: Final[Mapping[str, Dialect]] = {
    "openai": Dialect(
        "/models", _names("data", "id"), "/chat/completions", _openai_request, _openai_piece
    ),
    "ollama": Dialect(
        "/api/tags", _names("models", "name"), "/api/generate", _ollama_request, _ollama_piece
    ),
}


TYPE: Final = ProbeType(
    name="llm",
    options=LlmOptions,
    target=lambda options: f"{redacted(options.url)} {options.model or ''}".rstrip(),
    build=LlmProbe,
)
