"""Sends metrics by OTLP over HTTP, in protobuf.

Rule: the metrics keep their names and labels; counters are cumulative sums, histograms keep their
buckets, everything else is a gauge, and a series that ends is told by its last point's flag. 429,
502, 503 and 504 are tried again by a later run; other refusals drop the request.

Source: https://opentelemetry.io/docs/specs/otlp/ and the specification of the compatibility of
Prometheus and OpenMetrics with OpenTelemetry.
"""

from __future__ import annotations

import gzip
import socket
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from cbmon import __version__
from cbmon.exports import protobuf
from cbmon.exports.base import ExportEnvironment, ExportType
from cbmon.exports.batch import Batch
from cbmon.exports.delivery import Reading, Verdict
from cbmon.exports.otlp_points import Points, attribute
from cbmon.exports.posting import Answer, shown_target
from cbmon.exports.protobuf import nested, text
from cbmon.exports.sampling import SamplesExport
from cbmon.exports.spooling import SamplesOptions

_LATER: Final = frozenset({429, 502, 503, 504})
_PROTOBUF: Final = "application/x-protobuf"
_LEVEL: Final = 3


class OtlpOptions(SamplesOptions):
    """Metrics by OTLP over HTTP."""

    service_name: str = Field(
        "cbmon", min_length=1, description="The resource attribute service.name."
    )
    instance: str | None = Field(
        None,
        min_length=1,
        description="The resource attribute service.instance.id; the host's name.",
    )
    resource: Mapping[Annotated[str, StringConstraints(min_length=1)], str] = Field(
        default_factory=dict,
        description="More attributes of the resource, such as deployment.environment.name.",
    )
    compression: Literal["gzip", "none"] = Field("gzip", description="How requests are packed.")


class OtlpEncoder:
    """Makes ``ExportMetricsServiceRequest`` messages."""

    def __init__(self, options: OtlpOptions, started_at: float) -> None:
        self.headers = {"Content-Type": _PROTOBUF}
        self._packed = options.compression == "gzip"
        if self._packed:
            self.headers["Content-Encoding"] = "gzip"
        self._limit = options.max_samples_per_send
        self._points = Points(int(started_at * 1e9))
        attributes = {
            "service.version": __version__,
            **options.resource,
            "service.name": options.service_name,
            "service.instance.id": options.instance or socket.gethostname(),
        }
        resource = b"".join(attribute(1, name, value) for name, value in attributes.items())
        self._before = nested(1, resource)
        self._scope = nested(1, text(1, "cbmon") + text(2, __version__))

    def batches(self, exposition: bytes, at: int) -> list[Batch]:
        """The points of ``at``; the end of the series that were there before and are gone."""
        return self._requests(self._points.of(exposition, at * 1_000_000), at)

    def farewell(self, at: int) -> list[Batch]:
        """The end of every series."""
        return self._requests(self._points.ends(at * 1_000_000), at)

    def _requests(self, points: list[tuple[bytes, int, bytes]], at: int) -> list[Batch]:
        parts = range(0, len(points), self._limit)
        return [self._request(points[start : start + self._limit], at, start) for start in parts]

    def _request(self, points: list[tuple[bytes, int, bytes]], at: int, start: int) -> Batch:
        grouped: dict[tuple[bytes, int], list[bytes]] = {}
        for head, form, point in points:
            grouped.setdefault((head, form), []).append(point)
        metrics = b"".join(
            nested(2, head + nested(form, b"".join(found) + _CUMULATIVE[form]))
            for (head, form), found in grouped.items()
        )
        body = nested(1, self._before + nested(2, self._scope + metrics))
        if self._packed:
            body = gzip.compress(body, _LEVEL, mtime=0)
        return Batch(at, start, len(points), body)


_CUMULATIVE: Final = {
    5: b"",
    7: protobuf.number(2, 2) + protobuf.number(3, 1),
    9: protobuf.number(2, 2),
}
"""What stands after the points of a gauge, a sum and a histogram."""


def judge(answer: Answer) -> Reading:
    """What the specification says of an answer."""
    if 200 <= answer.status < 300:
        lost, said = _partial(answer)
        return Reading(Verdict.TAKEN, said, lost)
    verdict = Verdict.LATER if answer.status in _LATER else Verdict.NEVER
    return Reading(verdict, _status(answer))


def _partial(answer: Answer) -> tuple[int, bytes]:
    """How many points were rejected, and why."""
    if answer.kind != _PROTOBUF:
        return 0, b""
    try:
        success = protobuf.fields(answer.said).get(1, b"")
        inside = protobuf.fields(success) if isinstance(success, bytes) else {}
    except ValueError:
        return 0, b""
    lost, said = inside.get(1, 0), inside.get(2, b"")
    return (lost if isinstance(lost, int) else 0), (said if isinstance(said, bytes) else b"")


def _status(answer: Answer) -> bytes:
    """The message of a ``google.rpc.Status``, or what was said as it is."""
    if answer.kind != _PROTOBUF:
        return answer.said
    try:
        message = protobuf.fields(answer.said).get(2, b"")
    except ValueError:
        return b""
    return message if isinstance(message, bytes) else b""


def build(
    options: OtlpOptions, environment: ExportEnvironment, name: str = "otlp"
) -> SamplesExport:
    """The export of these options."""
    encoder = OtlpEncoder(options, environment.started_at)
    return SamplesExport(options, environment, name, encoder=encoder, judge=judge)


TYPE: Final = ExportType(
    name="otlp",
    options=OtlpOptions,
    target=lambda options: shown_target(options.url),
    build=build,
)
