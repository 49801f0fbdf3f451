"""``postgres``: log in, ask one query in a read-only transaction, judge the answer.

Rule: the protocol is spoken here, over the connection that the other checks use too. Client
libraries connect to whatever a name leads to, and their cancellation waits for a server that may
be what is broken; here the run ends when it is told to.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.database import DatabaseOptions
from cbmon.probes.kind import ProbeType
from cbmon.probes.postgres.probe import PostgresOptions, PostgresProbe

TYPE: Final = ProbeType(
    name="postgres",
    options=PostgresOptions,
    target=DatabaseOptions.shown,
    build=PostgresProbe,
)
