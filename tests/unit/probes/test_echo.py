"""Rule: only the reply to the very request counts, whatever bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.probes.icmp.echo import checksum, is_reply, request, without_ip


def reply_to(version: int, sent: bytes) -> bytes:
    return bytes([0 if version == 4 else 129, 0]) + b"??" + sent[4:]


def test_the_checksum_is_that_of_the_rfc() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert checksum(b"\x01") == 0xFEFF


def test_a_request_sums_up_to_nothing() -> None:
    assert checksum(request(4, 7, 9, b"odd")) == 0


@pytest.mark.parametrize("version", [4, 6])
def test_a_reply_is_known_by_identifier_sequence_and_payload(version: int) -> None:
    sent = request(version, 7, 9, b"payload")
    reply = reply_to(version, sent)
    renamed = reply[:4] + b"\x12\x34" + reply[6:]

    assert is_reply(version, reply, sent, identified=True)
    assert not is_reply(version, renamed, sent, identified=True)
    assert is_reply(version, renamed, sent, identified=False)
    assert not is_reply(version, reply[:-1] + b"x", sent, identified=False)
    assert not is_reply(version, reply + b"x", sent, identified=False)
    assert not is_reply(version, sent, sent, identified=False)


@given(st.binary(max_size=80))
def test_no_bytes_are_taken_for_a_reply(data: bytes) -> None:
    sent = request(4, 7, 9, b"0123456789abcdef")

    assert not is_reply(4, without_ip(data), sent, identified=False)
    assert not is_reply(6, data, sent, identified=False)
