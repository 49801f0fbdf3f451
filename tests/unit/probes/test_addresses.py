"""Rule: the policy judges where a packet would end up, however the address is written."""

from __future__ import annotations

import socket

import pytest

from cbmon.model import Reason
from cbmon.probes.addresses import METADATA, AddressPolicy, Endpoint, literal
from cbmon.probes.failure import ProbeError


def allows(policy: AddressPolicy, ip: str) -> bool:
    try:
        policy.check(ip)
    except ProbeError as error:
        return error.reason is not Reason.POLICY
    return True


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "8.8.8.8", "fd00::1"]
)
def test_a_host_may_look_at_its_own_and_private_addresses(ip: str) -> None:
    assert allows(AddressPolicy(), ip)


@pytest.mark.parametrize("ip", sorted(map(str, METADATA)))
def test_the_metadata_services_are_refused_even_when_everything_is_allowed(ip: str) -> None:
    assert not allows(AddressPolicy(), ip)
    assert not allows(AddressPolicy(allow=["0.0.0.0/0", "::/0"]), ip)
    assert allows(AddressPolicy(metadata=True), ip)


@pytest.mark.parametrize(
    "disguise",
    [
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:0:0:0:0:5601:5601",
        "fd00:ec2:0:0::254%eth0",
    ],
)
def test_the_metadata_service_is_known_in_every_disguise(disguise: str) -> None:
    assert not allows(AddressPolicy(), disguise)


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.8.8.8", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_a_denied_loopback_is_denied_in_every_form(ip: str) -> None:
    policy = AddressPolicy(deny=["127.0.0.0/8", "::1/128"])

    assert not allows(policy, ip)
    assert allows(policy, "192.0.2.1")


def test_what_is_denied_stays_denied_inside_what_is_allowed() -> None:
    policy = AddressPolicy(allow=["10.0.0.0/8"], deny=["10.1.0.0/16"])

    assert allows(policy, "10.2.0.1")
    assert not allows(policy, "10.1.0.1")
    assert not allows(policy, "192.0.2.1")


def test_the_message_says_which_network_is_denied() -> None:
    with pytest.raises(ProbeError, match=r"10\.1\.2\.3 is not allowed: 10\.0\.0\.0/8 is denied"):
        AddressPolicy(deny=["10.0.0.0/8"]).check("10.1.2.3")


@pytest.mark.parametrize(
    ("family", "host"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "fe80::1%eth0"),
        (None, "example.net"),
        (None, "127.1"),
        (None, "0x7f.1"),
        (None, "2130706433"),
        (None, ""),
        (None, "a\0b"),
    ],
)
def test_only_a_whole_address_is_taken_for_one(
    family: socket.AddressFamily | None, host: str
) -> None:
    assert family == literal(host)


def test_an_endpoint_is_written_as_in_a_url() -> None:
    assert str(Endpoint("127.0.0.1", 80)) == "127.0.0.1:80"
    assert str(Endpoint("::1", 80)) == "[::1]:80"
