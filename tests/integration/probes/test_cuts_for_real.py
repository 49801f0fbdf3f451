"""Rule: wherever a real server's conversation is cut, its check says why, in time."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon.model import Reason
from tests.integration.harness.cutting import CUTS, Cut, Cutter, points

WHERE = {
    "postgres": "postgresql://postgres@127.0.0.1:{port}/cbmon?sslmode={mode}",
    "mysql": "mysql://cbmon:s%C3%A9cret@127.0.0.1:{port}/cbmon?sslmode={mode}",
}
FAREWELL = 32
"""Bytes at the end that may be TLS' goodbye, which nobody waits for."""
SOUND = {Reason.CONNECT, Reason.PROTOCOL, Reason.TLS}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("mode", ["disable", "require"])
@pytest.mark.parametrize("kind", WHERE)
async def test_a_database_that_is_cut_off_anywhere_is_told_at_once(
    kind: str, mode: str, cut: Cut, look: Any, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue({"postgres": "postgres", "mysql": "mariadb"}[kind])
    async with Cutter(server.port) as cutter:
        cutter.cut = cut
        dsn = WHERE[kind].format(port=cutter.port, mode=mode)
        if kind == "postgres":
            who = "secure:secret@" if mode == "require" else "cbmon:s%C3%A9cret@"
            dsn = dsn.replace("postgres@", who)
        whole = await look(kind, dsn=dsn)
        assert whole.ok, whole.error

        total = cutter.said
        for after in points(total):
            cutter.after = after
            result = await look(kind, dsn=dsn, timeout=2.0)
            farewell = after > total - FAREWELL
            assert result.ok <= farewell, after
            assert result.reason in SOUND or result.ok, (after, result.reason, result.error)
            assert result.duration < 1.5, (after, result.error)
            cutter.after = None
