"""Rule: the exchange is RFC 7677's, and a server that proves nothing is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.probes.postgres.scram import Scram, ScramError, prepared

NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = (
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)


class OfTheRfc(Scram):
    """PostgreSQL ignores the name in the exchange; the RFC's example has one."""

    def __init__(self, password: str = "pencil") -> None:
        super().__init__(password, NONCE)
        self._bare = f"n=user,r={NONCE}"


def test_the_example_of_the_rfc_is_answered_as_there() -> None:
    scram = OfTheRfc()

    assert scram.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert scram.final(CHALLENGE) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert scram.is_open
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert not scram.is_open


@pytest.mark.parametrize(
    ("message", "challenge"),
    [
        ("malformed", b""),
        ("malformed", b"e=other-error"),
        ("malformed", CHALLENGE.replace(b"r=rOpr", b"r=xOpr")),
        ("malformed", f"r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()),
        ("malformed", CHALLENGE.replace(b"s=W22Z", b"s=W2=Z")),
        ("rounds", CHALLENGE.replace(b"i=4096", b"i=0")),
        ("rounds", CHALLENGE.replace(b"i=4096", b"i=999999999")),
    ],
)
def test_a_bad_challenge_is_refused(message: str, challenge: bytes) -> None:
    with pytest.raises(ScramError, match=message):
        OfTheRfc().final(challenge)


@pytest.mark.parametrize("final", [b"", b"e=invalid-proof", b"v=AAAA", b"v=%%%"])
def test_a_server_that_proves_nothing_is_not_believed(final: bytes) -> None:
    scram = OfTheRfc()
    scram.first()
    scram.final(CHALLENGE)

    with pytest.raises(ScramError):
        scram.verify(final)
    assert scram.is_open


def test_a_proof_before_the_challenge_is_not_believed() -> None:
    with pytest.raises(ScramError):
        OfTheRfc().verify(b"v=")


@pytest.mark.parametrize(
    ("expected", "password"),
    [
        ("IX", "I\u00adX"),
        ("user", "user"),
        ("a", "\u00aa"),
        ("IX", "\u2168"),
        ("a b", "a\u00a0b"),
        ("\x07", "\x07"),
        ("\u0627\x31", "\u0627\x31"),
    ],
)
def test_passwords_are_prepared_as_rfc_4013_says(expected: str, password: str) -> None:
    assert expected == prepared(password)


@given(st.binary())
def test_no_challenge_does_anything_but_be_answered_or_refused(challenge: bytes) -> None:
    scram = Scram("x")
    for function in (scram.final, scram.verify):
        with pytest.raises(ScramError):
            function(challenge)
