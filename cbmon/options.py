"""What `cbmon run` was told on its command line.

Rule: plain values, no library; the command line makes one, the composition root reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The flags of ``cbmon run``; for what is empty or None the configuration decides."""

    config: Path
    blackbox_config: Path | None = None
    enable_probe: bool = False
    """Answer ``/probe`` whatever ``web.probe.enabled`` says."""
    listen: tuple[str, ...] = ()
    """Addresses as ``host:port``; they replace ``web.listen``."""
    web_config: Path | None = None
    log_level: str = "info"
    log_format: str = "logfmt"
    data_dir: Path | None = None
    workers: int = 1
    """Processes that look at targets; 1 is the daemon itself."""
