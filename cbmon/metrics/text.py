"""The two text formats of Prometheus, as far as cbmon writes them.

Rule: text in, text out; knows no metric. What is the same for every line of a family is made once,
so that a line costs one formatted string. Sample lines are the same in both formats; they differ
in what stands above a family and at the end.

Sources: Prometheus' "Exposition formats" (text 0.0.4) and the OpenMetrics 1.0 specification.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

Type = Literal["counter", "gauge", "histogram", "info"]

MARK: Final = "\x00"
"""Stands for the varying label value in a template, which holds no other control character."""
_MARK: Final = MARK.encode()
END_OF_OPENMETRICS: Final = "# EOF\n"
_EXACT: Final = 1e15
"""Whole numbers below this are written without a fraction or an exponent."""
_UNITS: Final = ("seconds", "bytes", "ratio")


def escape(value: str) -> str:
    """A label value as it stands between quotes; what is no Unicode becomes a question mark."""
    if value.isprintable() and '"' not in value and "\\" not in value:
        return value
    value = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value.encode("utf-8", "replace").decode()


def number(value: float) -> str:
    """A sample value, exactly."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < _EXACT else repr(value)


def labelled(name: str, labels: Mapping[str, str]) -> str:
    """A series' name with its labels, sorted."""
    pairs = ",".join(f'{key}="{escape(labels[key])}"' for key in sorted(labels))
    return f"{name}{{{pairs}}}" if pairs else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric: its name as its samples have it (a histogram's without suffix), type and help.

    ``labels`` are the label names; ``absent`` says when a series does not exist, if it ever does
    not.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    absent: str = ""

    @property
    def unit(self) -> str:
        """The base unit that the name ends in, or an empty string."""
        bare = self.name.removesuffix("_total")
        return next((unit for unit in _UNITS if bare.endswith(f"_{unit}")), "")

    @property
    def head(self) -> str:
        """The lines above the samples in the text format 0.0.4."""
        kind = "gauge" if self.type == "info" else self.type
        return f"# HELP {self.name} {_help(self.help)}\n# TYPE {self.name} {kind}\n"

    @property
    def openmetrics_head(self) -> str:
        """The same in OpenMetrics, where the suffix is no part of a family's name."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.type, "")
        name = self.name.removesuffix(suffix)
        unit = f"# UNIT {name} {self.unit}\n" if self.unit else ""
        text = _help(self.help).replace('"', r"\"")
        return f"# HELP {name} {text}\n# TYPE {name} {self.type}\n{unit}"


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def opening(name: str, key: str, /, **fixed: str) -> str:
    """A line up to its varying label value, ``key`` being that label's name."""
    pairs = ",".join(f'{other}="{escape(fixed[other])}"' for other in sorted(fixed))
    return f'{name}{{{pairs}{"," if pairs else ""}{key}="'


def optional(
    start: str, labels: Iterable[str], values: Iterable[float | None], form: Callable[[float], str]
) -> bytes:
    """A line for each label that has a value."""
    return "".join(
        [
            f'{start}{label}"}} {form(v)}\n'
            for label, v in zip(labels, values, strict=True)
            if v is not None
        ]
    ).encode()


def template(name: str, key: str, varying: str, values: Iterable[str], /, **fixed: str) -> bytes:
    """A line for every value of label ``varying``: ``%d`` for samples, :data:`MARK` for ``key``.

    An empty ``key`` is none. Templates are bytes: filling them in takes half the time.
    """
    labels = {**fixed, key: MARK} if key else fixed
    return lines((labelled(name, {**labels, varying: value}) for value in values), "%d")


def lines(series: Iterable[str], sample: str) -> bytes:
    """A line for each series, all with the same sample."""
    return "".join(f"{each} {sample}\n" for each in series).encode()


def fill(pattern: bytes, label: bytes, samples: tuple[object, ...] = ()) -> bytes:
    """A template's lines; the label is put in last, since a label may hold a percent sign."""
    return (pattern % samples if samples else pattern).replace(_MARK, label)


def histogram_template(name: str, key: str, bounds: Sequence[float], /, **fixed: str) -> bytes:
    """The lines of one histogram, for :func:`histogram`."""
    limits = [*(repr(float(bound)) for bound in bounds), "+Inf"]
    labels = {**fixed, key: MARK} if key else fixed
    total, count = labelled(f"{name}_sum", labels), labelled(f"{name}_count", labels)
    return (
        template(f"{name}_bucket", key, "le", limits, **fixed)
        + lines([total], "%.6f")
        + lines([count], "%d")
    )


def histogram(pattern: bytes, label: bytes, counts: Sequence[int], total: float) -> bytes:
    """A histogram's lines from its template, the count of each bucket alone, and the sum."""
    cumulative = [*accumulate(counts)]
    return fill(pattern, label, (*cumulative, total, cumulative[-1]))
