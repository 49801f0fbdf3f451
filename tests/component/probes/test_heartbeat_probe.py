"""Rule: a probe is found by its token as it is now, and by nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cbmon.model import Reason
from cbmon.probes import ProbeEnvironment, probe_type
from cbmon.probes.heartbeat import probe as module
from cbmon.probes.heartbeat.heart import Beat
from cbmon.probes.heartbeat.probe import HeartbeatProbe, Hearts
from cbmon.probes.run import run_once
from cbmon.testing import ManualClock

TOKEN = "0123456789abcdef"


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.environment = ProbeEnvironment(clock=self.clock)
        self.hearts = self.environment.shared(Hearts)

    def build(self, **options: Any) -> HeartbeatProbe:
        found = probe_type("heartbeat")
        made = found.build(found.options.model_validate(options), self.environment)
        assert isinstance(made, HeartbeatProbe)
        return made

    async def look(self, probe: HeartbeatProbe) -> Any:
        return await run_once(probe, 5, self.clock)


@pytest.fixture
def house() -> House:
    return House()


async def test_a_job_is_well_until_it_is_late_and_again_when_it_speaks(house: House) -> None:
    probe = house.build(token=TOKEN, interval="1h", grace="5m")

    assert (await house.look(probe)).ok
    house.clock.advance(3901)
    late = await house.look(probe)
    probe.hear(Beat.SUCCESS)
    well = await house.look(probe)

    assert late.reason is Reason.TIMEOUT
    assert well.ok
    assert well.facts["last_success_at"] == house.clock.time()
    assert well.facts["expected_at"] == house.clock.time() + 3600
    assert well.facts["running"] == 0


async def test_a_probe_is_found_by_its_token_until_it_is_closed(house: House) -> None:
    probe = house.build(token=TOKEN, interval="1h")
    house.build(token="another-token-0123", interval="1h")

    assert await house.hearts.find(TOKEN) == [probe]
    assert await house.hearts.find(TOKEN[:-1]) == []
    assert await house.hearts.find("") == []
    assert await house.hearts.find("\udcff" * 20) == []
    await probe.close()
    assert await house.hearts.find(TOKEN) == []


async def test_a_rotated_token_file_counts_at_once_and_the_old_token_no_more(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH", 0.0)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    probe = house.build(token_file=str(file), interval="1h")

    assert await house.hearts.find(TOKEN) == [probe]
    file.write_text("rotated-0123456789")
    assert await house.hearts.find("rotated-0123456789") == [probe]
    assert await house.hearts.find(TOKEN) == []


async def test_a_token_file_that_is_missing_fails_the_run(house: House, tmp_path: Path) -> None:
    probe = house.build(token_file=str(tmp_path / "token"), interval="1h")

    result = await house.look(probe)

    assert result.reason is Reason.CONFIG
    assert await house.hearts.find("") == []
    assert await house.hearts.find(TOKEN) == []


async def test_token_files_are_not_read_for_every_wrong_guess(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    probe = house.build(token_file=str(tmp_path / "token"), interval="1h")

    async def read() -> None:
        reads.append(1)

    monkeypatch.setattr(probe, "read_token", read)
    for number in range(20):
        await house.hearts.find(f"guess-{number}")

    assert len(reads) == 1


async def test_what_was_heard_goes_into_the_snapshot_and_back(house: House) -> None:
    probe = house.build(token=TOKEN, interval="1h")
    probe.hear(Beat.FAIL, exit_status=7)
    other = house.build(token=TOKEN, interval="2h")

    other.restore(probe.snapshot())

    assert (await house.look(other)).reason is Reason.STATUS
