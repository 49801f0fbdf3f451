"""Rule: a script is gone through step by step, and the step that fails is named."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from cbmon.model import Reason
from cbmon.probes.tcp import TcpOptions

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def talkative(reader: Reader, writer: Writer) -> None:
    """Greets with a number, wants it back, and prompts without a line break."""
    writer.write(b"* Welcome\r\n* ticket 4711 of $5\r\n")
    line = await reader.readline()
    writer.write(b"+ " + line + b"\xff\xfb\x01login: ")
    writer.write(b"hello " + await reader.readline())
    await reader.read()
    writer.close()


async def scripted(bench: Any, server: Any, *steps: dict[str, Any], **options: Any) -> Any:
    port = await bench.raw(server)
    return await bench.look("tcp", address=f"127.0.0.1:{port}", dialogue=list(steps), **options)


async def test_a_script_is_gone_through_to_its_end(bench: Any) -> None:
    result = await scripted(
        bench,
        talkative,
        {"expect": "ticket ([0-9]+)( never)?"},
        {"send": "$1$2-$$\r\n"},
        {"expect": r"^[+] 4711-[$]$"},
        {"expect_hex": "ff fb 01"},
        {"expect_text": "login: "},
        {"send_hex": "6d 65 0d 0a"},
        {"expect": "^hello me$"},
    )

    assert result.ok, result.error
    assert result.facts["step"] == 7
    assert result.facts["answer"] == '"hello me"'
    assert result.phases.processing > 0


async def test_lines_come_in_pieces(bench: Any) -> None:
    async def dripping(reader: Reader, writer: Writer) -> None:
        for byte in b"no\r\nyes 1\r\nyes 2\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    result = await scripted(bench, dripping, {"expect": "^yes ([12])$"}, {"expect": "^yes 2$"})

    assert result.ok, result.error


async def test_the_last_line_needs_no_end(bench: Any) -> None:
    async def short(reader: Reader, writer: Writer) -> None:
        writer.write(b"one\ntwo")
        writer.close()

    assert (await scripted(bench, short, {"expect": "^two$"})).ok


@pytest.mark.parametrize(
    ("reason", "error", "said", "step"),
    [
        (
            Reason.BODY,
            "step 1: got \"bye\", expected a line with 'yes'",
            b"bye\n",
            {"expect": "yes"},
        ),
        (Reason.BODY, "step 1: got nothing, expected a line with 'yes'", b"", {"expect": "yes"}),
        (Reason.BODY, 'step 1: got "bye", expected "yes"', b"bye", {"expect_text": "yes"}),
        (Reason.SIZE, "step 1: 127.0.0.1", b"x" * 70_000, {"expect": "yes"}),
        (Reason.SIZE, "said more than 64 KiB", b"x\n" * 40_000, {"expect_hex": "ff"}),
    ],
)
async def test_the_step_that_fails_is_named(
    reason: Reason, error: str, said: bytes, step: dict[str, Any], bench: Any
) -> None:
    async def saying(reader: Reader, writer: Writer) -> None:
        writer.write(said)
        writer.close()

    result = await scripted(bench, saying, step, {"send": "never"})

    assert result.reason is reason, result.error
    assert error in result.error
    assert result.facts["step"] == 1


@pytest.mark.parametrize("eager", [False, True])
async def test_tls_begins_in_the_middle(eager: bool, bench: Any, tmp_path: Path) -> None:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("imap.test").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def imap(reader: Reader, writer: Writer) -> None:
        writer.write(b"* OK\r\n")
        await reader.readline()
        writer.write(b"a1 OK\r\n" + (b"* CAPABILITY X\r\n" if eager else b""))
        await writer.drain()
        await writer.start_tls(context)
        writer.write(b"* CAPABILITY X\r\n")
        await reader.read()
        writer.close()

    result = await scripted(
        bench,
        imap,
        {"send": "a1 STARTTLS\r\n"},
        {"expect": "^a1 OK"},
        {"starttls": True},
        {"expect": "CAPABILITY"},
        tls={"ca_file": str(tmp_path / "ca.pem"), "server_name": "imap.test"},
        expect={"certificate_days": 1},
    )

    if eager:
        assert result.reason is Reason.PROTOCOL
        assert "in the clear where TLS had to begin" in result.error
        assert result.phases.tls == 0
    else:
        assert result.ok, result.error
        assert result.phases.tls > 0
        assert result.certificate_expiry


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("dialogue excludes", {"dialogue": [{"expect": "a"}], "send": "x"}),
        ("dialogue excludes", {"dialogue": [{"expect": "a"}], "expect": {"matches": "x"}}),
        (r"\$1 is not a group", {"dialogue": [{"send": "$1"}]}),
        (r"\$2 is not a group", {"dialogue": [{"expect": "(a)"}, {"send": "$1 $2"}]}),
        (r"\$1 is not a group", {"dialogue": [{"expect": "(a)"}, {"expect": "b"}, {"send": "$1"}]}),
        ("once only", {"dialogue": [{"starttls": True}, {"starttls": True}]}),
        ("exclude each other", {"dialogue": [{"send": "a", "expect": "b"}]}),
        ("is missing", {"dialogue": [{}]}),
        ("bytes such as", {"dialogue": [{"send_hex": "zz"}]}),
        ("Input should be True", {"dialogue": [{"starttls": False}]}),
    ],
)
def test_a_script_that_cannot_work_is_refused(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        TcpOptions.model_validate({"address": "a.test:1", **options})
