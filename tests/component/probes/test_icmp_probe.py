"""Rule: a ping needs no privilege where the kernel asks for none, and says what is missing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import ProbeEnvironment
from cbmon.probes.addresses import AddressPolicy
from cbmon.probes.icmp.sockets import EchoSocket, Heard

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "ip"))),
    reason="a network namespace of its own needs root, unshare, setpriv and ip",
)
_SCRIPT = """
import asyncio, json, sys
from cbmon.breaker import SystemClock
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.run import run_once

async def main():
    environment = ProbeEnvironment(clock=SystemClock())
    found = probe_type("icmp")
    for options in json.loads(sys.argv[1]):
        probe = found.build(found.options.model_validate(options), environment)
        result = await run_once(probe, 2, environment.clock)
        print(json.dumps([result.ok, result.reason, result.error, dict(result.facts)]))
    await environment.close()

asyncio.run(main())
"""


def inside(group_range: str, *options: dict[str, Any]) -> list[list[Any]]:
    """Results in a network of its own, without the right to raw sockets."""
    script = (
        'ip link set lo up; echo "$1" > /proc/sys/net/ipv4/ping_group_range; shift; '
        'exec setpriv --bounding-set=-net_raw "$@"'
    )
    command = ["unshare", "--net", "sh", "-ec", script, "sh", group_range, sys.executable]
    done = subprocess.run(
        [*command, "-c", _SCRIPT, json.dumps(options)],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_root
def test_no_privilege_is_needed_where_the_kernel_asks_for_none() -> None:
    found = inside(
        "0 0",
        {"host": "127.0.0.1", "ttl": 3, "size": 9000, "dont_fragment": True},
        {"host": "::1", "ttl": 3, "dont_fragment": True},
        {"host": "127.0.0.1", "source_address": "127.0.0.5"},
    )

    assert [one[:3] for one in found] == [[True, None, None]] * 3
    assert [one[3]["ttl"] for one in found] == [64, 64, 64]
    assert found[0][3]["bytes"] == 9000


@needs_root
def test_what_is_not_permitted_says_what_to_set() -> None:
    for one in inside("1 0", {"host": "127.0.0.1"}, {"host": "::1"}):
        assert one[:2] == [False, "config"]
        assert "net.ipv4.ping_group_range cover the group 0" in one[2]


@needs_root
def test_an_address_without_a_way_to_it_is_not_reached() -> None:
    (found,) = inside("0 0", {"host": "203.0.113.9"})

    assert found[:3] == [False, "connect", "cannot reach 203.0.113.9: network is unreachable"]


async def pinged(bench: Any, **options: Any) -> Any:
    result = await bench.look("icmp", **options)
    if result.reason is Reason.CONFIG and "not permitted" in result.error:
        pytest.skip("this user may not ping")
    return result


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_the_loopback_answers(host: str, bench: Any) -> None:
    result = await pinged(bench, host=host, ttl=9)

    assert result.ok, result.error
    assert result.facts["host"] == host
    assert result.facts["bytes"] == 64
    assert result.phases.processing > 0


async def test_a_source_that_is_not_ours_is_a_fault_of_the_configuration(bench: Any) -> None:
    result = await pinged(bench, host="127.0.0.1", source_address="192.0.2.1")

    assert result.reason is Reason.CONFIG
    assert result.error == "cannot ping from 192.0.2.1: this machine has no such address"


async def test_the_address_policy_holds_for_pings(bench: Any) -> None:
    environment = ProbeEnvironment(clock=bench.clock, policy=AddressPolicy(deny=["127.0.0.0/8"]))

    result = await bench.look("icmp", environment, host="127.0.0.1")

    assert result.reason is Reason.POLICY
    assert result.facts["address"] == "127.0.0.1"


async def test_replies_to_others_are_passed_over(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, heard = EchoSocket.receive, [b"", b"\0" * 64, b"\x45" + b"\0" * 90]

    async def strange(self: EchoSocket) -> Heard:
        return Heard(heard.pop(), None) if heard else await receive(self)

    monkeypatch.setattr(EchoSocket, "receive", strange)

    result = await pinged(bench, host="127.0.0.1")

    assert result.ok, result.error
    assert not heard


async def test_what_a_router_reports_is_heard(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reporting(socket.socket):
        def recvmsg(self, *_: Any) -> Any:
            raise OSError(113, "No route to host")

    monkeypatch.setattr("cbmon.probes.icmp.sockets.socket.socket", Reporting)

    result = await pinged(bench, host="127.0.0.1")

    assert result.reason is Reason.CONNECT
    assert result.error == "cannot reach 127.0.0.1: no route to host"


async def test_a_cancelled_ping_gives_everything_back(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pinged(bench, host="127.0.0.1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(EchoSocket, "send", lambda *_: None)

    run = asyncio.create_task(bench.look("icmp", host="127.0.0.1"))
    await asyncio.sleep(0.05)
    assert len(list(Path("/proc/self/fd").iterdir())) > before
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
