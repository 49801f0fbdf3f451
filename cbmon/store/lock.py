"""One daemon per data directory.

Rule: the kernel's lock decides, the pid in the file only helps the person who reads the message.
The file stays: removing it would let two daemons lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cbmon.errors import LockedError, StoreError


class FileLock:
    """An exclusive flock on ``path``; it ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Take it at once, or raise LockedError with the other's pid. Taking it twice is fine."""
        if self._file is not None:
            return
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot open the lock file {self.path}: {error.strerror}; "
                f"check that the directory exists and that this user may write to it"
            ) from error
        try:
            self._lock(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def release(self) -> None:
        """Give it back."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _lock(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(_taken(self.path, file)) from error
        except OSError as error:
            raise StoreError(
                f"cannot lock {self.path}: {error.strerror}; "
                f"the data directory must be on a file system with locks"
            ) from error
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # A full disk: the lock itself holds, only the pid is missing for the reader.
            return


def _taken(path: Path, file: int) -> str:
    text = os.pread(file, 32, 0).decode(errors="replace").strip()
    holder = f"process {text}" if text.isdigit() else "another process"
    return (
        f"{path.parent} is in use by {holder}; one daemon per data directory: "
        f"stop that one, or give this one another storage.url"
    )
