"""What a source of targets is made of, and the one form that all of them have.

Rule: the form is that of Prometheus' file_sd and http_sd, ``[{"targets": […], "labels": {…}}]``;
what comes from outside is bounded and has its types checked before anything is done with it.

Source: https://prometheus.io/docs/prometheus/latest/http_sd/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cbmon.config.fields import Options
from cbmon.config.placeholders import Target
from cbmon.config.words import clipped, kind
from cbmon.errors import CbmonError
from cbmon.exports.base import ExportEnvironment

MAX_BYTES: Final = 32 << 20
MAX_ADDRESS: Final = 2048
MAX_LABELS: Final = 100
MAX_LABEL: Final = 4096


class SourceError(CbmonError):
    """A list cannot be had, or is none; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceType:
    """One type of source, as its module describes it.

    ``shown`` names the place for lists and messages, without secrets; ``read`` gets the list, and
    raises SourceError.
    """

    name: str
    options: type[Options]
    shown: Callable[[Any], str]
    read: Callable[[Any, ExportEnvironment], Awaitable[list[Target]]]
    refresh_interval: Callable[[Any], float]


def targets_of(document: object, where: str) -> list[Target]:
    """The targets of a document as JSON or YAML reads it; SourceError when it is none."""
    if not isinstance(document, list):
        raise SourceError(f"{where}: expected a list of target groups, got {kind(document)}")
    found = []
    for index, group in enumerate(document):
        at = f"{where}: group {index}"
        if not isinstance(group, dict):
            raise SourceError(f"{at}: expected a mapping, got {kind(group)}")
        targets, labels = group.get("targets"), group.get("labels")
        if not isinstance(targets, list):
            raise SourceError(f"{at}: expected targets as a list, got {kind(targets)}")
        known = _labels({} if labels is None else labels, at)
        found += [Target(_address(address, at), known) for address in targets]
    return list({(one.address, tuple(sorted(one.labels.items()))): one for one in found}.values())


def _address(address: object, at: str) -> str:
    if not isinstance(address, str) or not address.strip():
        raise SourceError(f"{at}: expected a target as text, got {kind(address)}")
    if len(address) > MAX_ADDRESS:
        raise SourceError(f"{at}: a target is longer than {MAX_ADDRESS} characters")
    return address


def _labels(labels: object, at: str) -> Mapping[str, str]:
    if not isinstance(labels, dict):
        raise SourceError(f"{at}: expected labels as a mapping, got {kind(labels)}")
    if len(labels) > MAX_LABELS:
        raise SourceError(f"{at}: more than {MAX_LABELS} labels")
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise SourceError(f"{at}: the label {clipped(str(name))} is no text; quote it")
        if len(name) > MAX_LABEL or len(value) > MAX_LABEL:
            raise SourceError(f"{at}: a label is longer than {MAX_LABEL} characters")
    return labels
