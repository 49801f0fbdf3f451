"""Recorded results of a check, asked of a running daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import click

from cbmon.cli import output
from cbmon.cli.client import Daemon, part

if TYPE_CHECKING:
    from cbmon.config import CheckConfig
    from cbmon.simulation import Sample

PAGE: Final = 1000


def recorded(daemon: Daemon, check: CheckConfig, since: float) -> list[Sample]:
    """Its runs of the last ``since`` seconds, as far back as the daemon keeps them; CommandError.

    What an open breaker held off is filled in, and said on standard error.
    """
    from cbmon.simulation.recorded import filled, from_points, held_off

    now = time.time()
    samples = from_points(_results(daemon, check.name, now - since, now, "raw"))
    if not samples:
        return samples
    sums = _results(daemon, check.name, samples[0].at - 300, now, "5m")
    whole, count = filled(samples, held_off(sums), interval=check.interval, timeout=check.timeout)
    if samples[0].at > now - since + 2 * check.interval:
        length = output.seconds(now - samples[0].at)
        click.echo(f"single results are there for the last {length} only", err=True)
    if count:
        click.echo(f"{count} runs that an open breaker held off are taken as failed", err=True)
    return whole


def _results(
    daemon: Daemon, name: str, since: float, until: float, resolution: str
) -> list[dict[str, Any]]:
    query: dict[str, Any] = {
        "since": f"{since:.3f}", "until": f"{until:.3f}", "resolution": resolution, "limit": PAGE
    }  # fmt: skip
    found: list[dict[str, Any]] = []
    while True:
        answer = daemon.get(f"/api/v1/checks/{part(name)}/results?{urlencode(query)}")
        found += answer["results"]
        if answer["next_cursor"] is None:
            return found
        query["cursor"] = answer["next_cursor"]
