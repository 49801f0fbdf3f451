"""The whole example with one command: servers, daemon, shop, customers.

    python examples/shop/run.py [--port 9820] [--daemon-port 9813] [--state DIR]

Then, in another terminal, `python examples/shop/break_it.py` breaks each dependency in turn.
Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent))

import servers

CUSTOMERS = ("/items/7", "/cart/mia", "/advice", "/shipping/ulm")
PACE = 0.2
"""Seconds between two requests of a customer."""


async def main(options: argparse.Namespace) -> None:
    state = options.state or Path(tempfile.mkdtemp(prefix="cbmon-shop-"))
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o755)  # PostgreSQL runs as another user below it
    for name in ("reporter", "operator"):
        token = state / f"{name}.token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_urlsafe())
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    hook = await hear(options.port + 5)
    env = servers.environment(state, options.port, options.daemon_port)
    started: list[str] = []
    try:
        for name, command in servers.commands(state, options.port, options.daemon_port).items():
            await servers.start(name, command, state, env)
            started.append(name)
        prometheus = servers.prometheus_port(options.port) if "prometheus" in started else None
        await settled(options.port, options.daemon_port, prometheus)
        print(
            f"""
  the shop      http://127.0.0.1:{options.port}/items/7, /cart/mia, /advice, /shipping/ulm
  its metrics   http://127.0.0.1:{options.port}/metrics
  the daemon    http://127.0.0.1:{options.daemon_port}
  Prometheus    {f"http://127.0.0.1:{prometheus}" if prometheus else "is not installed"}
  break things  python examples/shop/break_it.py --state {state} --daemon-port {
                options.daemon_port
            }{f" --prometheus-port {prometheus}" if prometheus else ""}
  Messages that the daemon sends are printed here. Ctrl-C ends everything.
""",
            flush=True,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(shopping(options.port, path)) for path in CUSTOMERS]
            await stopping.wait()
            for task in tasks:
                task.cancel()
    finally:
        for name in reversed(started):
            servers.end(state, name)
        await hook.cleanup()


async def shopping(port: int, path: str) -> None:
    """One customer, who takes what comes."""
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(path) as answer:
                    await answer.read()
            await asyncio.sleep(PACE)


async def hear(port: int) -> web.AppRunner:
    """The end of the daemon's webhook: prints what it is told."""

    async def told(request: web.Request) -> web.Response:
        for alert in json.loads(await request.read()).get("alerts", []):
            print(f">>> {alert['status']:9} {alert['labels']['component']}", flush=True)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", told)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def settled(port: int, daemon_port: int, prometheus: int | None) -> None:
    """Wait until shop and daemon answer, and Prometheus if there is one."""
    urls = [f"http://127.0.0.1:{port}/healthz", f"http://127.0.0.1:{daemon_port}/-/healthy"]
    if prometheus is not None:
        urls.append(f"http://127.0.0.1:{prometheus}/-/ready")
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        for url in urls:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The shop, its servers and the daemon.")
    parser.add_argument("--port", type=int, default=9820)
    parser.add_argument("--daemon-port", type=int, default=9813)
    parser.add_argument("--state", type=Path, default=None)
    try:
        asyncio.run(main(parser.parse_args()))
    except servers.MissingServerError as error:
        sys.exit(str(error))
