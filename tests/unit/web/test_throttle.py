"""How often something may be tried."""

from __future__ import annotations

import pytest

from cbmon.web.throttle import Throttle, network_of


def test_a_burst_is_allowed_and_then_one_for_each_interval() -> None:
    now = 0.0
    throttle = Throttle(3, 10.0, clock=lambda: now)
    assert [throttle.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 10.0]
    now = 4.0
    assert throttle.take("a") == pytest.approx(6.0)
    now = 10.0
    assert [throttle.take("a"), throttle.take("a")] == [0.0, pytest.approx(10.0)]
    assert throttle.take("b") == 0.0


def test_what_was_right_is_given_back_but_never_more_than_the_burst() -> None:
    throttle = Throttle(2, 10.0, clock=lambda: 0.0)
    for _ in range(5):
        throttle.take("a")
        throttle.refund("a")
    throttle.refund("a")
    assert [throttle.take("a") > 0 for _ in range(3)] == [False, False, True]


def test_without_a_burst_nothing_is_allowed() -> None:
    assert Throttle(0, 10.0, clock=lambda: 0.0).take("a") == 10.0


def test_the_number_of_those_remembered_is_bounded() -> None:
    throttle = Throttle(1, 10.0, clock=lambda: 0.0, most=10)
    for number in range(100):
        throttle.take(str(number))
    assert len(throttle._buckets) == 10
    assert throttle.take("99") > 0
    assert throttle.take("0") == 0.0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_one_host_is_one_key_however_many_addresses_it_has(address: str, expected: str) -> None:
    assert network_of(address) == expected
