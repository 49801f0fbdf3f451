"""Rule: a context is shared until one of the files that it was made of has changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trustme

from cbmon.model import Reason
from cbmon.probes import contexts
from cbmon.probes.contexts import SharedContext, TlsSettings
from cbmon.probes.failure import ProbeError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    place = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(place)
    return place


async def test_a_context_is_ready_once_it_was_made(bundle: Path) -> None:
    shared = SharedContext(TlsSettings(ca_file=bundle))
    assert shared.ready() is None
    made = await shared.get()
    assert shared.ready() is made
    assert await shared.get() is made


async def test_a_changed_file_makes_another_context(bundle: Path) -> None:
    shared = SharedContext(TlsSettings(ca_file=bundle))
    made = await shared.get()
    trustme.CA().cert_pem.write_to_path(bundle)
    os.utime(bundle, ns=(1, 1))
    assert shared.ready() is None
    assert await shared.get() is not made


async def test_a_file_that_is_gone_is_a_configuration_that_cannot_be_used(bundle: Path) -> None:
    shared = SharedContext(TlsSettings(ca_file=bundle))
    await shared.get()
    bundle.unlink()
    with pytest.raises(ProbeError, match="ca\\.pem") as caught:
        await shared.get()
    assert caught.value.reason is Reason.CONFIG


async def test_without_verification_there_is_nothing_to_look_at() -> None:
    shared = SharedContext(TlsSettings(verify=False))
    assert await shared.get() is shared.ready()


async def test_a_bundle_that_is_installed_later_is_found(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = [None]
    monkeypatch.setattr(contexts, "system_bundle", lambda: found[0])
    shared = SharedContext(TlsSettings())
    bare = await shared.get()
    assert await shared.get() is bare
    found[0] = bundle
    assert await shared.get() is not bare
