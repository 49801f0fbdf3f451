"""What joins two rooms.

Rule: translation only.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cbmon import certificates
from cbmon.build import config_types
from cbmon.config import Config, load_config
from cbmon.wiring import certificates_for

HTTP = "checks: [{name: a, http: {url: 'https://a.test/'}}]\n"
PYTHON = "checks: [{name: a, python: {call: 'acme:check'}}]\n"
RECEIVER = (
    "notifications:\n  route: {receiver: r}\n  receivers:\n"
    "    - {name: r, webhook: {url: 'https://r.test/'}}\n"
)


def configured(folder: Path, text: str) -> Config:
    path = folder / "cbmon.yml"
    path.write_text(text)
    return load_config(path, types=config_types())


@pytest.mark.parametrize(("text", "times"), [(HTTP, 0), (PYTHON, 1), (HTTP + RECEIVER, 1)])
def test_certificates_are_read_for_those_who_bring_none(
    text: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(certificates, "fetch", lambda: read.append("read"))
    certificates_for(configured(tmp_path, text))
    assert len(read) == times
