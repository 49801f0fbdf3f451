"""``icmp``: one echo request, and the reply to it.

Rule: no privilege is asked for where the kernel needs none; where it does, the error says what to
set.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.icmp.probe import IcmpOptions, IcmpProbe
from cbmon.probes.kind import ProbeType

TYPE: Final = ProbeType(
    name="icmp",
    options=IcmpOptions,
    target=lambda options: options.host,
    build=IcmpProbe,
)
