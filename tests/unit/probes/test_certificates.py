"""Rule: what counts is the certificate of the chain that expires first."""

from __future__ import annotations

import calendar
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes.certificates import Chain, Chains
from cbmon.probes.expectations import check_certificate
from cbmon.probes.failure import ProbeError
from cbmon.testing import ManualClock

END_2030 = calendar.timegm((2030, 1, 1, 0, 0, 0))
END_2027 = calendar.timegm((2027, 1, 1, 0, 0, 0))


class Certificate:
    """A certificate as the ssl module gives it."""

    def __init__(self, name: str, year: int) -> None:
        self.name, self.year, self.reads = name, year, 0

    def public_bytes(self, _: int) -> bytes:
        return self.name.encode()

    def get_info(self) -> dict[str, Any]:
        self.reads += 1
        name = ((("organizationName", "Example"),), (("commonName", self.name),))
        return {
            "subject": name,
            "issuer": ((("commonName", "root"),),),
            "subjectAltName": (("DNS", self.name), ("DNS", "www." + self.name)),
            "notBefore": "Jan  1 00:00:00 2020 GMT",
            "notAfter": f"Jan  1 00:00:00 {self.year} GMT",
        }


class Connection:
    """A finished handshake."""

    def __init__(self, *chain: Certificate) -> None:
        self._sslobj = self
        self._chain = chain

    def get_unverified_chain(self) -> tuple[Certificate, ...]:
        return self._chain


def presented(*chain: Certificate) -> Chain:
    found = Chains().presented(Connection(*chain))  # type: ignore[arg-type]
    assert found is not None
    return found


def test_the_chain_expires_with_its_first_certificate() -> None:
    chain = presented(Certificate("a.test", 2030), Certificate("intermediate", 2027))

    assert chain.not_after == END_2030
    assert chain.expiry == END_2027
    assert chain.subject == "O=Example, CN=a.test"
    assert chain.issuer == "CN=root"
    assert chain.names == ("a.test", "www.a.test")


def test_a_chain_is_decoded_once() -> None:
    certificate = Certificate("a.test", 2030)
    chains = Chains()

    for _ in range(3):
        chains.presented(Connection(certificate))  # type: ignore[arg-type]

    assert certificate.reads == 1


def test_no_certificate_is_no_chain() -> None:
    assert Chains().presented(Connection()) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "days_before"),
    [("expires in 13.9 days", 13.9), ("expired 2.0 days ago", -2)],
)
def test_too_few_days_are_a_failure_of_their_own(message: str, days_before: float) -> None:
    chain = presented(Certificate("a.test", 2027))
    clock = ManualClock(wall=END_2027 - days_before * 86_400)

    with pytest.raises(ProbeError, match=message) as caught:
        check_certificate(chain, 14, clock)

    assert caught.value.reason is Reason.CERTIFICATE


def test_enough_days_are_enough() -> None:
    clock = ManualClock(wall=END_2027 - 14 * 86_400)

    check_certificate(presented(Certificate("a.test", 2027)), 14, clock)
