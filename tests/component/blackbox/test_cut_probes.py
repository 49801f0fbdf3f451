"""Rule: wherever the answer to a probe is cut, the probe fails at once and says why."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cbmon.blackbox.prober import prober
from cbmon.blackbox.service import Inquiry
from cbmon.model import Reason
from tests.integration.harness.cutting import CUTS, Cut, Cutter, points

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
SOUND = {Reason.CONNECT, Reason.PROTOCOL, Reason.BODY}
PAGE = (
    b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
)
CASES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "http": (PAGE, {"prober": "http", "http": {"fail_if_body_not_matches_regexp": ["hello"]}}),
    "tcp": (
        b"220 a\r\n250 b\r\n",
        {"prober": "tcp", "tcp": {"query_response": [
            {"send": "x"}, {"expect": "^220 "}, {"expect_bytes": "250 b\r\n"}]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", CASES)
async def test_an_answer_that_is_cut_anywhere_fails_at_once(
    name: str, cut: Cut, bench: Any
) -> None:
    said, module = CASES[name]
    prober(name)  # imported now, as the daemon does it

    async def converse(reader: Reader, writer: Writer) -> None:
        await reader.read(65536)
        writer.write(said)
        await writer.drain()
        await reader.read()

    async with Cutter(await bench.raw(converse)) as cutter:
        cutter.cut = cut
        bench.use({"m": {**module, "timeout": "3s"}})
        inquiry = Inquiry(target=f"127.0.0.1:{cutter.port}", module="m")
        assert (await bench.probing.probe(inquiry)).ok

        for after in points(len(said)):
            cutter.after = after
            found = await bench.probing.probe(inquiry)
            assert not found.ok, after
            assert found.reason in SOUND, (after, found.reason, found.error)
            assert found.duration < 2, (after, found.error)
