"""Rule: a run in a worker has the same result as one in the daemon."""

from __future__ import annotations

import asyncio

import pytest

from cbmon.model import Reason
from cbmon.probes.run import Plan
from tests.component.workers.conftest import Bench, Silent, eventually, hang_up, look

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_worker_looks_and_says_what_it_saw(shared: Bench) -> None:
    address = await shared.serve(hang_up)
    result = await look(shared.check("tcp", address=address))
    assert result.ok
    assert result.facts["address"] == address
    assert 0.0 < result.phases.connect <= result.duration < 5.0


async def test_the_same_facts_are_told_again_and_again(shared: Bench) -> None:
    check = shared.check("tcp", address=await shared.serve(hang_up))
    results = [await look(check) for _ in range(3)]
    assert results[0].facts == results[1].facts == results[2].facts != {}


async def test_a_failure_keeps_its_reason(shared: Bench) -> None:
    check = shared.check("tcp", address=await shared.serve(hang_up), expect={"matches": "hello"})
    result = await look(check)
    assert (result.ok, result.reason) == (False, Reason.BODY)
    assert "closed the connection" in (result.error or "")


async def test_the_deadline_is_kept_in_the_worker(shared: Bench) -> None:
    check = shared.check("tcp", address=await shared.serve(Silent()), expect={"matches": "x"})
    result = await look(check, 0.1)
    assert result.reason is Reason.TIMEOUT
    assert 0.1 <= result.duration < 1.0
    assert result.phases.connect > 0.0


async def test_another_timeout_holds_from_the_next_run_on(shared: Bench) -> None:
    silent = Silent()
    check = shared.check("tcp", address=await shared.serve(silent), expect={"matches": "hello"})
    assert (await look(check, 0.1)).reason is Reason.TIMEOUT
    silent.go.set()
    assert (await look(check, 10.0)).ok


async def test_confirmations_are_made_in_the_worker(shared: Bench) -> None:
    silent = Silent()
    check = shared.check("tcp", address=await shared.serve(silent), expect={"matches": "x"})
    result = await look(check, 0.05, Plan(confirmations=2))
    assert (result.facts["attempts"], silent.accepted) == (3, 3)


async def test_a_cancelled_run_is_cancelled_in_the_worker(shared: Bench) -> None:
    silent = Silent()
    check = shared.check("tcp", address=await shared.serve(silent), expect={"matches": "x"})
    run = asyncio.create_task(look(check, 60.0))
    await eventually(lambda: silent.accepted)
    run.cancel()
    await asyncio.wait([run])
    assert run.cancelled()
    await eventually(lambda: silent.left)


async def test_a_check_that_is_closed_is_forgotten_and_the_others_go_on(shared: Bench) -> None:
    address = await shared.serve(hang_up)
    one, other = shared.check("tcp", "one", address=address), shared.check("tcp", address=address)
    assert (await look(one)).ok
    await one.close()
    assert (await look(other)).ok
    assert shared.records[0].restarts == 0


async def test_a_probe_that_cannot_be_built_is_an_internal_failure(shared: Bench) -> None:
    check = shared.check("tcp", address="127.0.0.1:1")
    check.kind = "http"  # whose probe cannot be made of these options
    result = await look(check)
    assert result.reason is Reason.INTERNAL
    assert shared.records[0].restarts == 0


async def test_many_runs_at_once_all_end(shared: Bench) -> None:
    address = await shared.serve(hang_up)
    checks = [shared.check("tcp", f"check-{number}", address=address) for number in range(500)]
    before = shared.records[0].runs
    results = await asyncio.gather(*(look(check, 20.0) for check in checks))
    assert [result.error for result in results] == [None] * 500
    assert (shared.records[0].runs - before, shared.records[0].in_flight) == (500, 0)
