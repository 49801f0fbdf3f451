"""What a stream of tokens says, however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.integrations.llm import TokenWatch, watch_tokens


def sse(**event: Any) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


FIRST_TOKENS = {
    "openai chat": sse(choices=[{"delta": {"content": "a"}}]),
    "openai tool call": sse(choices=[{"delta": {"tool_calls": [{"index": 0}]}}]),
    "openai completion": sse(choices=[{"text": "a"}]),
    "openai response": sse(type="response.output_text.delta", delta="a"),
    "anthropic": b"event: content_block_delta\n" + sse(type="content_block_delta", delta={}),
    "ollama chat": b'{"message": {"role": "assistant", "content": "a"}}\n',
    "ollama thinking": b'{"message": {"role": "assistant", "content": "", "thinking": "a"}}\n',
    "ollama generate": b'{"response": "a", "done": false}\n',
}
NO_TOKENS = {
    "role": sse(choices=[{"delta": {"role": "assistant", "content": ""}}]),
    "comment": b": keep-alive\n\n",
    "anthropic start": sse(type="message_start", message={"content": []}),
    "anthropic ping": sse(type="ping"),
    "openai created": sse(type="response.created", response={"error": None}),
    "done": b"data: [DONE]\n\n",
    "ollama empty": b'{"response": "", "done": false}\n',
    "usage": sse(choices=[], usage={"total_tokens": 3}),
    "rubbish": b"data: {not json\n\n",
}
FAILURES = {
    "openai": (sse(error={"type": "server_error", "message": "oh"}), "server_error: oh"),
    "anthropic": (
        b"event: error\n" + sse(type="error", error={"type": "overloaded_error", "message": "x"}),
        "overloaded_error: x",
    ),
    "ollama": (b'{"error": "model runner has stopped"}\n', "model runner has stopped"),
    "openai response": (
        sse(type="response.failed", response={"error": {"code": "server_error", "message": "m"}}),
        "server_error: m",
    ),
}


def fed(*pieces: bytes) -> TokenWatch:
    watch = TokenWatch()
    for piece in pieces:
        watch.feed(piece)
    return watch


@pytest.mark.parametrize("name", FIRST_TOKENS)
def test_a_first_token_is_seen(name: str) -> None:
    assert fed(FIRST_TOKENS[name]).begun


@pytest.mark.parametrize("name", NO_TOKENS)
def test_what_is_no_token_is_passed_over(name: str) -> None:
    watch = fed(NO_TOKENS[name])
    assert (watch.begun, watch.failure) == (False, None)


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("after", [b"", FIRST_TOKENS["openai chat"]])
def test_a_failure_is_seen_before_and_after_the_first_token(name: str, after: bytes) -> None:
    event, words = FAILURES[name]
    assert fed(after, event).failure == words


@pytest.mark.parametrize(
    "kind", ["invalid_request_error", "authentication_error", "not_found_error", "billing_error"]
)
def test_an_error_that_is_about_the_request_is_no_failure(kind: str) -> None:
    assert fed(sse(error={"type": kind, "message": "m"})).failure is None


def test_the_word_error_in_an_answer_is_no_failure() -> None:
    said = sse(choices=[{"delta": {"content": 'the key "error" has failed'}}])
    assert fed(said, said).failure is None


STREAM = NO_TOKENS["role"] + NO_TOKENS["comment"] + FIRST_TOKENS["anthropic"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_it_does_not_matter_where_a_stream_is_cut(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(STREAM)]
    watch = fed(*(STREAM[a:b] for a, b in pairwise(ends)))
    assert (watch.begun, watch.failure) == (True, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "type", "choices", "delta", "message", "response", "code", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_event_can_break_it(event: Any) -> None:
    fed(b"data: " + json.dumps(event).encode() + b"\n\n")


@given(st.binary(max_size=300))
def test_nothing_that_comes_can_break_it(data: bytes) -> None:
    fed(data, b"data: " + data + b"\n", b'data: {"error": ' + data + b"}\n")


def test_a_line_without_end_is_not_kept() -> None:
    watch = fed(*[b"x" * 100_000] * 20)
    assert watch.begun
    assert len(watch._rest) < 1 << 21


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"content-type": "text/event-stream; charset=utf-8"}, "TokenWatch"),
        ({"content-type": "application/x-ndjson"}, "TokenWatch"),
        ({"content-type": "application/json"}, "FirstByte"),
        ({"content-type": "text/event-stream", "content-encoding": "gzip"}, "FirstByte"),
        ({}, "FirstByte"),
    ],
)
def test_only_a_stream_that_can_be_read_is_read(headers: dict[str, str], kind: str) -> None:
    watch = watch_tokens(headers)
    assert type(watch).__name__ == kind
    assert watch is not None
    assert watch.begun is False
