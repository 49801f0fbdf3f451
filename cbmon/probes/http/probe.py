"""A run of ``http``.

Rule: whatever goes wrong becomes a result; the response of every hop is closed before the next
one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_certificate, check_duration
from cbmon.probes.failure import ProbeError, words
from cbmon.probes.http import wire
from cbmon.probes.http.body import Body
from cbmon.probes.http.client import USER_AGENT, Hop, HttpClient
from cbmon.probes.http.credentials import authorization
from cbmon.probes.http.expect import (
    Answer,
    accepted,
    judge_body,
    judge_head,
    needs_body,
    needs_end,
    needs_headers,
)
from cbmon.probes.http.hops import Hops
from cbmon.probes.http.options import HttpOptions
from cbmon.probes.http.redacted import redacted
from cbmon.probes.http.reply import GeneralReply, Reply
from cbmon.probes.http.request import REDIRECTS, Request, redirected

LARGEST_REQUEST: Final = 1024 * 1024
_NO_HEADERS: Final[CIMultiDictProxy[str]] = CIMultiDictProxy(CIMultiDict())


class HttpProbe:
    """Asks anew at every run, over a new connection."""

    def __init__(self, options: HttpOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._url = URL(options.url)
        self._headers = _fixed_headers(options)
        self._needs_headers = needs_headers(options.expect)
        self._needs_body = needs_body(options.expect)
        self._judges_end = needs_end(options.expect)
        self._accepted = accepted(options.expect)
        self._unpacks = self._needs_body or bool(options.compression)
        self._hops = Hops(options, environment)
        self._fixed = None if _varies(options) else self._request(self._headers, _body(options))
        self._written = b""
        self.light = environment.direct and wire.AVAILABLE and _goes_straight(options)
        self._shown = ""

    async def run(self, attempt: Attempt) -> Result:
        """Ask, follow redirects, read the answer and judge it."""
        visit = _Visit(attempt)
        try:
            await self._visit(visit)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error), certificate_expiry=visit.expiry)
        return attempt.passed(certificate_expiry=visit.expiry)

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _visit(self, visit: _Visit) -> None:
        request = self._fixed or await self._first_request(visit.attempt)
        facts = visit.attempt.facts
        while True:
            facts["url"] = self._named(request)
            hop = self._hops.straight(visit.attempt, request) or await self._hops.make(
                visit.attempt, request
            )
            try:
                following = await self._follow(visit, request, hop)
            finally:
                hop.link = None  # it leads back here: no run may leave a cycle to the collector
            if following is None:
                return
            request = following

    async def _follow(self, visit: _Visit, request: Request, hop: Hop) -> Request | None:
        """Where the answer sends to; None for one that was judged."""
        try:
            first = request is self._fixed
            if (first and self.light) or (
                self._environment.direct and wire.serves(hop, request.url)
            ):
                reply: Reply = await wire.ask(hop, self._wired(request), request.method)
            else:
                reply = await self._asked(hop, request)
        finally:
            visit.expiry = hop.link.chain.expiry if hop.link and hop.link.chain else None
        try:
            following = self._following(visit, request, reply)
            if following is None:
                self._judge_head(visit, request, reply, hop)
                if not self._is_read(visit, reply):
                    await self._read(visit, reply)
                if self._judges_end:
                    self._judge_end(visit, hop)
            return following
        finally:
            reply.close()

    def _wired(self, request: Request) -> bytes:
        """A request as it goes over the wire."""
        if request is not self._fixed:
            return wire.written(request)
        self._written = self._written or wire.written(request)
        return self._written

    async def _asked(self, hop: Hop, request: Request) -> Reply:
        """The reply to a request that cannot go the short way."""
        client = self._environment.shared(HttpClient)
        headers = _with_host(request)
        response = await client.send(hop, request.method, request.url, headers, request.body)
        return GeneralReply(response, hop)

    def _following(self, visit: _Visit, request: Request, reply: Reply) -> Request | None:
        """The request that a redirect leads to, None when the answer is final."""
        facts = visit.attempt.facts
        facts["status"] = status = reply.status
        if status not in REDIRECTS or not self._options.follow_redirects:
            return None
        location = reply.headers.get("Location")
        if not location:
            return None
        following = redirected(request, status, location)
        limit = self._options.max_redirects
        if visit.redirects >= limit:
            text = f"more than {limit} redirects, the last one to {redacted(following.url)}"
            raise ProbeError(Reason.REDIRECT, text)
        visit.redirects += 1
        facts["redirects"] = visit.redirects
        for stale in ("certificate", "tls_version"):
            facts.pop(stale, None)
        return following

    def _judge_head(self, visit: _Visit, request: Request, reply: Reply, hop: Hop) -> None:
        """ProbeError unless the head is as expected."""
        if reply.version:
            visit.attempt.facts["http_version"] = reply.version
        if reply.status in self._accepted:
            return
        answer = Answer(
            status=reply.status,
            headers=reply.headers if self._needs_headers else _NO_HEADERS,
            tls=hop.tls is not None,
            authenticated=request.home and "Authorization" in request.headers,
        )
        if answer.authenticated and answer.status == 401:
            self._hops.refused()
        judge_head(self._options.expect, answer, self._environment.clock.time())

    def _is_read(self, visit: _Visit, reply: Reply) -> bool:
        """Whether the whole body is there already, and nothing of it matters but its size."""
        size = None if self._unpacks else reply.whole
        if size is None or size > self._options.max_body_size:
            return False
        visit.attempt.facts["body_bytes"] = size
        visit.attempt.end()
        return True

    async def _read(self, visit: _Visit, reply: Reply) -> None:
        """Read the body; ProbeError unless it is as expected."""
        body = await self._body(visit.attempt, reply)
        visit.attempt.end()
        if self._needs_body:
            judge_body(self._options.expect, body.content)

    def _judge_end(self, visit: _Visit, hop: Hop) -> None:
        """ProbeError for a certificate that expires too soon, and for a run that took too long."""
        expect = self._options.expect
        check_certificate(
            hop.link.chain if hop.link else None, expect.certificate_days, self._environment.clock
        )
        check_duration(visit.attempt, expect.max_duration)

    async def _body(self, attempt: Attempt, reply: Reply) -> Body:
        encoding = reply.headers.get("Content-Encoding", "") if self._unpacks else ""
        body = Body(
            limit=self._options.max_body_size,
            kept=self._needs_body,
            encoding=encoding.strip().lower(),
        )
        try:
            await reply.receive(body)
        finally:
            attempt.facts["body_bytes"] = body.size
            if body.unpacked != body.size:
                attempt.facts["unpacked_bytes"] = body.unpacked
        return body

    def _named(self, request: Request) -> str:
        """The URL of a request as a fact."""
        if request is not self._fixed:
            return redacted(request.url)
        self._shown = self._shown or redacted(request.url)
        return self._shown

    async def _first_request(self, attempt: Attempt) -> Request:
        options = self._options
        headers, body = self._headers, _body(options)
        if options.basic_auth or options.bearer_token or options.bearer_token_file:
            headers = {**headers, "Authorization": await authorization(options)}
        elif token := await self._hops.bearer(attempt):
            headers = {**headers, "Authorization": f"Bearer {token}"}
        if options.body_file is not None:
            body = await asyncio.to_thread(_read, options.body_file)
        return self._request(headers, body)

    def _request(self, headers: Mapping[str, str], body: bytes | None) -> Request:
        options = self._options
        return Request(
            method=options.method, url=self._url, headers=headers, body=body, host=options.host
        )


@dataclass(slots=True)
class _Visit:
    """What is known so far of a run."""

    attempt: Attempt
    redirects: int = 0
    expiry: float | None = None


def _varies(options: HttpOptions) -> bool:
    """Whether the first request is not the same at every run, or holds what is not to be kept."""
    credentials = options.basic_auth or options.bearer_token or options.bearer_token_file
    return bool(credentials or options.oauth2 or options.body_file)


def _goes_straight(options: HttpOptions) -> bool:
    """Whether no request of the check needs aiohttp, which needs tasks."""
    return not (options.proxy or options.oauth2 or URL(options.url).raw_user)


def _body(options: HttpOptions) -> bytes | None:
    return None if options.body is None else options.body.encode()


@cache
def _usual_headers(compression: tuple[str, ...]) -> Mapping[str, str]:
    """What is sent besides what a check asks for; thousands of checks share it."""
    headers = {"User-Agent": USER_AGENT}
    if compression:
        headers["Accept-Encoding"] = ", ".join(compression)
    return MappingProxyType(headers)


def _fixed_headers(options: HttpOptions) -> Mapping[str, str]:
    headers = _usual_headers(options.compression)
    if not options.headers:
        return headers
    given = {name.lower() for name in options.headers}
    return {
        **{name: value for name, value in headers.items() if name.lower() not in given},
        **options.headers,
    }


def _with_host(request: Request) -> dict[str, str]:
    return {**request.headers, "Host": request.host} if request.host else dict(request.headers)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_REQUEST + 1)
    except OSError as error:
        text = f"cannot read the request body from {path}: {words(error)}"
        raise ProbeError(Reason.CONFIG, text) from error
    if len(data) > LARGEST_REQUEST:
        text = f"the request body in {path} is larger than {LARGEST_REQUEST} bytes"
        raise ProbeError(Reason.CONFIG, text)
    return data
