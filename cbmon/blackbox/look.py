"""One probe on its way: target, deadline, what it measured and what it has to say.

Rule: a prober never raises; what it awaits is under :meth:`Look.deadline`, and when that passes
it goes on to judge what there is, because the metrics of a cut-off probe count too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cbmon.blackbox.gauges import Gauges
from cbmon.blackbox.tls import Contexts
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, seconds

MOST_LINES: Final = 200
Line = tuple[float, str, str, Mapping[str, object]]
"""When, how bad, what, and more of it."""
_DOING: Final[Mapping[Phase | None, str]] = {
    Phase.RESOLVE: "resolving the name",
    Phase.CONNECT: "connecting",
    Phase.TLS: "in the TLS handshake",
    Phase.PROCESSING: "waiting for the answer",
    Phase.TRANSFER: "receiving the answer",
    None: "before it began",
}


@dataclass(slots=True, kw_only=True)
class Look:
    """What a prober is given, and what it fills in."""

    target: str
    environment: ProbeEnvironment
    contexts: Contexts
    timeout: float
    hostname: str = ""
    """What the request says the Host header and the name in TLS shall be."""
    gauges: Gauges = field(default_factory=Gauges)
    reason: Reason | None = None
    """Why it failed, the first time something did."""
    error: str = ""
    lines: list[Line] = field(default_factory=list)
    attempt: Attempt = field(init=False)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self.attempt = Attempt(self.environment.clock.monotonic, self.timeout)
        self._until = asyncio.get_running_loop().time() + self.timeout

    def deadline(self) -> asyncio.Timeout:
        """The probe's deadline, for ``async with``."""
        return asyncio.timeout_at(self._until)

    @property
    def has_room(self) -> bool:
        """Whether another line is kept."""
        return len(self.lines) < MOST_LINES

    def say(self, text: str, level: str = "info", **more: object) -> None:
        """A line for the log of this probe; holds no secret."""
        if self.has_room:
            self.lines.append((self.environment.clock.time(), level, text, more))

    def fail(self, reason: Reason, text: str, **more: object) -> bool:
        """Say what went wrong; False, for the prober to return."""
        self.say(text, "error", **more)
        if self.reason is None:
            self.reason, self.error = reason, text
        return False

    def trouble(self, error: Exception, doing: str) -> bool:
        """The same for what was raised while ``doing``: ProbeError, OSError or TimeoutError."""
        if isinstance(error, ProbeError):
            return self.fail(error.reason, doing, err=str(error))
        if isinstance(error, TimeoutError):
            phase = self.attempt.phase
            reason = Reason.DNS if phase is Phase.RESOLVE else Reason.TIMEOUT
            text = f"no end within {seconds(self.timeout)}, {_DOING[phase]}"
            return self.fail(reason, doing, err=text)
        return self.fail(Reason.PROTOCOL, doing, err=str(error) or type(error).__name__)
