"""The control socket: a unix socket whose file permission is the credential.

Rule: the file appears at its name only when it is bound and private (0600), and only if no
other daemon answers there; a left-over of a dead one is replaced. Who connects is asked from
the kernel, never from the request.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cbmon.errors import StartupError

if TYPE_CHECKING:
    from cbmon.config import Config

NAME: Final = "control.sock"
MODE: Final = 0o600
PATH_MAX: Final = 107
"""Bytes that fit into a unix address."""
_UCRED: Final = struct.Struct("iII")


def control_path(config: Config, data_dir: Path | None = None) -> Path | None:
    """Where a daemon with this configuration has its control socket.

    ``web.control_socket``, or ``control.sock`` in the data directory, which is that of the SQLite
    file unless another is named; None when there is neither.
    """
    if config.web.control_socket is not None:
        return config.web.control_socket
    if data_dir is None:
        scheme, _, place = config.storage.url.partition(":")
        if scheme != "sqlite":
            return None
        data_dir = Path(place.removeprefix("//")).parent
    return data_dir / NAME


@dataclass(frozen=True, slots=True)
class PeerProcess:
    """The process at the other end, as the kernel saw it when it connected."""

    pid: int
    uid: int

    def actor(self) -> str:
        """How it is named in events: the user's name, or its number."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


def peer_process(sock: socket.socket) -> PeerProcess | None:
    """Who is connected to a unix socket; None if the kernel does not say."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return None
    pid, uid, _gid = _UCRED.unpack(raw)
    return PeerProcess(pid, uid)


class ControlSocket:
    """The listening socket and the file it is reached by."""

    def __init__(self, path: Path) -> None:
        """Bind it; raises StartupError saying what is in the way."""
        self.path = path
        _check(path)
        try:
            self.socket, self._inode = _bind(path)
        except OSError as error:
            raise StartupError(
                f"web.control_socket: cannot make {path}: {error.strerror or error}; "
                f"it needs a directory that this user may write"
            ) from error

    def close(self) -> None:
        """Close it, and remove the file if it is still ours."""
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()


def _check(path: Path) -> None:
    if len(os.fsencode(path)) > PATH_MAX:
        raise StartupError(
            f"web.control_socket: {path} is {len(os.fsencode(path))} bytes long; "
            f"a socket's path may have {PATH_MAX}, choose a shorter one"
        )
    if path.exists() and not path.is_socket():
        raise StartupError(
            f"web.control_socket: {path} exists and is not a socket; remove it or choose another"
        )
    if _answers(path):
        raise StartupError(
            f"web.control_socket: another daemon answers at {path}; "
            f"stop it, or give this one its own data directory"
        )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True


def _bind(path: Path) -> tuple[socket.socket, int]:
    """Bind in a private directory beside it and move it there: never seen with another mode."""
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as private:
        name = Path(private) / "s"
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.setblocking(False)
            _bind_at(listener, name)
            name.chmod(MODE)
            inode = name.stat().st_ino
            name.replace(path)
        except BaseException:
            listener.close()
            raise
    return listener, inode


def _bind_at(listener: socket.socket, name: Path) -> None:
    """The temporary name may be too long for an address: bind through the directory's handle."""
    folder = os.open(name.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{name.name}")
    finally:
        os.close(folder)
