"""SIGKILL at any moment: every acknowledged commit is there exactly once, and nothing by halves."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from cbmon.interfaces import Store
from cbmon.store import open_store

KILLS = 20
WRITER = """
import asyncio, sys
from cbmon.events import Transition
from cbmon.interfaces import Commit
from cbmon.model import BreakerInfo, Category, Message
from cbmon.store import open_store

async def main(url, run):
    store = open_store(url)
    await store.open()

    async def writer(lane):
        number = 0
        while True:
            number += 1
            name = f"{run:03d}-{lane}-{number:06d}"
            component = f"lane-{lane}"
            move = Transition(
                id=name, at=float(number), component=component, category=Category.CHECK,
                from_state="closed", to_state="open", cause="c", incident=name,
                info=BreakerInfo(name=component, category=Category.CHECK),
                snapshot={"last": name},
            )
            message = Message(
                id="m-" + name, receiver="hook", incident=name, sequence=1, kind="opened",
                created_at=float(number), body={},
            )
            await store.commit(Commit(transitions=[move], messages=[message]))
            if number % 7 == 0:
                await store.save_snapshots({component: {"last": name, "refreshed": True}})
            print(name, flush=True)

    await asyncio.gather(*(writer(lane) for lane in range(8)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def run_and_kill(url: str, run: int, moment: random.Random) -> list[str]:
    """Start the writer, kill it after it began to write; what it was told is durable."""
    command = [sys.executable, "-c", WRITER, url, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(moment.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        told = [first, *process.stdout]
    return [line.strip() for line in told if line.endswith("\n") and line.strip()]


async def all_ids(store: Store) -> list[str]:
    found: list[str] = []
    before: str | None = None
    while page := await store.transitions(limit=5000, before=before):
        found += [row["id"] for row in page]
        before = found[-1]
    return found


async def test_no_acknowledged_commit_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/cbmon.db"
    moment = random.Random(1)
    acknowledged: list[str] = []
    for run in range(KILLS):
        acknowledged += run_and_kill(url, run, moment)
        started = time.monotonic()
        store = open_store(url)
        await store.open()
        ids = await all_ids(store)
        assert time.monotonic() - started < 3.0
        assert len(ids) == len(set(ids))
        assert set(acknowledged) <= set(ids)
        await check_nothing_is_there_by_halves(store, ids)
        await store.close()
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged commits, all there once")
    assert len(acknowledged) > KILLS


async def check_nothing_is_there_by_halves(store: Store, ids: list[str]) -> None:
    messages = await store.messages(limit=1_000_000)
    assert {message.id for message in messages} == {f"m-{name}" for name in ids}
    assert len(await store.incidents(limit=1_000_000)) == len(ids)
    for component, snapshot in (await store.breakers()).items():
        newest = (await store.transitions(component=component, limit=1))[0]["id"]
        assert snapshot["last"] == newest
