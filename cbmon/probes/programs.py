"""Which programs of this machine checks may start.

Rule: none, unless the configuration allows it: whoever may write a check may not thereby run what
they like as the daemon's user.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cbmon.model import Reason
from cbmon.probes.failure import ProbeError


class ProgramPolicy:
    """Patterns of absolute paths, where ``*`` stands for a part of one name, never for a "/".

    ``everything`` is for the person who types the command.
    """

    def __init__(self, allowed: Iterable[str] = (), *, everything: bool = False) -> None:
        self._allowed = tuple(allowed)
        self._everything = everything

    def check(self, program: str | Path) -> None:
        """Return, or raise ProbeError with reason ``policy``."""
        from cbmon.config.programs import may_start  # noqa: PLC0415 - its room needs RE2

        if self._everything or may_start(str(program), self._allowed):
            return
        text = f"starting {program} is not allowed: it is not in global.exec_allow"
        raise ProbeError(Reason.POLICY, text)
