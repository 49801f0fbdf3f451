"""What cbmon says of a healthy target's latency while it is busy, and what 5,000 checks/s take.

Run: python benchmarks/latency.py [--rate 1000] [--seconds 20] [--rounds 5] [--most 5000]

Both against nginx on the same machine, every look over a new connection. For the latency every
check runs every 5 s and /metrics is scraped every 5 s, so that each scrape tells the duration of
every run since the one before, those that ran while it was made included. For the share of a core
the processor time of the whole process is taken at the greater rate, one scrape in each round;
medians of the rounds. A rate that was not reached is said.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.rate import Daemon, servers

EVERY = 5
"""Seconds between two scrapes, and between two runs of a check."""
SLOWEST = 0.002
"""What the 99th percentile of the latency may be, in seconds."""
SHARE = 0.5
"""What the greater rate may take of a core."""
REACHED = 0.95
"""Share of the wanted rate below which the figure is not that of the rate."""


def durations(text: str) -> list[float]:
    """How long the last run of each check took, in seconds."""
    name = "cbmon_check_last_duration_seconds{"
    return [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)]


def latencies(daemon: Daemon, seconds: float) -> list[float]:
    """Of all runs in so many seconds."""
    daemon.wake()
    texts: list[str] = []
    time.sleep(2 * EVERY)
    daemon.scraped()
    begun = time.monotonic()
    for turn in range(1, max(1, round(seconds / EVERY)) + 1):
        time.sleep(max(0.0, begun + turn * EVERY - time.monotonic()))
        texts.append(daemon.scraped())
    # read afterwards: that would keep a processor from the target while checks go on
    return [one for text in texts for one in durations(text)]


def percentile(values: Sequence[float], share: float) -> float:
    """Of so many hundredths."""
    return quantiles(values, n=1000)[round(share * 1000) - 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=1000, help="checks/s for the latency")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of the latency")
    parser.add_argument("--most", type=int, default=5000, help="checks/s for the share of a core")
    parser.add_argument("--rounds", type=int, default=5, help="rounds at that rate, at least 5")
    given = parser.parse_args()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, load {load}\n")
    missed = 0
    with servers() as (ports, ca, _, home):
        daemon = Daemon("http", ports, ca, given.rate, home, interval=EVERY)
        try:
            found = latencies(daemon, given.seconds)
        finally:
            daemon.end()
        p50, p99, p999 = (percentile(found, share) for share in (0.5, 0.99, 0.999))
        late = p99 > SLOWEST
        print(f"reported latency at {given.rate}/s, scraped every {EVERY} s, {len(found)} runs")
        print(f"  p50 {p50 * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms (bar: {SLOWEST * 1000:.0f} ms),")
        print(f"  p99.9 {p999 * 1000:.2f} ms, worst {max(found) * 1000:.2f} ms", end="")
        print("  MISSED" if late else "", flush=True)
        daemon = Daemon("http", ports, ca, given.most, home)
        try:
            looks = [daemon.look(4) for _ in range(max(5, given.rounds))]
        finally:
            daemon.end()
    cost, rate = median(one for one, _ in looks), median(rate for _, rate in looks)
    share = cost * given.most / 1000
    missed = late + (share > SHARE)
    print(f"{given.most} checks/s: {cost:.3f} ms of CPU each, {share:.0%} of a core", end="")
    print(f" (bar: {SHARE:.0%})" + ("  MISSED" if share > SHARE else ""))
    if rate < REACHED * given.most:
        print(f"  only {rate:.0f}/s were reached; the share is that of the cost at this rate")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
