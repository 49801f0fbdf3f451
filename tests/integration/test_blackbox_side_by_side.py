"""cbmon beside Debian's blackbox_exporter: the same module file, the same targets, both asked.

Rule: probe_success agrees in every case, and so does every metric that both have; what takes
time only has to be there. Differences are listed in docs/blackbox.md and in no other place.
"""

from __future__ import annotations

import socket
import ssl
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.harness import Daemon, program
from tests.integration.harness.processes import free_port
from tests.integration.harness.servers import Server
from tests.integration.harness.web import Answer, fetch
from tests.integration.sidebyside.answers import redirect, reset, respond
from tests.integration.sidebyside.cases import CASES as FIRST
from tests.integration.sidebyside.cases import Case
from tests.integration.sidebyside.certificates import Authority
from tests.integration.sidebyside.health import HealthServer
from tests.integration.sidebyside.http2 import HTTP2, NginxHttp2
from tests.integration.sidebyside.more import MORE
from tests.integration.sidebyside.nameserver import datagrams, stream
from tests.integration.sidebyside.oddities import ODDITIES
from tests.integration.sidebyside.strangers import STRANGERS
from tests.integration.sidebyside.targets import (
    Datagrams,
    Listener,
    Talk,
    http,
    over_tls,
    parrot,
    polite,
    script,
    tunnel,
)

CASES: Final = [*FIRST, *MORE, *HTTP2, *STRANGERS, *ODDITIES]
TIMES: Final = ("_duration_seconds", "_lookup_time_seconds")
OURS: Final = frozenset(
    {"cbmon_probe_failure_info", "probe_failed_due_to_bytes", "probe_tls_cipher_info"}
)
"""What 0.23 does not have yet, or never had."""
NEW_LABELS: Final = {"serialnumber"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Exporter(Server):
    """Debian's blackbox_exporter on a module file."""

    def __init__(self, directory: Path, modules: Path) -> None:
        self._modules = modules
        super().__init__(directory)

    ready_path = "/-/healthy"

    def command(self) -> list[str]:
        binary = program("prometheus-blackbox-exporter", package="prometheus-blackbox-exporter")
        address = f"--web.listen-address=127.0.0.1:{self.port}"
        return [binary, f"--config.file={self._modules}", address]


@dataclass
class Pair:
    """Both probers, and what the cases' texts stand for."""

    theirs: str
    ours: str
    words: dict[str, str]

    def ask(self, url: str, case: Case, number: int) -> Answer:
        query = {"module": f"m{number}", "target": case.target, **case.query}
        query = {key: value.format_map(self.words) for key, value in query.items()}
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": case.scrape} if case.scrape else {}
        asked = urllib.parse.urlencode(query) + case.more
        return fetch(f"{url}/probe?{asked}", headers=headers, timeout=15)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("blackbox")
    with ExitStack() as stack:
        words = _targets(directory, stack)
        modules = {f"m{number}": case.module for number, case in enumerate(CASES)}
        file = directory / "blackbox.yml"
        file.write_text(_filled(yaml.safe_dump({"modules": modules}), words))
        exporter = Exporter(directory / "exporter", file)
        stack.callback(exporter.process.clean_up)
        exporter.start()
        flags = ["--blackbox.config.file", str(file), "--web.enable-probe"]
        daemon = Daemon(directory / "cbmon", {}, flags=flags)
        stack.callback(daemon.process.clean_up)
        daemon.start()
        yield Pair(exporter.url, daemon.url, words)


@pytest.mark.parametrize(
    ("number", "case"), list(enumerate(CASES)), ids=[case.name.replace(" ", "-") for case in CASES]
)
def test_both_find_the_same(pair: Pair, number: int, case: Case) -> None:
    theirs = pair.ask(pair.theirs, case, number)
    ours = pair.ask(pair.ours, case, number)
    assert ours.status == theirs.status == case.status
    if case.status != 200:
        return
    new = {label for label in NEW_LABELS if f"{label}=" not in theirs.text}
    expected, found = _samples(theirs.text, new), _samples(ours.text, new)
    success = ("probe_success", frozenset[tuple[str, str]]())
    assert (expected[success], found[success]) == (case.ok, case.ok)
    apart = case.apart | (OURS - {name for name, _ in expected})
    compared = {key: value for key, value in found.items() if key[0] not in apart}
    assert compared == {key: value for key, value in expected.items() if key[0] not in case.apart}


def test_there_are_enough_cases_with_names_of_their_own() -> None:
    names = [(case.name, case.target, str(case.module)) for case in CASES]
    assert len(set(names)) == len(names) >= 60


def _samples(text: str, new: set[str]) -> Samples:
    """The samples; times are told as 1 because they are never the same."""
    return {
        (
            sample.name,
            frozenset((key, value) for key, value in sample.labels.items() if key not in new),
        ): 1.0 if sample.name.endswith(TIMES) else sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{" + word + "}", value)
    return text


def _targets(directory: Path, stack: ExitStack) -> dict[str, str]:
    """Every target of the cases, by the word that stands for its port or file."""
    root = Authority(directory, "root")
    middle = Authority(directory, "intermediate", root)
    old = Authority(directory, "old", days=100)
    old.crossed(root, days=300)
    both = directory / "both.pem"
    both.write_bytes(root.file.read_bytes() + old.file.read_bytes())
    (directory / "token").write_text("from-file\n")
    words = {
        "directory": str(directory),
        "ca": str(root.file),
        "intermediate": str(middle.file),
        "old": str(old.file),
        "both": str(both),
        "client": str(root.leaf("client", names=["client.example"])),
    }
    good = root.leaf("good")
    banner = script(b"SSH-2.0-Test_1 comment\r\nsecond\nlast")
    page = http(respond)
    talks: dict[str, Talk] = {
        "banner": banner,
        "silent": script(3.0),
        "hang_up": lambda _: None,
        "odd": script(b"\xffb\nc\rd\ne\r\r\n"),
        "parrot": parrot,
        "line_65535": script(b"a" * 65_535 + b"\n"),
        "line_65536": script(b"a" * 65_536 + b"\n"),
        "endless_line": script(b"a" * 70_000 + b"b\n"),
        "tunnel": tunnel,
        "reset": reset,
        "irc": _irc,
        "smtp": script(
            b"220 mail ESMTP\r\n250 wait?\n", b"250-mail\r\n250-STARTTLS\r\n250 OK?\n",
            b"220 go\r\n", b"", b"250-AUTH PLAIN\r\n250 OK\r\n", tls=good,
        ),
        "banner_tls": over_tls(banner, good),
        "dns_tcp": stream,
        "dns_tls": over_tls(stream, good),
        "tls": over_tls(page, good),
        "tls_polite": over_tls(polite, good),
        "tls_address": over_tls(page, root.leaf("address", names=[], addresses=["127.0.0.1"])),
        "tls_other": over_tls(page, root.leaf("other", names=["other.example"])),
        "tls_common": over_tls(page, root.leaf("common", names=[], common_name="localhost")),
        "tls_wild": over_tls(page, root.leaf("wild", names=["*.example.org"])),
        "tls_expired": over_tls(page, root.leaf("expired", days=-1)),
        "tls_chain": over_tls(page, middle.leaf("chain", days=500)),
        "tls_crossed": over_tls(page, old.leaf("crossed", days=200)),
        "tls_gap": over_tls(page, middle.leaf("gap", present=False)),
        "tls_12": over_tls(page, good, newest=ssl.TLSVersion.TLSv1_2),
        "tls_client": over_tls(page, good, ca=root.file),
    }  # fmt: skip
    for word, talk in talks.items():
        words[word] = str(_listening(stack, Listener(talk)))
    tls_port = words["tls"]

    def with_tls(head: str, body: bytes) -> Any:
        if head.startswith("GET /absolute-tls"):
            return redirect(f"https://localhost:{tls_port}/")
        return respond(head, body)

    for word, certificate in (("grpc", None), ("grpc_tls", good)):
        health = HealthServer(certificate)
        stack.callback(health.close)
        words[word] = str(health.port)
    nginx = NginxHttp2(directory / "nginx", good, free_port())
    stack.callback(nginx.process.clean_up)
    nginx.start()
    words |= {"h1": str(nginx.port), "h2": str(nginx.tls)}
    words["http"] = str(_listening(stack, Listener(http(with_tls))))
    words["http6"] = str(_listening(stack, Listener(page, host="::1")))
    words["dns"] = str(_listening(stack, Datagrams(datagrams)))
    return words


def _listening(stack: ExitStack, target: Listener | Datagrams) -> int:
    stack.callback(target.close)
    return target.port


def _irc(connection: socket.socket) -> None:
    lines = connection.makefile("rb")
    lines.readline()
    connection.sendall(b":server NOTICE\r\nPING :abc\r\n")
    connection.sendall(b":ok " + lines.readline())
