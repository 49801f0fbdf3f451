"""Rule: however many hostile targets are probed at once, little is kept, and others pass.

The targets are a process of their own: threads of this one would keep the loop from its turns.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cbmon.blackbox.service import Inquiry
from cbmon.model import Reason

ROOT = Path(__file__).parents[3]
CROWD = 60
HEALTHY = 20
LIMIT = 20_000_000
OFTEN = {"bodies that are looked at", "bombs", "chunks without end", "lines without end"}
PATTERN = {"fail_if_body_not_matches_regexp": ["never"]}


def http(**options: Any) -> dict[str, Any]:
    return {"prober": "http", "timeout": "1s", "http": options}


def tcp() -> dict[str, Any]:
    steps = [{"send": "x"}, {"expect": "never"}]
    return {"prober": "tcp", "timeout": "1s", "tcp": {"query_response": steps}}


CASES: dict[str, tuple[str, dict[str, Any], set[Reason]]] = {
    "bodies without end": ("bodies", http(), {Reason.TIMEOUT}),
    "bodies that are looked at": ("bodies", http(**PATTERN), {Reason.TIMEOUT, Reason.SIZE}),
    "bodies that are no text": ("no text", http(**PATTERN), {Reason.TIMEOUT, Reason.SIZE}),
    "chunks without end": ("chunks", http(), {Reason.TIMEOUT}),
    "bombs": ("bombs", http(compression="gzip"), {Reason.TIMEOUT}),
    "bombs that are looked at": (
        "bombs", http(compression="gzip", **PATTERN), {Reason.TIMEOUT, Reason.SIZE},
    ),
    "headers without end": ("headers", http(), {Reason.TIMEOUT, Reason.SIZE}),
    "one header without end": ("one header", http(), {Reason.TIMEOUT, Reason.SIZE}),
    "lines without end": ("lines", tcp(), {Reason.TIMEOUT}),
    "a line without end": ("a line", tcp(), {Reason.SIZE, Reason.TIMEOUT}),
    "names without end": (
        "names",
        {"prober": "dns", "timeout": "1s", "dns": {"query_name": "a", "transport_protocol": "tcp"}},
        {Reason.TIMEOUT},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    program = [sys.executable, str(Path(__file__).with_name("hostile_targets.py"))]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.stdin.close()


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Bytes allocated at most since it was asked for."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in OFTEN else [pytest.mark.long]) for name in CASES],
)
async def test_a_crowd_of_hostile_targets_is_held_and_others_pass(
    name: str, bench: Any, ports: dict[str, int], memory: Callable[[], int]
) -> None:
    hostile, module, reasons = CASES[name]
    looked = http(fail_if_body_not_matches_regexp=["fine$"]) | {"timeout": "10s"}
    bench.use({"m": module, "good": looked})
    good = f"127.0.0.1:{ports['healthy']}/"
    place = f"127.0.0.1:{ports[hostile]}" + "/" * (module["prober"] == "http")

    crowd = [
        asyncio.create_task(bench.probing.probe(Inquiry(target=place, module="m")))
        for _ in range(CROWD)
    ]
    await asyncio.sleep(0.2)
    found = await asyncio.gather(
        *(bench.probing.probe(Inquiry(target=good, module="good")) for _ in range(HEALTHY))
    )
    outcomes = await asyncio.gather(*crowd)
    most = memory()

    assert [one.error for one in found if not one.ok] == []
    assert {one.reason for one in outcomes} <= reasons
    assert most < LIMIT
