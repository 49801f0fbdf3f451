"""``mysql``: log in to MySQL or MariaDB, ask one query in a read-only transaction and judge it.

Rule: the protocol is spoken here, over the connection that the other checks use too, for the same
reasons as for ``postgres``.
"""

from __future__ import annotations

from typing import Final

from cbmon.probes.database import DatabaseOptions
from cbmon.probes.kind import ProbeType
from cbmon.probes.mysql.probe import MysqlOptions, MysqlProbe

TYPE: Final = ProbeType(
    name="mysql",
    options=MysqlOptions,
    target=DatabaseOptions.shown,
    build=MysqlProbe,
)
