"""Rule: what proves a password to a MySQL server is what the standards say it is."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cbmon.probes.failure import ProbeError
from cbmon.probes.mysql.ed25519 import sign
from cbmon.probes.mysql.login import Login
from cbmon.probes.mysql.rsa import LARGEST_PEM, encrypted, public_key

OWN = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NUMBERS = OWN.public_key().public_numbers()
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PKCS1 = serialization.PublicFormat.PKCS1


def pem(key: Any = OWN, form: Any = SPKI) -> bytes:
    data: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return data


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_a_signature_by_32_bytes_is_that_of_ed25519(secret: bytes, message: bytes) -> None:
    assert sign(secret, message) == Ed25519PrivateKey.from_private_bytes(secret).sign(message)


def test_a_password_of_any_length_signs() -> None:
    signatures = {sign(password, b"x" * 32) for password in (b"", b"a", b"secret", b"x" * 999)}

    assert len(signatures) == 4
    assert all(len(one) == 64 for one in signatures)


@given(st.binary(max_size=214))
@settings(max_examples=25, deadline=None)
def test_only_the_owner_of_the_key_reads_what_is_encrypted(message: bytes) -> None:
    found = public_key(pem())

    first, second = encrypted(found, message), encrypted(found, message)

    assert first != second
    assert OWN.decrypt(first, OAEP) == OWN.decrypt(second, OAEP) == message


def test_both_ways_to_write_a_key_mean_the_same() -> None:
    assert public_key(pem()) == public_key(pem(form=PKCS1)) == (NUMBERS.n, NUMBERS.e)


def test_a_message_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 214"):
        encrypted(public_key(pem()), b"x" * 215)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\n\n-----END PUBLIC KEY-----",
        b"-----BEGIN RSA PUBLIC KEY-----\nMAYCAQECAQE=\n-----END RSA PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\n" + b"A" * LARGEST_PEM + b"\n-----END PUBLIC KEY-----",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))[:200],
    ],
)
def test_what_is_no_rsa_key_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="public key"):
        public_key(text)


@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda one: pem()[:60] + one))
def test_any_bytes_are_a_key_or_refused(data: bytes) -> None:
    try:
        found = public_key(data)
    except ValueError:
        return
    assert found.size >= 128


@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from(
                    [
                        "client_ed25519",
                        "sha256_password",
                        "caching_sha2_password",
                        "dialog",
                        "mysql_clear_password",
                        "mysql_native_password",
                        "unix_socket",
                    ]
                ),
                st.binary(max_size=40),
            ),
            st.sampled_from([b"\x03", b"\x04", b"", pem(), pem()[1:]]),
        ),
        max_size=5,
    ),
    st.sampled_from(["", "correct horse", "x" * 300]),
)
@settings(deadline=None)
def test_no_server_gets_the_password_where_somebody_may_listen(
    said: list[Any], password: str
) -> None:
    login = Login(password, private=False, fetch=True)
    answers = [login.begin("caching_sha2_password", b"s" * 20)]
    for one in said:
        try:
            answer = login.switched(*one) if isinstance(one, tuple) else login.more(one)
        except ProbeError:
            continue
        answers.append(answer or b"")

    for answer in answers:
        assert not password or password.encode() + b"\0" not in answer
