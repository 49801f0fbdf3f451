"""Pushes the metrics to a Pushgateway, under one group of labels.

Rule: PUT replaces the whole group, so that a check that is gone is gone there too. Nothing is
retried here: the next run is the retry, and the export's breaker decides whether there is one.
API: https://github.com/prometheus/pushgateway/blob/master/README.md#api
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import aiohttp
from pydantic import Field, StringConstraints, field_validator
from yarl import URL

from cbmon.config.fields import Options, Url
from cbmon.exports.base import ExportEnvironment, ExportType
from cbmon.exports.credentials import BasicAuthOptions
from cbmon.exports.failures import PUSH_ERRORS, classified, refused
from cbmon.exports.families import FamilyPrefix, without
from cbmon.exports.tls import TlsOptions
from cbmon.interfaces import Attempt, Exposition
from cbmon.logs import fields
from cbmon.model import Result

log = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
CLOSE_TIMEOUT: Final = 3.0
MAX_ANSWER: Final = 16 * 1024
OWN_LABELS: Final = frozenset(
    {"category", "cause", "check", "component", "export", "from_state", "group", "kind", "le"}
    | {"phase", "quantile", "reason", "receiver", "state", "target", "to_state", "version"}
)
"""Labels of the daemon's metrics: a grouping label of the same name would overwrite them all."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*")

LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class PushgatewayOptions(Options):
    """Metrics to a Pushgateway."""

    url: Url = Field(description="Where the gateway is, such as http://127.0.0.1:9091.")
    job: str = Field("cbmon", min_length=1, description="The job label of everything pushed.")
    grouping: Mapping[LabelName, str] = Field(
        default_factory=dict,
        description="More labels that name the group, such as instance; give every daemon that "
        "pushes to this gateway its own.",
    )
    method: Literal["put", "post"] = Field(
        "put",
        description="put replaces everything in the group; post only metrics of the same name.",
    )
    exclude: tuple[FamilyPrefix, ...] = Field(
        (), description="Leave out metrics whose name begins with one of these."
    )
    basic_auth: BasicAuthOptions | None = Field(None, description="Log in with these.")
    tls: TlsOptions = Field(
        default_factory=TlsOptions, description="For an https URL: whom to trust."
    )
    delete_on_close: bool = Field(
        False,
        description="Delete the group when cbmon stops, so that nobody takes old figures for new.",
    )
    when_open: Literal["hold", "drop"] = Field(
        "hold",
        description="What becomes of the last figures while the breaker is open: hold leaves the "
        "group, drop deletes it as soon as the gateway lets it.",
    )

    @field_validator("url")
    @classmethod
    def _plain_base(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.query or parts.fragment:
            raise ValueError("the gateway's URL cannot have a query or a fragment")
        return url

    @field_validator("grouping")
    @classmethod
    def _harmless(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        for name in labels:
            if name == "job":
                raise ValueError('the label "job" has an option of its own')
            if name in OWN_LABELS or name.startswith("__"):
                raise ValueError(f'"{name}" would overwrite a label of the metrics themselves')
        return labels


def group_url(options: PushgatewayOptions) -> URL:
    """The address of the group; a value that is not plain in a path goes as base64."""
    labels = {"job": options.job, **options.grouping}
    path = "".join(_segment(name, value) for name, value in labels.items())
    return URL(f"{options.url.rstrip('/')}/metrics{path}", encoded=True)


def _segment(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"/{name}/{value}"
    encoded = base64.urlsafe_b64encode(value.encode()).decode() or "="
    return f"/{name}@base64/{encoded}"


class PushgatewayExport:
    """Pushes the present metrics to one group of one gateway at each run."""

    def __init__(self, options: PushgatewayOptions, environment: ExportEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._url = group_url(options)
        self._pushed = False

    async def run(self, attempt: Attempt, exposition: Exposition) -> Result:
        """Push once. ``facts``: ``bytes``, and the answer's ``status`` when there was one."""
        body = await exposition.render()
        try:
            if self._options.exclude:
                body = await asyncio.to_thread(without, body, self._options.exclude)
            attempt.facts["bytes"] = len(body)
            status, said = await self._request(
                self._options.method.upper(), attempt.remaining, body=body, attempt=attempt
            )
        except PUSH_ERRORS as error:
            return attempt.failed(*classified(error))
        attempt.facts["status"] = status
        if not 200 <= status < 300:
            return attempt.failed(*refused(status, said))
        self._pushed = True
        return attempt.passed()

    async def collect(self, _exposition: Exposition) -> None:
        """The breaker is open: delete the group if that is wanted and not done yet."""
        if self._options.when_open == "drop" and self._pushed:
            await self._delete()

    async def close(self) -> None:
        """Delete the group, if that is wanted and it was ever pushed."""
        if self._options.delete_on_close and self._pushed:
            await self._delete()

    async def _delete(self) -> None:
        try:
            status, said = await self._request("DELETE", CLOSE_TIMEOUT)
        except PUSH_ERRORS as error:
            problem = classified(error)[1]
        else:
            problem = "" if 200 <= status < 300 else refused(status, said)[1]
        self._pushed = bool(problem)
        if problem:
            url = str(self._url)
            log.warning("pushed group not deleted", extra=fields(url=url, error=problem))

    async def _request(
        self, method: str, timeout: float, *, body: bytes = b"", attempt: Attempt | None = None
    ) -> tuple[int, bytes]:
        request = partial(
            self._environment.session.request,
            method,
            self._url,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=max(timeout, 0.001)),
            ssl=await self._environment.tls.get(self._options.tls)
            if self._url.scheme == "https"
            else True,
            server_hostname=self._options.tls.server_name,
            headers=await self._headers(),
            trace_request_ctx=attempt,
        )
        # As a stream: bytes would be written in one go, however large.
        async with request(data=io.BytesIO(body) if body else None) as response:
            return response.status, await response.content.read(MAX_ANSWER)

    async def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": CONTENT_TYPE}
        if self._options.basic_auth is not None:
            headers["Authorization"] = await asyncio.to_thread(self._options.basic_auth.header)
        return headers


def build(
    options: PushgatewayOptions, environment: ExportEnvironment, _name: str = "pushgateway"
) -> PushgatewayExport:
    """The export of these options."""
    return PushgatewayExport(options, environment)


TYPE: Final = ExportType(
    name="pushgateway",
    options=PushgatewayOptions,
    target=lambda options: str(group_url(options)),
    build=build,
)
