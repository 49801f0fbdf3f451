"""Rule: whatever becomes of a worker, whoever ordered a run learns how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from cbmon.metrics.workers import WorkerRecord
from cbmon.model import Reason
from cbmon.probes.run import Plan
from cbmon.workers import worker as workers
from cbmon.workers.line import ended
from cbmon.workers.pool import STOP_WITHIN, Workers
from cbmon.workers.worker import DEATHS
from tests.component.workers.conftest import Bench, Silent, eventually, hang_up, look


def reached(silent: Silent, accepted: int) -> bool:
    return silent.accepted == accepted


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# --- dying -------------------------------------------------------------------------------


async def test_a_run_goes_on_in_the_successor_of_a_worker_that_died(bench: Bench) -> None:
    silent = Silent()
    check = bench.check("tcp", address=await bench.serve(silent), expect={"matches": "hello"})
    run = asyncio.create_task(look(check, 60.0))
    await eventually(lambda: silent.accepted)
    first = bench.pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: silent.accepted == 2)
    silent.go.set()
    assert (await run).ok
    record = bench.records[0]
    assert bench.pid != first
    assert (record.restarts, record.repeated, record.up, record.in_flight) == (1, 1, 1, 0)


async def test_a_run_that_is_ordered_while_there_is_no_worker_waits_for_one(bench: Bench) -> None:
    check = bench.check("tcp", address=await bench.serve(hang_up))
    os.kill(bench.pid, signal.SIGKILL)
    await eventually(lambda: not bench.records[0].up)
    assert (await look(check)).ok
    assert bench.records[0].repeated == 0


async def test_a_run_that_its_workers_die_of_fails_in_the_end(bench: Bench) -> None:
    silent = Silent()
    check = bench.check("tcp", address=await bench.serve(silent), expect={"matches": "x"})
    run = asyncio.create_task(look(check, 60.0))
    for death in range(DEATHS):
        await eventually(partial(reached, silent, death + 1))
        os.kill(bench.pid, signal.SIGKILL)
    result = await run
    assert (result.ok, result.reason) == (False, Reason.INTERNAL)
    assert f"died {DEATHS} times" in (result.error or "")


async def test_a_cancelled_run_does_not_begin_again(bench: Bench) -> None:
    silent = Silent()
    check = bench.check("tcp", address=await bench.serve(silent), expect={"matches": "x"})
    run = asyncio.create_task(look(check, 60.0))
    await eventually(lambda: silent.accepted)
    os.kill(bench.pid, signal.SIGKILL)
    await eventually(lambda: not bench.records[0].up)
    run.cancel()
    await bench.pool.ready()
    assert (await look(bench.check("tcp", address=await bench.serve(hang_up)))).ok
    assert silent.accepted == 1


async def test_a_worker_that_is_stuck_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PING_EVERY", 0.05)
    first = bench.pid
    await asyncio.sleep(1.1)  # the watch has begun to ask that often
    os.kill(first, signal.SIGSTOP)
    await eventually(lambda: bench.records[0].restarts and bench.records[0].up)
    assert not alive(first)
    assert (await look(bench.check("tcp", address=await bench.serve(hang_up)))).ok


async def test_a_run_that_a_worker_never_answers_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "UNANSWERED", 0.2)
    check = bench.check("tcp", address=await bench.serve(Silent()), expect={"matches": "x"})
    os.kill(bench.pid, signal.SIGSTOP)
    result = await look(check, 0.1)
    os.kill(bench.pid, signal.SIGCONT)
    record = bench.records[0]
    assert (result.ok, result.reason) == (False, Reason.INTERNAL)
    assert "has not said within" in (result.error or "")
    assert (record.unanswered, record.in_flight, record.restarts) == (1, 0, 0)
    assert (await look(bench.check("tcp", address=await bench.serve(hang_up)))).ok
    assert (record.unanswered, record.restarts) == (1, 0)


async def test_a_run_that_looks_again_has_time_for_it(bench: Bench) -> None:
    again = Plan(confirmations=2, delay=0.5)
    check = bench.check("tcp", address="127.0.0.1:1")
    assert check.begin(3.0, again, lambda _: None).longest == 3 * 3.0 + 2 * 0.5


async def test_a_worker_that_speaks_nonsense_is_replaced(bench: Bench) -> None:
    line = bench.pool._workers[0]._line
    assert line is not None
    line.data_received(b"\0\0\0\1\x09N")
    await eventually(lambda: bench.records[0].restarts and bench.records[0].up)


async def test_what_ends_a_group_of_processes_does_not_end_a_worker(bench: Bench) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(bench.pid, number)
    assert (await look(bench.check("tcp", address=await bench.serve(hang_up)))).ok
    assert bench.records[0].restarts == 0


async def test_processor_time_of_those_that_died_still_counts(bench: Bench) -> None:
    record = bench.records[0]
    await eventually(lambda: record.cpu)
    before = record.cpu
    os.kill(bench.pid, signal.SIGKILL)
    await eventually(lambda: record.restarts and record.resident)
    assert record.cpu > before


# --- ending ------------------------------------------------------------------------------


async def test_a_stop_ends_the_process(bench: Bench) -> None:
    pid = bench.pid
    await bench.pool.stop()
    assert not alive(pid)
    assert bench.records[0].restarts == 0


async def test_a_stop_ends_a_process_that_is_not_ready_yet() -> None:
    pool = Workers([WorkerRecord("1")])
    await pool.start()
    await eventually(lambda: pool.processes)
    (pid,) = pool.processes
    begun = asyncio.get_running_loop().time()
    await pool.stop()
    assert asyncio.get_running_loop().time() - begun < STOP_WITHIN
    assert not alive(pid)


async def test_a_stop_ends_a_process_that_is_stuck(bench: Bench) -> None:
    pid = bench.pid
    os.kill(pid, signal.SIGSTOP)
    await bench.pool.stop()
    assert not alive(pid)


async def test_a_worker_ends_with_its_stream(bench: Bench) -> None:
    pid = bench.pid
    line = bench.pool._workers[0]._line
    assert line is not None
    line.close()
    await eventually(lambda: not alive(pid))


async def test_a_process_whose_last_second_is_cancelled_is_killed_and_waited_for() -> None:
    process = await asyncio.create_subprocess_exec("sleep", "60")
    ending = asyncio.create_task(ended(process, 50.0))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert process.returncode == -signal.SIGKILL


async def test_secrets_are_in_no_argument_and_no_environment(bench: Bench) -> None:
    check = bench.check("redis", url="redis://127.0.0.1:1", password="hush-hush")
    await look(check)
    process = Path(f"/proc/{bench.pid}")
    assert b"hush" not in process.joinpath("cmdline").read_bytes()
    assert b"hush" not in process.joinpath("environ").read_bytes()
    assert b"NOTIFY_SOCKET" not in process.joinpath("environ").read_bytes()
