"""One probe from the request to the answer: timeout, prober, verdict, metrics, debug text.

Rule: whatever becomes of the target, the answer is metrics; only a request that cannot be
understood is refused.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Final
from urllib.parse import unquote

import yaml

from cbmon.blackbox.look import Line, Look
from cbmon.blackbox.modules import Module, shown
from cbmon.model import Reason

log = logging.getLogger(__name__)

ProbeFunction = Callable[[Look, Module], Awaitable[bool]]

OFFSET: Final = 0.5
"""Seconds before the scraper gives up at which a probe has to be over."""
LONGEST: Final = 120.0
"""Seconds a probe may take when neither the module nor the scraper says."""
GRACE: Final = 0.4

PROBERS: Final[Mapping[str, str]] = {
    "http": "cbmon.blackbox.http:probe_http",
    "tcp": "cbmon.blackbox.dialogue:probe_tcp",
    "unix": "cbmon.blackbox.dialogue:probe_unix",
    "dns": "cbmon.blackbox.dns:probe_dns",
    "icmp": "cbmon.blackbox.icmp:probe_icmp",
    "grpc": "cbmon.blackbox.grpc:probe_grpc",
}
"""Where each prober is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a probe."""

    ok: bool
    metrics: str
    duration: float
    module: tuple[str, Module]
    target: str
    lines: Sequence[Line]
    reason: Reason | None = None
    error: str = ""

    @property
    def debug(self) -> str:
        """Log, metrics and module as text, made when somebody wants to see it."""
        name, module = self.module
        lines = "".join(_line(line, name, self.target) for line in self.lines)
        return (
            f"Logs for the probe:\n{lines}\n\n\n"
            f"Metrics that would have been returned:\n{self.metrics}\n\n\n"
            f"Module configuration:\n{as_yaml(shown(module))}"
        )


def prober(name: str) -> ProbeFunction:
    """The prober of that name, imported now; KeyError."""
    module, _, function = PROBERS[name].partition(":")
    found: ProbeFunction = getattr(import_module(module), function)
    return found


def timeout_of(header: str, module_timeout: float, offset: float = OFFSET) -> float:
    """Seconds a probe may take; ValueError for a header that is no number.

    The smaller of the module's and the scraper's less ``offset``. A header below the offset, or
    0, leaves the module's alone.
    """
    scrape = float(header) if header else 0.0
    if math.isnan(scrape):
        raise ValueError("the scrape timeout is not a number")
    longest = (min(scrape, LONGEST) or LONGEST) - offset
    if longest < 0 or 0 < module_timeout < longest:
        return max(0.0, module_timeout)
    return longest


async def run(name: str, module: Module, look: Look) -> Outcome:
    """Probe; an outcome whatever happens, no later than the deadline and a moment."""
    clock = look.environment.clock
    look.say("Beginning probe", probe=module.prober, timeout_seconds=round(look.timeout, 3))
    begun = clock.monotonic()
    ok = False
    try:
        async with asyncio.timeout(look.timeout + GRACE):
            ok = await prober(module.prober)(look, module)
    except TimeoutError as error:
        look.trouble(error, "Probe cut off")
    except Exception as error:
        log.exception("probe raised, which is a defect of cbmon prober=%s", module.prober)
        text = f"internal error, see the log: {type(error).__name__}"
        look.fail(Reason.INTERNAL, text)
    duration = clock.monotonic() - begun
    look.say("Probe succeeded" if ok else "Probe failed", duration_seconds=round(duration, 6))
    return outcome(name, module, look, ok=ok, duration=duration)


def outcome(name: str, module: Module, look: Look, *, ok: bool, duration: float) -> Outcome:
    """What a look amounts to; a reason is told only for a probe that failed."""
    gauges = look.gauges
    gauges.declare("probe_success", "Whether the probe found what it expected")
    gauges.declare("probe_duration_seconds", "How long the probe took")
    gauges.set("probe_success", ok)
    gauges.set("probe_duration_seconds", duration)
    if not ok:
        gauges.declare_labelled("cbmon_probe_failure_info", "Why the probe failed")
        gauges.set("cbmon_probe_failure_info", 1, reason=look.reason or Reason.INTERNAL)
    return Outcome(
        ok=ok,
        metrics=gauges.text(),
        duration=duration,
        module=(name, module),
        target=look.target,
        lines=look.lines,
        reason=None if ok else look.reason,
        error="" if ok else look.error,
    )


def usable(target: str, module: Module) -> str:
    """The target, decoded once more only when it cannot be used as it stands."""
    decoded = unquote(target)
    if decoded == target or module.prober != "http":
        return target
    from cbmon.blackbox.http import target_place  # noqa: PLC0415 - for odd targets only
    from cbmon.probes.failure import ProbeError  # noqa: PLC0415

    try:
        target_place(target)
    except ProbeError:
        return decoded
    return target


def as_yaml(data: object) -> str:
    """For people to read."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _line(line: Line, name: str, target: str) -> str:
    at, level, text, more = line
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    pairs = {"module": name, "target": target, "level": level, "msg": text, **more}
    told = " ".join(f"{key}={_value(value)}" for key, value in pairs.items())
    return f"ts={stamp.replace('+00:00', 'Z')} {told}\n"


def _value(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not set(text) & {" ", '"', "=", "\\"}:
        return text
    safe = text.encode(errors="backslashreplace").decode().replace("\\", "\\\\")
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
    return '"' + safe.replace('"', '\\"') + '"'
