"""A program that ends in the middle of calls: nothing is said, and it ends."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PROGRAM = """
    import asyncio, threading, time
    from cbmon import CircuitBreaker, CircuitOpenError
    from cbmon.integrations.calls import admit

    breaker = CircuitBreaker("it", listeners=[lambda event: None])

    @breaker
    def items():
        yield 1

    @breaker
    async def items_async():
        yield 1

    async def main():
        global dropped
        dropped = items_async()
        await anext(dropped)
        async with breaker:
            pass

    class Cycle:
        pass

    cycle = Cycle()
    cycle.itself, cycle.held, cycle.items = cycle, admit(breaker, CircuitOpenError), items()
    next(cycle.items)
    begun, held = items(), admit(breaker, CircuitOpenError)
    next(begun)
    asyncio.run(main())

    def serve():
        while True:
            breaker.call(time.sleep, 0.0001)

    for _ in range(4):
        threading.Thread(target=serve, daemon=True).start()
    time.sleep(0.02)
"""


def test_calls_generators_and_daemon_threads_at_the_end_of_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(PROGRAM)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
