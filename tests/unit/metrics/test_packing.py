"""A scrape comes packed by what is installed, and unpacks to the same."""

from __future__ import annotations

import gzip
import sys

import pytest

from cbmon.metrics.packing import packer

TEXT = b"".join(b'up{check="shop-%d"} 1\n' % number for number in range(5000))


@pytest.mark.parametrize("size", [1, 1000, len(TEXT)])
def test_without_isal_zlib_packs(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    assert gzip.decompress(packed(size)) == TEXT


@pytest.mark.parametrize("size", [1, 1000, len(TEXT)])
def test_with_isal_it_unpacks_to_the_same(size: int) -> None:
    from isal import isal_zlib

    assert isinstance(packer(), type(isal_zlib.compressobj()))
    assert gzip.decompress(packed(size)) == TEXT


def packed(size: int) -> bytes:
    packing = packer()
    pieces = [packing.compress(TEXT[at : at + size]) for at in range(0, len(TEXT), size)]
    return b"".join([*pieces, packing.flush()])
