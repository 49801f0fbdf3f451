"""`make run`: the daemon on the quick-start configuration, beside a target that comes and goes.

The target answers "ok" for 25 seconds and is unwell for 20, over and over, and prints the
messages that the daemon sends it. Ctrl-C stops both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATE = Path("var/quickstart").absolute()
PAGE = "http://127.0.0.1:9813"
UP, DOWN = 25.0, 20.0


async def main() -> int:
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(5):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                if head.startswith("POST /hook"):
                    tell(await reader.readexactly(length_of(head)))
                    respond(writer, "204 No Content", b"")
                elif (loop.time() - started) % (UP + DOWN) < UP:
                    respond(writer, "200 OK", b"ok\n")
                else:
                    respond(writer, "503 Service Unavailable", b"out of stock\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 9814)
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cbmon", "run"),
        *("--config.file", str(HERE / "cbmon.yml"), "--storage.path", str(STATE)),
        process_group=0,  # so that Ctrl-C reaches it once: from here
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, pass_on, daemon, number)
    print(
        f"""
  open  {PAGE}            the page
        {PAGE}/metrics    what Prometheus scrapes
  watch the breaker of "flaky-shop": its target is up {UP:.0f} s, then unwell {DOWN:.0f} s.
  act, in another terminal:  export CBMON_SOCKET={STATE}/control.sock
                             {Path(sys.executable).parent}/cbmon breakers
  Messages that the daemon sends are printed here, as ">>> ...". Ctrl-C stops.
""",
        flush=True,
    )
    async with server:
        return await daemon.wait()


def pass_on(daemon: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        daemon.send_signal(number)


def length_of(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length":
            return int(value)
    return 0


def tell(body: bytes) -> None:
    message = json.loads(body)
    for alert in message.get("alerts", []):
        component = alert["labels"].get("component", "?")
        summary = alert.get("annotations", {}).get("summary", "")
        print(f">>> message received: {component} is {alert['status']}: {summary}", flush=True)


def respond(writer: asyncio.StreamWriter, status: str, body: bytes) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)


if __name__ == "__main__":
    STATE.mkdir(parents=True, exist_ok=True)
    sys.exit(asyncio.run(main()))
