"""``exec``: monitoring plug-ins, and any program that ends with their exit codes.

Rule: nothing is started that the configuration does not allow, no shell is involved, and nothing
that was started outlives its run.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.exec.options import ExecOptions
from cbmon.probes.exec.probe import ExecProbe
from cbmon.probes.kind import ProbeType

TYPE: Final = ProbeType(
    name="exec",
    options=ExecOptions,
    target=lambda options: options.command[0],  # the arguments may hold passwords
    build=ExecProbe,
    values=lambda options: options.perfdata,
)
