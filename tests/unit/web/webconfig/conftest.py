"""Certificates beside a web-config file, and the file itself written for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from cbmon.config import ConfigError
from cbmon.web.webconfig import WebConfig, load_web_config


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.crt, server.key, ca.crt, other.key, and files that are none of it."""
    place = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    server, other = authority.issue_cert("localhost"), authority.issue_cert("other.example")
    (place / "server.crt").write_bytes(server.cert_chain_pems[0].bytes())
    (place / "server.key").write_bytes(server.private_key_pem.bytes())
    (place / "other.key").write_bytes(other.private_key_pem.bytes())
    authority.cert_pem.write_to_path(place / "ca.crt")
    (place / "empty.crt").write_text("")
    (place / "note.txt").write_text("no certificate in here\n")
    locked = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
    (place / "locked.key").write_bytes(locked)
    return place


@pytest.fixture
def load(certificates: Path) -> Callable[[str], WebConfig]:
    """Reads a text as a web-config file that lies beside the certificates."""
    path = certificates / "web.yml"

    def read(text: str) -> WebConfig:
        path.write_text(text)
        return load_web_config(path)

    return read


@pytest.fixture
def refuse(load: Callable[[str], WebConfig]) -> Callable[[str], list[str]]:
    """What is said of a text that is refused: ``line:col: path: message``."""

    def read(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        return [str(one).partition("web.yml:")[2] for one in caught.value.problems]

    return read
