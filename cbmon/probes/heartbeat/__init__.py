"""``heartbeat``: a dead man's switch for jobs that say themselves that they live.

Rule: a run looks at what was heard, and at nothing else. What was heard belongs to the check: it is
part of its snapshot and survives a restart.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.heartbeat.options import HeartbeatOptions
from cbmon.probes.heartbeat.probe import HeartbeatProbe
from cbmon.probes.kind import ProbeType

TYPE: Final = ProbeType(
    name="heartbeat",
    options=HeartbeatOptions,
    target=HeartbeatOptions.shown,
    build=HeartbeatProbe,
)
