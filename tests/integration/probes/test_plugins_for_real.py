"""Rule: Debian's monitoring plug-ins mean in ``exec`` what they mean elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason, Result
from cbmon.probes import ProbeEnvironment, ProgramPolicy, probe_type
from cbmon.probes.run import run_once
from tests.integration.harness.processes import absent, free_port, slowness
from tests.integration.harness.servers import Nginx

PLUGINS = Path("/usr/lib/nagios/plugins")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    server = Nginx(tmp_path_factory.mktemp("nginx"))
    server.start()
    yield server
    server.stop()


async def plugged(
    environment: ProbeEnvironment, name: str, *words: object, **options: Any
) -> Result:
    if not (PLUGINS / name).exists():
        absent(f"{name} is not installed (Debian: apt-get install monitoring-plugins-basic)")
    environment.programs = ProgramPolicy([f"{PLUGINS}/*"])
    found = probe_type("exec")
    command = [str(PLUGINS / name), *map(str, words)]
    probe = found.build(found.options.model_validate({"command": command, **options}), environment)
    return await run_once(probe, 10 * slowness(), environment.clock)


async def test_check_http_is_well(environment: ProbeEnvironment, nginx: Nginx) -> None:
    result = await plugged(environment, "check_http", "-I", "127.0.0.1", "-p", nginx.port)

    assert result.ok, result.error
    assert result.facts["output"].startswith("HTTP OK: HTTP/1.1 200 OK")
    found = {one["label"]: one for one in result.facts["perfdata"]}
    assert found["time"]["unit"] == "seconds"
    assert 0 < found["time"]["value"] < 10
    assert found["size"]["unit"] == "bytes"
    assert found["size"]["value"] > 100


async def test_check_http_sees_what_is_wrong(environment: ProbeEnvironment, nginx: Nginx) -> None:
    result = await plugged(
        environment, "check_http", "-I", "127.0.0.1", "-p", nginx.port, "-s", "not there"
    )

    assert result.reason is Reason.STATUS
    assert result.error is not None
    assert result.error.startswith("critical: HTTP CRITICAL")


async def test_check_tcp_finds_nobody(environment: ProbeEnvironment) -> None:
    result = await plugged(environment, "check_tcp", "-H", "127.0.0.1", "-p", free_port())

    assert result.reason is Reason.STATUS
    assert "Connection refused" in str(result.error)


async def test_check_disk_tells_sizes_in_bytes(environment: ProbeEnvironment) -> None:
    result = await plugged(environment, "check_disk", "-w", "1%", "-c", "0%", "-p", "/")

    assert result.ok, result.error
    (root,) = result.facts["perfdata"]
    assert root["label"] == "/"
    assert root["unit"] == "bytes"
    assert root["max"] > 100e6


async def test_check_load_tells_three_numbers(environment: ProbeEnvironment) -> None:
    result = await plugged(environment, "check_load", "-w", "1e4,1e4,1e4", "-c", "1e5,1e5,1e5")

    assert result.ok, result.error
    assert [one["label"] for one in result.facts["perfdata"]] == ["load1", "load5", "load15"]


async def test_check_dummy_says_what_it_is_told(environment: ProbeEnvironment) -> None:
    for code, state in enumerate(("ok", "warning", "critical", "unknown")):
        result = await plugged(environment, "check_dummy", code, "as told|a=1;2;3;4;5")

        assert result.facts["state"] == state
        assert result.facts["perfdata"][0]["max"] == 5.0


async def test_a_plug_in_that_is_used_wrongly_is_unknown(environment: ProbeEnvironment) -> None:
    result = await plugged(environment, "check_http", "--no-such-option")

    assert result.reason is Reason.STATUS
    assert result.facts["state"] == "unknown"


async def test_the_plug_ins_that_negate_others_work(environment: ProbeEnvironment) -> None:
    result = await plugged(environment, "negate", PLUGINS / "check_dummy", 2, "as told")

    assert result.ok, result.error
