"""Break each dependency of the running shop in turn, and see what the daemon makes of it.

    python examples/shop/break_it.py --state DIR [--daemon-port 9813] [--prometheus-port 9827]
                                     [--picture shop.svg]

A dependency is frozen (its connections stay, nothing answers), until the daemon shows its breaker
open; then it is let go, until the breaker is closed again. With Prometheus, each change is looked
for there, too: it must come within one scrape. Exit code 1 when one was not seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parent))

import picture
import servers

PATIENCE = 20.0
"""Seconds to wait for one change."""


def states(options: argparse.Namespace) -> dict[str, str]:
    """The states that the daemon shows for the shop's breakers; none while it does not answer."""
    token = (options.state / "operator.token").read_text()
    request = urllib.request.Request(
        f"http://127.0.0.1:{options.daemon_port}/api/v1/breakers?category=app",
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return {one["name"]: one["state"] for one in json.load(answer)["breakers"]}
    except OSError:
        return {}


def scraped(options: argparse.Namespace, name: str) -> dict[str, float]:
    """The breaker's gauge in Prometheus, by job: as the daemon and as the shop itself tell it."""
    query = f'circuit_breaker_state{{component=~"(shop:)?{name}",category="app"}}'
    url = f"http://127.0.0.1:{options.prometheus_port}/api/v1/query?"
    try:
        with urllib.request.urlopen(url + urlencode({"query": query}), timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return {}
    return dict(sorted(_gauge(one) for one in found))


def _gauge(one: dict[str, Any]) -> tuple[str, float]:
    return one["metric"]["job"], float(one["value"][1])


def wait_for_prometheus(options: argparse.Namespace, name: str, *, closed: bool) -> bool:
    """Wait until both of its jobs show the same, for two scrapes at most: one may be under way."""
    began = time.monotonic()
    while True:
        gauges = scraped(options, name)
        waited = time.monotonic() - began
        if len(gauges) == 2 and all((gauge == 1.0) is closed for gauge in gauges.values()):
            print(f"    Prometheus shows {gauges} {waited:.1f} s later", flush=True)
            return True
        if waited > options.scrapes:
            print(f"    Prometheus still shows {gauges} {waited:.1f} s later", flush=True)
            return False
        time.sleep(0.05)


def shown(options: argparse.Namespace, name: str) -> str:
    """The state that the daemon shows for one of them."""
    return states(options).get(f"shop:{name}", "unknown")


def wait_for(options: argparse.Namespace, name: str, states: set[str]) -> bool:
    """Wait for one of these states, and tell how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        state = shown(options, name)
        if state in states:
            print(f"    shop:{name} is {state} after {time.monotonic() - began:.1f} s", flush=True)
            return True
        time.sleep(0.1)
    print(f"    shop:{name} is still {state} after {PATIENCE:.0f} s", flush=True)
    return False


def main(options: argparse.Namespace) -> int:
    missed = []
    film = picture.Film(lambda: states(options)) if options.picture else None
    for name in options.names or servers.NAMES:
        print(f"{name}: frozen", flush=True)
        servers.freeze(options.state, name)
        try:
            seen = wait_for(options, name, {"open", "half_open"})
            if options.prometheus_port is not None:
                seen = wait_for_prometheus(options, name, closed=False) and seen
        finally:
            servers.thaw(options.state, name)
        print(f"{name}: works again", flush=True)
        over = wait_for(options, name, {"closed"})
        if options.prometheus_port is not None:
            over = wait_for_prometheus(options, name, closed=True) and over
        if not (over and seen):
            missed.append(name)
    if film is not None:
        seconds = film.stop()
        picture.draw(film.changes, seconds, options.picture)
    print("everything was seen" if not missed else f"not seen: {', '.join(missed)}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Break each dependency of the shop in turn.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--daemon-port", type=int, default=9813)
    parser.add_argument("--prometheus-port", type=int, default=None)
    parser.add_argument("--scrapes", type=float, default=2.0, help="seconds that it may take there")
    parser.add_argument("--picture", type=Path, default=None, help="draw what was seen, as SVG")
    parser.add_argument("names", nargs="*", choices=[*servers.NAMES, []])
    sys.exit(main(parser.parse_args()))
