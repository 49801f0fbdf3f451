"""``mcp``: a server of the Model Context Protocol, over streamable HTTP or as a program.

Rule: the few messages that a check needs are spoken here. The protocol's SDK would bring a dozen
packages, its own HTTP client past the address policy, and processes that outlive a cancelled run.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.kind import ProbeType
from cbmon.probes.mcp.options import McpOptions
from cbmon.probes.mcp.probe import McpProbe

TYPE: Final = ProbeType(
    name="mcp",
    options=McpOptions,
    target=McpOptions.shown,
    build=McpProbe,
)
