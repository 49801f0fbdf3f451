"""Rule: the first expectation that is not met decides, and says what it found."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError
from cbmon.probes.http.expect import Answer, judge_body, judge_head, needs_body
from cbmon.probes.http.options import HttpExpect

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def answer(
    status: int = 200,
    *,
    tls: bool = False,
    auth: bool = False,
    headers: dict[str, str] | None = None,
) -> Answer:
    return Answer(
        status=status,
        headers=CIMultiDictProxy(CIMultiDict(headers or {})),
        tls=tls,
        authenticated=auth,
    )


def judged(expect: dict[str, Any], got: Answer, body: bytes | None = None) -> ProbeError | None:
    parsed = HttpExpect.model_validate(expect)
    try:
        judge_head(parsed, got, NOW)
        if body is not None:
            judge_body(parsed, body)
    except ProbeError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("expected", "statuses", "got"),
    [
        (None, ["2xx"], 204),
        (None, [200, 404], 404),
        (None, ["200-299", "4xx"], 418),
        (None, 503, 503),
        ("got status 500, expected 200-299", ["200-299"], 500),
        ("got status 500, expected 200, 204 or 400-499", [200, 204, "4xx"], 500),
    ],
)
def test_the_status_must_be_one_of_the_expected(
    expected: str | None, statuses: Any, got: int
) -> None:
    error = judged({"status": statuses}, answer(got))

    assert expected == (error and str(error))
    assert error is None or error.reason is Reason.STATUS


def test_without_expectations_any_2xx_is_good() -> None:
    assert judged({}, answer(299)) is None
    assert judged({}, answer(302)) is not None


@pytest.mark.parametrize(
    ("reason", "status", "auth"),
    [(Reason.AUTH, 401, True), (Reason.AUTH, 403, True), (Reason.STATUS, 401, False)],
)
def test_refused_credentials_have_their_own_reason(reason: Reason, status: int, auth: bool) -> None:
    error = judged({}, answer(status, auth=auth))

    assert error is not None
    assert reason is error.reason


@pytest.mark.parametrize(
    ("expected", "wanted", "tls"),
    [
        (None, True, True),
        (None, False, False),
        ("the answer came with no TLS, expected TLS", True, False),
        ("the answer came with TLS, expected none", False, True),
    ],
)
def test_tls_must_be_there_or_not_as_expected(
    expected: str | None, wanted: bool, tls: bool
) -> None:
    error = judged({"tls": wanted}, answer(tls=tls))

    assert expected == (error and str(error))


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (None, {"matches": {"content-TYPE": "^text/"}}),
        (None, {"not_matches": {"Content-Type": "json"}}),
        (None, {"not_matches": {"X-Absent": "."}}),
        ("there is no header X-Absent", {"matches": {"X-Absent": ""}}),
        (
            "header Content-Type is \"text/plain\", expected a match for 'json'",
            {"matches": {"Content-Type": "json"}},
        ),
        (
            "header Content-Type is \"text/plain\", expected no match for 'plain'",
            {"not_matches": {"Content-Type": "plain"}},
        ),
    ],
)
def test_headers_must_match_or_not(expected: str | None, headers: dict[str, Any]) -> None:
    error = judged({"headers": headers}, answer(headers={"Content-Type": "text/plain"}))

    assert expected == (error and str(error))
    assert error is None or error.reason is Reason.HEADER


def test_a_header_that_holds_a_credential_is_not_shown() -> None:
    got = answer(headers={"Set-Cookie": "session=hunter2"})

    error = judged({"headers": {"matches": {"set-cookie": "^id="}}}, got)

    assert str(error) == "header set-cookie is <secret>, expected a match for '^id='"


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (None, {"Last-Modified": "Tue, 14 Nov 2023 22:12:30 GMT"}),
        ("there is no header Last-Modified", {}),
        (
            'header Last-Modified is "yesterday", expected a date',
            {"Last-Modified": "yesterday"},
        ),
        (
            "last modified 80s ago, expected at most 60s",
            {"Last-Modified": "Tue, 14 Nov 2023 22:12:00 GMT"},
        ),
    ],
)
def test_an_answer_may_not_be_older_than_expected(
    expected: str | None, headers: dict[str, str]
) -> None:
    error = judged({"last_modified_age": "60s"}, answer(headers=headers))

    assert expected == (error and str(error))


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (None, {"matches": ["^all", "well$"]}),
        (None, {"not_matches": "error"}),
        (
            "the body (11 bytes, beginning with \"all is well\") does not match 'bad'",
            {"matches": ["all", "bad"]},
        ),
        ("the body holds \"well\", expected no match for 'w...'", {"not_matches": "w..."}),
    ],
)
def test_the_body_must_match_or_not(expected: str | None, body: dict[str, Any]) -> None:
    error = judged({"body": body}, answer(), b"all is well")

    assert expected == (error and str(error))
    assert error is None or error.reason is Reason.BODY


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (None, b'{"db": "up", "queue": {"length": 3}}'),
        ('at $.db: got "down", expected "up"', b'{"db": "down", "queue": {"length": 3}}'),
        ("at $.queue.length: got nothing there", b'{"db": "up"}'),
        ('the body (5 bytes, beginning with "hello") is not JSON', b"hello"),
        ("the body (empty) is not JSON", b""),
    ],
)
def test_a_json_body_must_hold_what_is_expected(expected: str | None, body: bytes) -> None:
    expect = {"json": {"$.db": "up", "$.queue.length": {"below": 100}}}

    error = judged(expect, answer(), body)

    assert expected == (error and str(error))


@pytest.mark.parametrize(
    ("expected", "expect"),
    [
        (False, {}),
        (False, {"status": [200]}),
        (True, {"body": {"matches": "x"}}),
        (True, {"body": {"not_matches": "x"}}),
        (True, {"json": {"$": 1}}),
    ],
)
def test_the_body_is_kept_only_when_something_looks_at_it(
    expected: bool, expect: dict[str, Any]
) -> None:
    assert expected is needs_body(HttpExpect.model_validate(expect))
