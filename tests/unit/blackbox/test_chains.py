"""Rule: of all chains that lead to a trusted certificate the one that lasts longest is found."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from cbmon.blackbox.chains import Certificate, last_end, parse, store

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
Key = ec.EllipticCurvePrivateKey


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def signed(
    subject: str, key: Key, issuer: str, by: Key, days: float, *, ids: bool = True, ca: bool = True
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - dt.timedelta(days=9999))
        .not_valid_after(NOW + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
    )
    if ids:
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        builder = builder.add_extension(own, False).add_extension(above, False)
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


KEYS = {letter: ec.generate_private_key(ec.SECP256R1()) for letter in "LIABX"}


def made(subject: str, issuer: str, days: float, **more: bool) -> bytes:
    """A certificate of the key named by the first letter, signed by that of the issuer's."""
    return signed(subject, KEYS[subject[0]], issuer, KEYS[issuer[0]], days, **more)


LEAF = made("L", "I", 900, ca=False)
BY_A, BY_B = made("I", "A", 500), made("I", "B", 700)
A, B = made("A", "A", 300), made("B", "B", 600)
B_BY_A = made("B", "A", 800)


def days(presented: Sequence[bytes], verified: Sequence[bytes], trusted: Sequence[bytes]) -> float:
    found = last_end(
        [parse(one) for one in presented], [parse(one) for one in verified], store(trusted),
        NOW.timestamp(),
    )  # fmt: skip
    assert found is not None
    return (found - NOW.timestamp()) / 86400


@pytest.mark.parametrize(
    ("expected", "presented", "trusted"),
    [
        (300, [LEAF, BY_A], [A]),
        (600, [LEAF, BY_A, BY_B], [A, B]),
        (300, [LEAF, BY_A, BY_B], [A]),
        (600, [LEAF, BY_B, B_BY_A, BY_A], [A, B]),
        (300, [LEAF, BY_B, B_BY_A], [A]),
        (900, [LEAF], [LEAF]),
    ],
)
def test_the_chain_that_lasts_longest_is_found(
    expected: float, presented: list[bytes], trusted: list[bytes]
) -> None:
    assert days(presented, [], trusted) == expected


def test_a_chain_that_only_openssl_finds_counts_too() -> None:
    plain = [made("L", "I", 900, ca=False, ids=False), made("I", "A", 500, ids=False)]
    root = made("A", "A", 400, ids=False)

    assert days(plain, [*plain, root], [root]) == 400
    assert last_end([parse(one) for one in plain], [], store([root]), NOW.timestamp()) is None


@pytest.mark.parametrize(
    "lie",
    [
        made("I", "B", 700, ca=False),
        signed("I", KEYS["X"], "B", KEYS["B"], 700),
        signed("I", KEYS["I"], "B", KEYS["X"], 700),
        made("I", "B", -1),
    ],
    ids=["no authority", "another key", "another issuer's key", "expired"],
)
def test_what_only_looks_like_an_issuer_does_not_count(lie: bytes) -> None:
    assert days([LEAF, BY_A, lie], [LEAF, BY_A, A], [A, B]) == 300


def test_certificates_that_sign_each_other_end() -> None:
    crowd = [made(f"I{n}", f"I{m}", 700) for n in range(12) for m in range(12) if n != m]
    leaf = made("L", "I0", 900, ca=False)
    begun = time.process_time()

    assert days([leaf, *crowd], [leaf, BY_A, A], [A]) == 300
    assert time.process_time() - begun < 0.5


@given(st.binary(max_size=60), st.integers(0, 400))
def test_any_bytes_are_a_certificate_or_refused(noise: bytes, at: int) -> None:
    data = bytearray(LEAF)
    data[at : at + len(noise)] = noise
    try:
        assert isinstance(parse(bytes(data)), Certificate)
    except ValueError:
        return
