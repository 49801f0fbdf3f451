"""Snappy's block format read, and protobuf messages taken apart: written from their descriptions,
apart from what they test."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def unsnappy(data: bytes) -> bytes:
    size, at = varint(data, 0)
    made = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                width = length - 59
                length = int.from_bytes(data[at : at + width], "little")
                at += width
            made += data[at : at + length + 1]
            at += length + 1
            continue
        assert kind == 2, "no other copies are written"
        length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + 2], "little")
        at += 2
        assert 0 < offset <= len(made)
        for _ in range(length):
            made.append(made[-offset])
    assert len(made) == size
    return bytes(made)


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field: int, float, or bytes."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(message, at)
            yield tag >> 3, value
        elif kind == 1:
            yield tag >> 3, message[at : at + 8]
            at += 8
        else:
            assert kind == 2
            size, at = varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size


def series(body: bytes) -> list[tuple[dict[str, str], float, int]]:
    """What a remote-write request says: labels, value and time of each sample.

    Labels must be sorted and each series must have one sample, as cbmon writes them.
    """
    found = []
    for number, one in fields(unsnappy(body)):
        assert number == 1
        labels: list[dict[int, bytes]] = []
        samples: list[dict[int, Any]] = []
        for part, content in fields(one):
            (labels if part == 1 else samples).append(dict(fields(content)))
        pairs = [(label[1].decode(), label[2].decode()) for label in labels]
        assert pairs == sorted(pairs)
        (sample,) = samples
        found.append((dict(pairs), struct.unpack("<d", sample[1])[0], sample[2]))
    return found
