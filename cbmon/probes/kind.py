"""What the daemon needs to know of a kind of check.

Rule: options in, probe out. Building opens nothing and reads no file; what is missing then is a
failed run, not a refused configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cbmon.interfaces import Probe
from cbmon.model import Unit

if TYPE_CHECKING:
    from cbmon.config.fields import Options
    from cbmon.probes.environment import ProbeEnvironment

OptionsT = TypeVar("OptionsT", bound="Options")


def _nothing(_options: Any) -> Mapping[str, Unit]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeType(Generic[OptionsT]):
    """A kind of check.

    ``target`` gives what is looked at, as a person would name it: without secrets, fit for the
    ``target`` label. ``build`` makes the probe that a check keeps over all its runs.
    ``values`` are those of the fact ``perfdata`` that become metrics: their labels and units.
    """

    name: str
    options: type[OptionsT]
    target: Callable[[OptionsT], str]
    build: Callable[[OptionsT, ProbeEnvironment], Probe]
    values: Callable[[OptionsT], Mapping[str, Unit]] = _nothing
