"""Tells systemd how the daemon is doing, over the datagram socket in ``NOTIFY_SOCKET``.

Rule: never in the way. Without that socket every call does nothing, a socket that is gone or full
costs a DEBUG line and at most half a second, and nothing is raised. Protocol: sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

log = logging.getLogger(__name__)

SEND_TIMEOUT: Final = 0.5


class Notifier:
    """The line to the service manager.

    ``address`` is the socket's path, or an abstract name with a leading ``@``; empty means that
    nobody listens. ``watchdog_interval`` is how often to call :meth:`watchdog`, in seconds: half
    of what the manager waits before it kills; None when it does not watch this process.
    """

    __slots__ = ("_address", "watchdog_interval")

    def __init__(self, address: str = "", watchdog_interval: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_interval = watchdog_interval

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """As the service manager says in ``NOTIFY_SOCKET``, ``WATCHDOG_USEC``, ``WATCHDOG_PID``."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("@", "/")):
            return cls()
        return cls(address, _watchdog_interval(environ))

    @property
    def listened(self) -> bool:
        """Whether a service manager asked to be told."""
        return bool(self._address)

    def ready(self, status: str = "") -> bool:
        """Start or reload is finished. Whether it was sent, as for all of these."""
        return self._send("READY=1", *_status(status))

    def reloading(self) -> bool:
        """A reload begins; :meth:`ready` ends it, also when the new configuration is refused."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self, status: str = "") -> bool:
        """The stop begins."""
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line for ``systemctl status``; line breaks become spaces."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """Proof of life. Call it only after work was seen to go on, not from a bare timer."""
        return self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for that many more seconds for the start, reload or stop that is going on."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _send(self, *assignments: str) -> bool:
        if not self._address or not assignments:
            return False
        message = "\n".join(assignments).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.settimeout(SEND_TIMEOUT)
                line.connect(self._address)
                line.sendall(message)
        except OSError as error:
            log.debug("service manager not told", extra={"fields": {"error": str(error)}})
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    line = " ".join(text.split())
    return (f"STATUS={line}",) if line else ()


def _watchdog_interval(environ: Mapping[str, str]) -> float | None:
    microseconds = environ.get("WATCHDOG_USEC", "")
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    if not (microseconds.isascii() and microseconds.isdigit()) or int(microseconds) == 0:
        return None
    return int(microseconds) / 2_000_000
