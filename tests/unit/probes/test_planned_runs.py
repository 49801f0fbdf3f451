"""Rule: a failed look is repeated at once as planned, and what it found first is not forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.run import Plan, run_planned


class Clock:
    """The loop's time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


class Scripted:
    """Finds what it is told, look after look, at the addresses of a name."""

    def __init__(self, *reasons: Reason | None, addresses: tuple[str, ...] = ("a",)) -> None:
        self.reasons = list(reasons)
        self.addresses = addresses
        self.looks: list[str] = []

    async def run(self, attempt: Attempt) -> Result:
        ip = next((one for one in self.addresses if one not in attempt.avoid), self.addresses[0])
        attempt.offered, attempt.taken = self.addresses, ip
        attempt.facts["address"] = ip
        self.looks.append(ip)
        attempt.add(Phase.CONNECT, 1.0)
        reason = self.reasons[min(len(self.looks), len(self.reasons)) - 1]
        if reason is Reason.TIMEOUT:
            await asyncio.sleep(3600)
        if reason is None:
            return attempt.passed(certificate_expiry=float(len(self.looks)))
        return attempt.failed(reason, f"look {len(self.looks)}")

    async def close(self) -> None:
        pass


async def looked(probe: Scripted, timeout: float = 5.0, **plan: object) -> Result:
    return await run_planned(probe, timeout, Clock(), Plan(**plan))  # type: ignore[arg-type]


async def test_a_good_look_is_not_repeated() -> None:
    probe = Scripted(None)

    result = await looked(probe, confirmations=3)

    assert result.ok
    assert probe.looks == ["a"]
    assert "attempts" not in result.facts


async def test_a_failure_that_is_not_confirmed_does_not_count() -> None:
    probe = Scripted(Reason.CONNECT, None)

    result = await looked(probe, confirmations=3)

    assert result.ok
    assert result.facts["attempts"] == 2
    assert result.facts["first_failure"] == "connect: look 1"


async def test_the_last_of_the_failures_is_the_result() -> None:
    probe = Scripted(Reason.CONNECT, Reason.STATUS, Reason.BODY)

    result = await looked(probe, confirmations=2)

    assert result.reason is Reason.BODY
    assert result.error == "look 3"
    assert result.facts["attempts"] == 3
    assert result.facts["first_failure"] == "connect: look 1"


@pytest.mark.parametrize("reason", [Reason.CONFIG, Reason.POLICY])
async def test_what_cannot_change_is_not_looked_at_again(reason: Reason) -> None:
    probe = Scripted(reason)

    assert (await looked(probe, confirmations=5)).reason is reason
    assert probe.looks == ["a"]


async def test_each_look_has_the_whole_timeout_and_waits_before_it() -> None:
    probe = Scripted(Reason.TIMEOUT, Reason.TIMEOUT, None)
    before = time.monotonic()

    result = await looked(probe, 0.1, confirmations=2, delay=0.05)

    assert result.ok
    assert 0.29 < time.monotonic() - before < 1.0
    assert result.duration < 0.1


async def test_another_address_is_preferred_while_there_is_one() -> None:
    probe = Scripted(Reason.CONNECT, addresses=("a", "b"))

    await looked(probe, confirmations=2, other_address=True)

    assert probe.looks == ["a", "b", "a"]


async def test_the_same_address_is_looked_at_again_unless_told_otherwise() -> None:
    probe = Scripted(Reason.CONNECT, addresses=("a", "b"))

    await looked(probe, confirmations=1)

    assert probe.looks == ["a", "a"]


async def test_every_address_is_looked_at() -> None:
    probe = Scripted(None, addresses=("a", "b", "c"))

    result = await looked(probe, every_address=True)

    assert result.ok
    assert probe.looks == ["a", "b", "c"]
    assert result.facts["addresses"] == ["a", "b", "c"]
    assert result.phases.connect == 3.0
    assert result.certificate_expiry == 1.0


async def test_one_bad_address_is_a_failure() -> None:
    probe = Scripted(None, Reason.CONNECT, None, addresses=("a", "b", "c"))

    result = await looked(probe, every_address=True)

    assert result.reason is Reason.CONNECT
    assert result.facts["address"] == "b"
    assert probe.looks == ["a", "b"]


async def test_all_addresses_together_have_the_timeout() -> None:
    probe = Scripted(None, Reason.TIMEOUT, addresses=("a", "b", "c"))

    result = await looked(probe, 0.1, every_address=True)

    assert result.reason is Reason.TIMEOUT
    assert 0.05 < result.duration < 0.6


async def test_a_name_with_one_address_is_looked_at_once() -> None:
    probe = Scripted(None)

    assert "addresses" not in (await looked(probe, every_address=True)).facts
    assert probe.looks == ["a"]
