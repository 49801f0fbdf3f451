"""What Prometheus' own tool takes and refuses of web-config files, we take and refuse.

Rule: every difference is named here with its reason. Debian's promtool knows the format of 2023;
options that came later are its unknown keys.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.integration.harness.processes import finished
from tests.unit.web.webconfig.cases import BAD, GOOD

NEWER = ("rate_limit", "client_allowed_sans", "client_ca:", "  cert:", "  key:")
"""Options that this promtool does not know yet."""
STRICTER = {
    "authorities that are none": "newer versions refuse them too",
    "authorities in an empty file": "newer versions refuse them too",
    "no cipher that HTTP/2 needs": "it is refused there when the server starts",
    "versions the wrong way round": "a server that nobody can talk to",
    "no cipher of the only version": "a server that nobody can talk to",
    "a header of two lines": "an answer that anybody could forge a header into",
}


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    """Whether promtool takes a text beside the usual certificates."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is missing")
        pytest.skip("promtool is not installed")
    folder = tmp_path_factory.mktemp("web-config")
    authority = trustme.CA()
    server, other = authority.issue_cert("localhost"), authority.issue_cert("other.example")
    (folder / "server.crt").write_bytes(server.cert_chain_pems[0].bytes())
    (folder / "server.key").write_bytes(server.private_key_pem.bytes())
    (folder / "other.key").write_bytes(other.private_key_pem.bytes())
    authority.cert_pem.write_to_path(folder / "ca.crt")
    (folder / "empty.crt").write_text("")
    (folder / "note.txt").write_text("no certificate in here\n")
    locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    (folder / "locked.key").write_text(locked)

    def ask(text: str) -> bool:
        (folder / "web.yml").write_text(text)
        command: list[str | Path] = ["promtool", "check", "web-config", folder / "web.yml"]
        return finished(command).returncode == 0

    return ask


def test_what_we_take_is_taken_there(takes: Callable[[str], bool]) -> None:
    old = {name: text for name, text in GOOD.items() if not any(key in text for key in NEWER)}
    assert len(old) > 20
    assert [name for name, text in old.items() if not takes(text)] == []


def test_what_we_refuse_is_refused_there(takes: Callable[[str], bool]) -> None:
    assert {name for name, (text, _) in BAD.items() if takes(text)} == set(STRICTER)
