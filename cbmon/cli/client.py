"""How a command talks to a running daemon: over its control socket, or over HTTP with a token.

Rule: the standard library only; every failure says where it looked and what to do. A socket
needs no token, because its file permission is the credential.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import click

from cbmon.cli.problem import BAD_NEWS, UNREACHABLE, USAGE, CommandError

DEFAULT_URL: Final = "http://127.0.0.1:9813"
SOCKETS: Final = ("/run/cbmon/control.sock", "/var/lib/cbmon/control.sock")
"""Where the packaged daemon has its control socket."""
TIMEOUT: Final = 10.0
TRIES: Final = 3
PAGE: Final = 500
F = TypeVar("F", bound=Callable[..., Any])


def daemon_options(command: F) -> F:
    """The options of every command that talks to a daemon."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File with the bearer token; or set CBMON_TOKEN.",
        ),
        click.option(
            "--socket",
            "socket_path",
            envvar="CBMON_SOCKET",
            type=click.Path(path_type=Path),
            help="Control socket of a daemon on this host.",
        ),
        click.option(
            "--url", envvar="CBMON_URL", help=f"Address of the daemon (default {DEFAULT_URL})."
        ),
    ):
        command = decorate(command)
    return command


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class Daemon:
    """A running daemon, as a command sees it."""

    def __init__(
        self,
        *,
        url: str | None = None,
        socket_path: Path | None = None,
        token: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._socket = socket_path
        self._url = url or DEFAULT_URL
        self._token = token
        self._timeout = timeout
        self._status = 0
        self._tag: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return str(self._socket) if self._socket is not None else self._url

    def get(self, path: str) -> Any:
        """The JSON answer; raises CommandError for anything but success."""
        return self._ask("GET", path, None)

    def pages(
        self, path: str, query: Mapping[str, str], key: str, most: int | None = None
    ) -> list[dict[str, Any]]:
        """The entries of a list, page by page; of them the first ``most``."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            size = PAGE if most is None else min(PAGE, most - len(found))
            answer = self.get(f"{path}?{urlencode({**query, 'limit': size, **cursor})}")
            found += answer[key]
            if answer["next_cursor"] is None or len(found) == most:
                return found
            cursor = {"cursor": answer["next_cursor"]}

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer to an order; raises CommandError for anything but success.

        A daemon without tokens names its control socket in the refusal: it is used, if it belongs
        to this user or to root.
        """
        return self._ask("POST", path, json.dumps(dict(body or {})))

    def delete(self, path: str) -> Any:
        """The JSON answer to the end of something; as :meth:`post`."""
        return self._ask("DELETE", path, None)

    def change(
        self, path: str, change: Callable[[dict[str, Any]], Mapping[str, Any]], query: str = ""
    ) -> Any:
        """Read something with its ETag, put what ``change`` makes of it; as :meth:`post`.

        If someone else was faster it is read again, and changed again, a few times.
        """
        left = TRIES
        while True:
            left -= 1
            body = json.dumps(dict(change(self.get(path))))
            match = {"If-Match": self._tag} if self._tag else {}
            try:
                return self._ask("PUT", path + query, body, match)
            except CommandError:
                if self._status != 412 or not left:
                    raise

    def _ask(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str] | None = None
    ) -> Any:
        status, answer = self._exchange(method, path, body, headers or {})
        if status == 403 and self._use_named_socket(answer):
            status, answer = self._exchange(method, path, body, headers or {})
        self._status = status
        if status < 400:
            return answer
        raise _problem(status, answer, self.place)

    def _use_named_socket(self, answer: Any) -> bool:
        named = _error(answer).get("details", {}).get("control_socket")
        if self._socket is not None or not isinstance(named, str) or not _trusted(Path(named)):
            return False
        self._socket = Path(named)
        return True

    def _exchange(
        self, method: str, path: str, body: str | None, more: Mapping[str, str]
    ) -> tuple[int, Any]:
        connection = self._connection()
        headers = {"Accept": "application/json", **more}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token and self._socket is None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            self._tag = response.headers.get("ETag")
            return response.status, _parsed(response.read())
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        if self._socket is not None:
            return UnixConnection(self._socket, self._timeout)
        parts = urlsplit(self._url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
            raise CommandError(
                f"--url: expected an address such as {DEFAULT_URL}, got {self._url!r}", USAGE
            )
        make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return make(parts.hostname, port, timeout=self._timeout)

    def _unreachable(self, error: Exception) -> CommandError:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        hint = "is it running? say where with --url or --socket"
        if isinstance(error, PermissionError):
            hint = "run this as the daemon's user or root, or use --url with a token"
        if isinstance(error, TimeoutError):
            why = f"no answer within {self._timeout:g} s"
        return CommandError(f"cannot reach the daemon at {self.place}: {why}; {hint}", UNREACHABLE)


def daemon_at(
    url: str | None, socket_path: Path | None, token_file: Path | None, timeout: float = TIMEOUT
) -> Daemon:
    """The daemon that the options and the environment name."""
    if url and socket_path is None:
        return Daemon(url=url, token=_token(token_file), timeout=timeout)
    if socket_path is None:
        usable = (Path(path) for path in SOCKETS if os.access(path, os.W_OK))
        socket_path = next(usable, None)
    return Daemon(socket_path=socket_path, token=_token(token_file), timeout=timeout)


def part(name: str) -> str:
    """A name as one part of an address."""
    return quote(name, safe="")


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("CBMON_TOKEN") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--token-file: cannot read {file}: {error}", USAGE) from error


def _trusted(path: Path) -> bool:
    with suppress(OSError):
        found = path.stat()
        return stat.S_ISSOCK(found.st_mode) and found.st_uid in {0, os.getuid()}
    return False


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return {"error": {"message": raw[:500].decode(errors="replace").strip()}}


def _error(answer: Any) -> dict[str, Any]:
    found = answer.get("error") if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}


def _line(problem: Any) -> str:
    return str(problem.get("message", problem) if isinstance(problem, dict) else problem)


def _problem(status: int, answer: Any, place: str) -> CommandError:
    error = _error(answer)
    message = error.get("message") or f"the daemon at {place} answered {status}"
    problems = error.get("details", {}).get("problems") or ()
    reasons = answer.get("reasons") if isinstance(answer, dict) else None
    if reasons:
        message = f"not ready: {', '.join(map(str, reasons))}"
    lines = [*map(_line, problems), message]
    usage = status in {400, 401, 403} and not problems
    return CommandError("\n".join(lines), USAGE if usage else BAD_NEWS)
