"""Sends samples by Prometheus remote write 1.0.

Rule: what a scrape of ``/metrics`` would have stored is stored, with the moment of the run as its
time: ``job`` and ``instance``, a series ``up``, and a staleness marker for each series that ends.
5xx and 429 are tried again by a later run, after ``Retry-After``; other refusals drop the request.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from cbmon.exports.base import ExportEnvironment, ExportType
from cbmon.exports.batch import Batch
from cbmon.exports.delivery import Reading, Verdict
from cbmon.exports.posting import Answer, shown_target
from cbmon.exports.protobuf import double_of, fixed64_of, nested, text, varint
from cbmon.exports.samples import NAME, labels_of, name_of, samples
from cbmon.exports.sampling import SamplesExport
from cbmon.exports.snappy import Snappy
from cbmon.exports.spooling import SamplesOptions

STALE: Final = fixed64_of(0x7FF0000000000002)
"""The one NaN that means: this series has ended."""
UP: Final = b"up"
_ONE: Final = double_of(1.0)
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_MAX_TOKENS: Final = 200_000


def _label_name(name: str) -> str:
    if not _LABEL.fullmatch(name) or name.startswith("__"):
        raise ValueError("expected a label name of letters, digits and _, not beginning with __")
    if name in {"job", "instance"}:
        raise ValueError(f"{name} has an option of its own beside external_labels")
    return name


class RemoteWriteOptions(SamplesOptions):
    """Samples by Prometheus remote write."""

    job: str = Field("cbmon", min_length=1, description="The job label of every series.")
    instance: str | None = Field(
        None, min_length=1, description="The instance label of every series; the host's name."
    )
    external_labels: Mapping[Annotated[str, AfterValidator(_label_name)], str] = Field(
        default_factory=dict,
        description="More labels for every series; a label that the series has wins.",
    )


Labels = tuple[int, tuple[bytes, ...]]
"""The size of a series' labels, and each of them encoded."""


class WriteEncoder:
    """Makes ``WriteRequest`` messages."""

    def __init__(self, options: RemoteWriteOptions) -> None:
        self.headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        self._limit = options.max_samples_per_send
        self._extra = {
            **options.external_labels,
            "job": options.job,
            "instance": options.instance or socket.gethostname(),
        }
        self._tokens: dict[tuple[str, str], bytes] = {}
        self._known: dict[bytes, Labels] = {}

    def batches(self, exposition: bytes, at: int) -> list[Batch]:
        """The samples of ``at``; markers for the series that were there before and are gone."""
        before, now = self._known, {}
        rows: list[tuple[Labels, bytes]] = []
        for series, value in [*samples(exposition), (UP, 1.0)]:
            labels = before.get(series) or self._labels(series)
            now[series] = labels
            rows.append((labels, double_of(value)))
        rows += [(labels, STALE) for series, labels in before.items() if series not in now]
        self._known = now
        return self._requests(rows, at)

    def farewell(self, at: int) -> list[Batch]:
        """A marker for every series."""
        before, self._known = self._known, {}
        return self._requests([(labels, STALE) for labels in before.values()], at)

    def _requests(self, rows: list[tuple[Labels, bytes]], at: int) -> list[Batch]:
        parts = range(0, len(rows), self._limit)
        return [self._request(rows[start : start + self._limit], at, start) for start in parts]

    @staticmethod
    def _request(rows: list[tuple[Labels, bytes]], at: int, start: int) -> Batch:
        stamp = b"\x10" + varint(at)
        sample = b"\x12" + varint(9 + len(stamp)) + b"\x09"
        more = len(sample) + 8 + len(stamp)
        block = Snappy()
        for (size, labels), value in rows:
            block.once(b"\x0a" + varint(size + more))
            for label in labels:
                block.again(label)
            block.again(sample + value + stamp)
        return Batch(at, start, len(rows), block.finish())

    def _labels(self, series: bytes) -> Labels:
        if len(self._tokens) > _MAX_TOKENS:
            self._tokens.clear()
        labels = {**self._extra, **labels_of(series), NAME: name_of(series)}
        # The specification wants them sorted, and none that is empty.
        made = tuple(self._token(pair) for pair in sorted(labels.items()) if pair[1])
        return sum(map(len, made)), made

    def _token(self, pair: tuple[str, str]) -> bytes:
        known = self._tokens.get(pair)
        if known is None:
            known = self._tokens[pair] = nested(1, text(1, pair[0]) + text(2, pair[1]))
        return known


def judge(answer: Answer) -> Reading:
    """What the specification says of an answer."""
    verdict = Verdict.NEVER
    if 200 <= answer.status < 300:
        verdict = Verdict.TAKEN
    elif answer.status >= 500 or answer.status == 429:
        verdict = Verdict.LATER
    return Reading(verdict, answer.said)


def build(
    options: RemoteWriteOptions, environment: ExportEnvironment, name: str = "remote_write"
) -> SamplesExport:
    """The export of these options."""
    encoder = WriteEncoder(options)
    return SamplesExport(options, environment, name, encoder=encoder, judge=judge)


TYPE: Final = ExportType(
    name="remote_write",
    options=RemoteWriteOptions,
    target=lambda options: shown_target(options.url),
    build=build,
)
