"""The control socket: private, honest about who is there, never stolen from a living daemon."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from cbmon.errors import StartupError
from cbmon.web.control import ControlSocket, peer_process


async def ask(path: Path, method: str, url: str, **options: Any) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
        client.request(method, f"http://localhost{url}", **options) as response,
    ):
        return response.status, await response.text()


async def test_over_the_socket_everything_is_allowed_under_the_users_name(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    async with serve(daemon, control=path):
        status, _ = await ask(path, "POST", "/api/v1/breakers/api/open", json={"reason": "x"})
        assert status == 200
        assert (await ask(path, "POST", "/-/reload"))[0] == 200
    assert daemon.orders[0][1].actor == getpass.getuser()
    assert daemon.reloads == [getpass.getuser()]


async def test_it_is_for_the_owner_only_and_gone_after_the_stop(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    async with serve(daemon, control=path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [entry.name for entry in tmp_path.iterdir()] == ["control.sock"]
    assert not path.exists()


async def test_a_refused_write_names_the_socket_to_this_machine(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    async with serve(daemon, control=path) as web:
        reply = await web.post("/api/v1/breakers/api/open")
    assert reply.json["error"]["details"] == {"control_socket": str(path)}


async def test_a_left_over_of_a_dead_daemon_is_replaced(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with serve(daemon, control=path):
        assert (await ask(path, "GET", "/-/ready"))[0] == 200


async def test_the_socket_of_a_living_daemon_is_not_taken(
    daemon: Any, serve: Any, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    async with serve(daemon, control=path):
        with pytest.raises(StartupError, match="another daemon answers at"):
            await asyncio.to_thread(ControlSocket, path)
        assert (await ask(path, "GET", "/-/ready"))[0] == 200


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(StartupError, match="exists and is not a socket"):
        ControlSocket(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="a socket's path may have 107"):
        ControlSocket(tmp_path / ("x" * 120))


def test_a_long_directory_with_a_path_that_just_fits_works(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    room = 107 - len(os.fsencode(folder)) - 1
    control = ControlSocket(folder / ("s" * room))
    control.close()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="No such file or directory"):
        ControlSocket(tmp_path / "missing" / "control.sock")


def test_a_successors_socket_survives_our_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    ours = ControlSocket(path)
    path.unlink()
    theirs = ControlSocket(path)
    ours.close()
    assert path.is_socket()
    theirs.close()


def test_the_kernel_names_the_process_at_the_other_end() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        found = peer_process(here)
    assert found is not None
    assert (found.pid, found.uid) == (os.getpid(), os.getuid())


def test_all_of_it_works_on_uvloop_too(daemon: Any, serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def scene() -> None:
        async with serve(daemon, control=path) as web:
            assert (await web.get("/")).status == 200
            assert (await web.post("/api/v1/breakers/api/open")).status == 403
            assert (await ask(path, "POST", "/api/v1/breakers/api/open"))[0] == 200
            assert (await ask(path, "GET", "/metrics"))[0] == 200

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scene())
    assert daemon.orders[0][1].actor == getpass.getuser()
    assert not path.exists()
