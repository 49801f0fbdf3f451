"""What a breaker costs, side by side with the other Python breakers in one run.

Rule: no number without the peers' numbers from the same minute on the same machine. A bar of the
project is met or not; the exit code says it (0 all met, 1 not). The bars are for a call and its
decorator, against whatever way of a peer is fastest; what has none is printed beside its own peer.

    python -m benchmarks.breaker [--rounds 11] [--calls 20000] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks import _peers as peers
from benchmarks._harness import Contender, Row, bytes_each, measure
from cbmon import BreakerPolicy, BreakerRegistry, CircuitBreaker, CircuitOpenError


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison; ``bar`` is the largest allowed ratio of ours to the fastest peer, if any."""

    title: str
    bar: float | None
    contenders: list[Contender]
    use_loop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    what: str
    measured: float
    bar: float
    unit: str

    @property
    def met(self) -> bool:
        return self.measured <= self.bar


KINDS = ("count", "time", "percentage", "adaptive")


def cases() -> Iterable[Case]:
    """Closed by kind, async and sync; rejected, async and sync."""
    everyone_async = list(peers.closed_async())
    windows = list(peers.window_async())
    yield Case(
        title="closed, async, count",
        bar=0.6,
        contenders=[*_floor_async(), *_ours_async("count"), *everyone_async],
        use_loop=True,
    )
    yield Case(
        title="closed, async with, count",
        bar=None,
        contenders=[*_empty_block(), *_our_block(), *peers.closed_block()],
        use_loop=True,
    )
    yield Case(
        title="closed, async, windows",
        bar=0.8,
        contenders=[
            *(ours for kind in KINDS[1:] for ours in _ours_async(kind)),
            *everyone_async,
            *windows,
        ],
        use_loop=True,
    )
    everyone_sync = list(peers.closed_sync())
    yield Case(
        title="closed, sync, count",
        bar=0.5,
        contenders=[*_ours_sync("count"), *everyone_sync],
        use_loop=False,
    )
    yield Case(
        title="closed, sync, windows",
        bar=0.8,
        contenders=[*(ours for kind in KINDS[1:] for ours in _ours_sync(kind)), *everyone_sync],
        use_loop=False,
    )
    yield Case(
        title="rejected, async",
        bar=0.8,
        contenders=[*_ours_rejected_async(), *peers.rejected_async()],
        use_loop=True,
    )
    yield Case(
        title="rejected, sync",
        bar=0.8,
        contenders=[*_raise_alone(), *_ours_rejected_sync(), *peers.rejected_sync()],
        use_loop=False,
    )


def _ours_async(kind: str) -> Iterable[Contender]:
    breaker = CircuitBreaker("b", kind=kind)
    yield Contender(
        name=f"cbmon {kind}", call=breaker(peers.bare_async), bare=peers.bare_async, ours=True
    )


def _our_block() -> Iterable[Contender]:
    breaker = CircuitBreaker("b")

    async def block() -> int:
        async with breaker:
            return await peers.bare_async()

    async def nested() -> int:
        return await peers.bare_async()

    yield Contender(name="cbmon (async with)", call=block, bare=nested, ours=True)


class _Nothing:
    async def __aenter__(self) -> None:
        """Nothing is asked."""

    async def __aexit__(self, *ending: object) -> None:
        """Nothing is counted."""


def _empty_block() -> Iterable[Contender]:
    nothing = _Nothing()

    async def block() -> int:
        async with nothing:
            return await peers.bare_async()

    async def nested() -> int:
        return await peers.bare_async()

    yield Contender(name="(floor: empty async with)", call=block, bare=nested, floor=True)


def _ours_sync(kind: str) -> Iterable[Contender]:
    breaker = CircuitBreaker("b", kind=kind)
    yield Contender(name=f"cbmon {kind}", call=breaker(peers.bare), bare=peers.bare, ours=True)


def _ours_rejected_async() -> Iterable[Contender]:
    breaker = CircuitBreaker("b", recovery_timeout=3600)
    breaker.open()
    yield Contender(
        name="cbmon",
        call=breaker(peers.failing_async),
        bare=peers.bare_async,
        ours=True,
        rejected=CircuitOpenError,
    )


def _ours_rejected_sync() -> Iterable[Contender]:
    breaker = CircuitBreaker("b", recovery_timeout=3600)
    breaker.open()
    yield Contender(
        name="cbmon",
        call=breaker(peers.failing),
        bare=peers.bare,
        ours=True,
        rejected=CircuitOpenError,
    )


def _floor_async() -> Iterable[Contender]:
    """The least that any breaker must do: look at a flag, call, count, catch."""
    counts = {"ok": 0, "bad": 0, "open": 0}

    async def minimal() -> int:
        if counts["open"]:
            raise RuntimeError
        try:
            result = await peers.bare_async()
        except Exception:
            counts["bad"] += 1
            raise
        counts["ok"] += 1
        return result

    yield Contender(
        name="(floor: no lock, no rules)", call=minimal, bare=peers.bare_async, floor=True
    )


def _raise_alone() -> Iterable[Contender]:
    yield Contender(
        name="(floor: raise alone)",
        call=peers.failing,
        bare=peers.bare,
        floor=True,
        rejected=OSError,
    )


def memory() -> Iterable[tuple[str, float]]:
    """Bytes at rest: a breaker with a policy shared by all, and a key of a registry."""
    policy = BreakerPolicy()
    yield "breaker", bytes_each(lambda index: CircuitBreaker(f"breaker-{index:08}", policy))
    for bound in (None, 100_000):
        registry = BreakerRegistry(policy, max_keys=bound)
        label = "registry key" if bound is None else "registry key (bounded)"
        yield label, bytes_each(_getter(registry))


def _getter(registry: BreakerRegistry) -> Callable[[int], object]:
    return lambda index: registry.get(f"breaker-{index:08}")


def verdicts(case: Case, rows: list[Row]) -> list[Verdict]:
    """Each of ours against the fastest peer."""
    fastest, bar = _fastest_peer(rows), case.bar
    return [
        Verdict(
            what=f"{case.title}: {row.contender.name}",
            measured=row.nanoseconds / fastest.nanoseconds,
            bar=bar,
            unit="x",
        )
        for row in rows
        if row.contender.ours and fastest is not None and bar is not None
    ]


def _fastest_peer(rows: list[Row]) -> Row | None:
    theirs = [row for row in rows if not row.contender.ours and not row.contender.floor]
    return min(theirs, key=lambda row: row.nanoseconds, default=None)


def print_case(case: Case, rows: list[Row]) -> None:
    fastest = _fastest_peer(rows)
    bar = "no bar" if case.bar is None else f"bar: {case.bar} of the fastest peer"
    print(f"\n{case.title} ({bar})")
    for row in sorted(rows, key=lambda row: row.nanoseconds):
        ratio = f"{row.nanoseconds / fastest.nanoseconds:6.2f}x" if fastest else ""
        name = row.contender.name
        print(f"  {name:32} {row.nanoseconds:8.0f} ns  ±{row.spread:5.0f}  {ratio}")


def print_verdicts(found: list[Verdict]) -> None:
    print("\nbars")
    for verdict in found:
        word = "met   " if verdict.met else "MISSED"
        print(
            f"  {word} {verdict.what:44} {verdict.measured:8.2f}{verdict.unit}  "
            f"(at most {verdict.bar:g}{verdict.unit})"
        )
    for package, why in sorted(peers.ABSENT.items()):
        print(f"  skipped {package}: {why}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: list[Verdict] = []
    table: dict[str, Any] = {}
    for case in cases():
        rows = measure(
            case.contenders, rounds=options.rounds, calls=options.calls, use_loop=case.use_loop
        )
        found += verdicts(case, rows)
        table[case.title] = {row.contender.name: round(row.nanoseconds, 1) for row in rows}
        if not options.json:
            print_case(case, rows)
    for what, size in memory():
        found.append(Verdict(what=f"memory: {what}", measured=size, bar=1024.0, unit=" B"))
    if options.json:
        table["bars"] = {bar.what: [round(bar.measured, 3), bar.bar, bar.met] for bar in found}
        print(json.dumps(table, indent=2))
    else:
        print_verdicts(found)
    return 0 if all(verdict.met for verdict in found) else 1


if __name__ == "__main__":
    sys.exit(main())
