"""Rule: no bytes of a target and no options of a person make a check crash: each run has a reason.

What is drawn is noise, and good answers that something was done to. The short tier draws a few.
The long one goes on for ten minutes with each of the four that strangers and people write most for,
and for ten more with all others together; ``make test-long`` runs it in several processes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.blackbox.file import ModuleFile
from cbmon.blackbox.http2 import Http2
from cbmon.blackbox.modules import shown
from cbmon.blackbox.parsing import Parser
from cbmon.blackbox.prober import Outcome, as_yaml
from cbmon.blackbox.service import Inquiry, Probing
from cbmon.config.sections import ProbeSection
from cbmon.model import Reason, Result
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.dns.message import MalformedError, answers, parse, question
from cbmon.probes.exec.perfdata import parse as parse_perfdata
from cbmon.probes.exec.perfdata import split_output
from cbmon.probes.icmp.echo import is_reply, request, without_ip
from cbmon.probes.run import run_once
from tests.unit.blackbox.test_module_fuzz import TREES
from tests.unit.blackbox.test_module_fuzz import read as read_modules

LONG: Final = 600.0
"""Seconds of the long tier: of each subject in :data:`ALONE`, and of all others together."""
ALONE: Final = {
    "options": ("options",),
    "DNS answers": ("dns", "dns messages", "dns on /probe"),
    "perfdata": ("perfdata",),
    "module files": ("module file", "module tree"),
}
"""What has the time of the long tier to itself, by what it consists of."""
_ASKED: Final = question(7, "a.test", "A", "IN", recursive=True)
_DNS: Final = bytes.fromhex(
    "0007818000010002000100000161047465737400000100 01c00c00010001000000050004c0000201"
    "c00c0010000100000005000403616263c00c00060001000000050016c00cc00c0000000100000002"
    "000000030000000400000005".replace(" ", "")
)
_SAMPLES: Final[dict[str, tuple[bytes, ...]]] = {
    "http": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 302 Found\r\nLocation: http://[::1/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0",
        b'HTTP/1.1 200 OK\r\nLast-Modified: now\r\nSet-Cookie: a\r\n\r\n{"a": [1e999, NaN, {}]}',
    ),
    "redis": (
        b"*3\r\n$3\r\nabc\r\n:-12\r\n*-1\r\n",
        b"$11\r\nrole:master\r\n",
        b"-ERR no\r\n",
        b"+PONG\r\n",
    ),
    "ssh": (b"hello\r\nSSH-2.0-OpenSSH_9.2p1 Debian\r\n", b"SSH-1.99-x\n"),
    "smtp": (b"220 mx ESMTP\r\n250-mx\r\n250-STARTTLS\r\n250 AUTH=PLAIN\r\n221 x\r\n",),
    "tcp": (b"* OK a1\r\n\xff\xfb\x01login: 250 x\r\n",),
    "tls": (
        bytes.fromhex("15030100020228"),
        bytes.fromhex("160303002e0200002a0303") + bytes(32) + bytes.fromhex("00130200"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ),
    "mysql": (
        b"\x49\0\0\0\x0a8.4.0\0\1\0\0\0abcdefgh\0\x08\xa2\x2d\2\0\x08\0\x15" + bytes(10)
        + b"ijklmnopqrst\0mysql_native_password\0"
        b"\7\0\0\2\0\0\0\2\0\0\0\7\0\0\1\0\0\0\2\0\0\0\7\0\0\1\0\0\0\2\0\0\0"
        b"\1\0\0\1\1\3\0\0\2def\5\0\0\3\xfe\0\0\2\0\2\0\0\4\x011\5\0\0\5\xfe\0\0\2\0",
    ),
    "postgres": (
        (
            b"NR\0\0\0\x08\0\0\0\0S\0\0\0\x0ea\0b\0c\0d\0e\0Z\0\0\0\5I"
            b"C\0\0\0\5\0Z\0\0\0\5TT\0\0\0\6\0\0D\0\0\0\x0b\0\1\0\0\0\x011Z\0\0\0\5T"
            b"Z\0\0\0\5T"
        ),
        b"NR\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0E\0\0\0\x0fSFATAL\0C28P01\0\0",
        b"S\x16\3\1\0\2\1\0",
    ),
}  # fmt: skip
_SAMPLES["dns"] = (_DNS,)
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "dns": {"name": "a.test", "transport": "tcp", "expect": {"answer": {"matches": ["A"]}}},
    "http": {
        "expect": {
            "body": {"matches": "ok|a"},
            "json": {"$.a[0]": {"above": 1}},
            "headers": {"matches": {"Location": "x"}, "allow_missing": ["Location"]},
            "last_modified_age": "1h",
        },
        "compression": ["gzip"],
        "max_body_size": "1MB",
    },
    "redis": {"expect": {"fields": {"role": "master"}, "value": "> 1"}},
    "ssh": {"expect": {"matches": "OpenSSH"}},
    "smtp": {"expect": {"capabilities": ["AUTH PLAIN"]}},
    "tcp": {
        "dialogue": [
            {"expect": "(OK|NO) (a1)?"},
            {"send": "$1$2\r\n"},
            {"expect_hex": "ff"},
            {"expect_text": "login: "},
            {"expect": "^250 "},
        ]
    },
}


_PLACES: Final = {
    "http": ("url", "http://{}"),
    "redis": ("url", "redis://{}"),
    "mysql": ("dsn", "mysql://u:p@{}/d"),
    "postgres": ("dsn", "postgresql://u:p@{}/d"),
    "dns": ("server", "{}"),
}
_MODULE: Final = {
    "prober": "dns",
    "dns": {
        "query_name": "a.test",
        "query_type": "SOA",
        "transport_protocol": "tcp",
        "valid_rcodes": ["NOERROR", "NXDOMAIN"],
        "validate_answer_rrs": {"fail_if_matches_regexp": ["x$"]},
    },
}


@st.composite
def spoilt(draw: st.DrawFn, samples: tuple[bytes, ...]) -> bytes:
    """A good answer of which parts are cut, repeated or replaced."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 12)))
        noise = st.one_of(
            st.binary(max_size=8),
            st.sampled_from([b"\r\n", b"\n", b"\0", b"-1", b"99999999999999999999", b"\xff" * 9]),
            st.just(bytes(data[at:end]) * 3),
        )
        data[at:end] = draw(noise)
    return bytes(data)


def said(kind: str) -> st.SearchStrategy[bytes]:
    return st.one_of(spoilt(_SAMPLES[kind]), st.binary(max_size=400))


class _Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


async def framed(reader: asyncio.StreamReader, data: bytes) -> bytes:
    """The data as an answer to the question that was asked over TCP."""
    size = int.from_bytes(await reader.readexactly(2), "big")
    answer = (await reader.readexactly(size))[:2] + data[2:]
    return len(answer).to_bytes(2, "big") + answer


@contextmanager
def looking(kind: str) -> Iterator[Callable[[bytes], Result]]:
    """``look(data)``: the result of a check whose target says just that."""
    data = b""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await framed(reader, data) if kind == "dns" else data)
        writer.close()

    async def begin() -> tuple[asyncio.Server, ProbeEnvironment, Any]:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        place, form = _PLACES.get(kind, ("address", "{}"))
        environment = ProbeEnvironment(clock=_Clock())
        found = probe_type(kind)
        given_options = {place: form.format(f"127.0.0.1:{port}"), **_OPTIONS.get(kind, {})}
        probe = found.build(found.options.model_validate(given_options), environment)
        return server, environment, probe

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server, environment, probe = runner.run(begin())

        def look(said: bytes) -> Result:
            nonlocal data
            data = said
            return runner.run(run_once(probe, 5.0, environment.clock))

        try:
            yield look
        finally:  # a loop with an open server waits for ever when it is closed
            server.close()
            runner.run(environment.close())


@contextmanager
def probing() -> Iterator[Callable[[bytes], Outcome]]:
    """``probe(data)``: the outcome of a probe of a name server that says just that."""
    data = b""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await framed(reader, data))
        writer.close()

    async def begin() -> tuple[asyncio.Server, ProbeEnvironment, Probing]:
        environment = ProbeEnvironment(clock=_Clock())
        made = Probing(environment, unknown_module=lambda: None)
        modules = read_modules(yaml.safe_dump({"modules": {"m": _MODULE}}).encode())
        made.configure(ProbeSection(enabled=True), ModuleFile(Path("x"), modules))
        return await asyncio.start_server(converse, "127.0.0.1", 0), environment, made

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server, environment, made = runner.run(begin())
        target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

        def probe(said: bytes) -> Outcome:
            nonlocal data
            data = said
            return runner.run(made.probe(Inquiry(target=target, module="m")))

        try:
            yield probe
        finally:
            server.close()
            runner.run(environment.close())


def probed_names(examples: int, number: int) -> None:
    """A subject: what name servers say to ``/probe``."""
    with probing() as probe:

        def check(data: bytes) -> None:
            outcome = probe(data)
            if outcome.reason is Reason.TIMEOUT:  # once, the machine may have stood still
                outcome = probe(data)
            assert outcome.reason not in {Reason.INTERNAL, Reason.TIMEOUT}, data
            assert outcome.ok == (outcome.reason is None)

        drawn(check, said("dns"), examples, number)


def judged(kind: str) -> Callable[[int, int], None]:
    """A subject: ``run(examples, seed)`` looks at so many targets."""

    def run(examples: int, number: int) -> None:
        with looking(kind) as look:

            def check(data: bytes) -> None:
                result = look(data)
                if result.reason is Reason.TIMEOUT:  # once, the machine may have stood still
                    result = look(data)
                assert result.reason is not Reason.INTERNAL, (data, result.error)
                assert result.reason is not Reason.TIMEOUT, data
                assert result.ok == (result.reason is None)

            drawn(check, said(kind), examples, number)

    return run


def pure(
    check: Callable[[Any], None], strategy: st.SearchStrategy[Any], *, least: int = 10
) -> Callable[..., None]:
    def run(examples: int, number: int) -> None:
        drawn(check, strategy, examples * least, number)

    return run


def drawn(
    check: Callable[[Any], None], strategy: st.SearchStrategy[Any], examples: int, number: int
) -> None:
    limits = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    seed(number)(limits(given(strategy)(check)))()


def dns_message(data: bytes) -> None:
    answers(_ASKED, data)
    try:
        parse(data)
    except MalformedError:
        return


def echo(data: bytes) -> None:
    sent = request(4, 1, 2, b"0123456789abcdef")
    assert not is_reply(4, without_ip(data), sent, identified=True)
    assert not is_reply(6, data, sent, identified=True)


def perfdata(text: str) -> None:
    parse_perfdata(text)
    parse_perfdata(split_output(text)[2])


def options(given_options: Any) -> None:
    kind, values = given_options
    try:
        found = probe_type(kind).options.model_validate(values)
    except ValidationError:
        return
    probe_type(kind).target(found)
    found.model_dump_json(by_alias=True)


def probed(data: bytes) -> None:
    body = bytearray()
    for reader in (Parser("GET", body.extend), Http2("GET", body.extend)):
        try:
            reader.feed(data[: len(data) // 2])
            reader.feed(data[len(data) // 2 :])
        except ValueError:
            continue
        reader.end()


def module_file(data: bytes) -> None:
    for module in read_modules(data).values():
        assert as_yaml(shown(module))


def module_tree(tree: object) -> None:
    module_file(yaml.safe_dump({"modules": {"m": tree}}, allow_unicode=True).encode())


_PLUGIN: Final = st.text(alphabet="abU'|=; \n\t0123456789.,-+e%smuBKiG\0é", max_size=200)
_NAMES: Final = st.sampled_from(
    [
        "url", "address", "host", "expect", "headers", "matches", "status", "json", "$.a", "tls",
        "proxy", "oauth2", "dialogue", "send", "command", "ttl", "size", "family", "body",
        "allow_missing", "starttls", "fields", "environment", "max_duration", "source_address",
    ]
)  # fmt: skip
_LEAVES: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["http://a.test/", "a.test:1", "$1", "(a)", "2xx", "1h", "ipv6", "/bin/x"]),
)  # fmt: skip
_VALUES: Final = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=4)
    ),
    max_leaves=12,
)
_KINDS: Final = st.sampled_from(["http", "http", "tcp", "dns", "redis", "smtp", "exec", "tls"])

SUBJECTS: Final[dict[str, Callable[[int, int], None]]] = {
    **{kind: judged(kind) for kind in _SAMPLES},
    "dns on /probe": probed_names,
    "dns messages": pure(dns_message, st.one_of(spoilt((_DNS,)), st.binary(max_size=200))),
    "icmp": pure(echo, st.binary(max_size=80)),
    "perfdata": pure(perfdata, st.one_of(_PLUGIN, st.text(max_size=200))),
    "answers on /probe": pure(probed, said("http")),
    "module file": pure(module_file, st.binary(max_size=200)),
    "module tree": pure(module_tree, TREES, least=2),
    "options": pure(options, st.tuples(_KINDS, st.dictionaries(_NAMES, _VALUES, max_size=6))),
}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_nothing_that_is_drawn_makes_it_crash(subject: str) -> None:
    SUBJECTS[subject](40, 1)


_ALONE: Final = {subject for subjects in ALONE.values() for subject in subjects}
_OTHERS: Final = [(subject,) for subject in SUBJECTS if subject not in _ALONE]


@pytest.mark.long
@pytest.mark.parametrize(
    ("subjects", "seconds"),
    [
        *(pytest.param(subjects, LONG, id=name) for name, subjects in ALONE.items()),
        *(pytest.param(one, LONG / len(_OTHERS), id=one[0]) for one in _OTHERS),
    ],
)
def test_nothing_makes_it_crash_for_a_long_time(subjects: tuple[str, ...], seconds: float) -> None:
    end = time.monotonic() + seconds
    number = int(time.time())
    while time.monotonic() < end:
        number += 1
        SUBJECTS[subjects[number % len(subjects)]](100, number)
