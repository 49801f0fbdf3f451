"""Break each dependency of the running shop in turn, and see what the daemon makes of it.

    python examples/shop/break_it.py --state DIR [--daemon-port 9813] [--picture shop.svg]

A dependency is frozen (its connections stay, nothing answers), until the daemon shows its breaker
open; then it is let go, until the breaker is closed again. Exit code 1 when one was not seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from pathlib import Path

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
        finally:
            servers.thaw(options.state, name)
        print(f"{name}: works again", flush=True)
        if not (wait_for(options, name, {"closed"}) and seen):
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
    parser.add_argument("--picture", type=Path, default=None, help="draw what was seen, as SVG")
    parser.add_argument("names", nargs="*", choices=[*servers.NAMES, []])
    sys.exit(main(parser.parse_args()))
