"""The daemon on the other side of a report: HTTP by the standard library.

Rule: every wait has a deadline, an answer has a largest size, no redirect is followed and the
token is in no message.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    import ssl

PATH: Final = "/api/v1/app-breakers"
LARGEST: Final = 1 << 20
"""Bytes of an answer."""


class DaemonError(Exception):
    """The daemon could not be reached, or did not answer."""


class RefusedError(DaemonError):
    """The daemon answered that it does not take this; the message says why."""


class Daemon:
    """One daemon by its URL. Threads may share it: each request has its own connection."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_file: Path | str | None = None,
        timeout: float = 5.0,
        ca_file: Path | str | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url: got {url!r}, expected http://host or https://host")
        if token is not None and token_file is not None:
            raise ValueError("token and token_file exclude each other; give one")
        if not timeout > 0:
            raise ValueError(f"timeout: got {timeout!r}, expected a number > 0")
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + PATH
        self._secure = parts.scheme == "https"
        self._token = token
        self._token_file = None if token_file is None else Path(token_file)
        self._timeout = timeout
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._waiting: http.client.HTTPConnection | None = None

    def post(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
        """Send a report; the orders that wait, and why breakers of it were not taken.
        DaemonError, RefusedError."""
        connection = self._connect(self._timeout)
        try:
            answer = self._ask(connection, "POST", self._path, json.dumps(body).encode())
        finally:
            connection.close()
        return _orders(answer), _refused(answer)

    def orders(self, who: Mapping[str, str], *, wait: float) -> list[dict[str, Any]]:
        """Wait for orders, at most ``wait`` seconds. DaemonError, RefusedError."""
        query = urlencode({**who, "wait": f"{wait:g}"})
        connection = self._connect(self._timeout + wait)
        with self._lock:
            self._waiting = connection
        try:
            answer = self._ask(connection, "GET", f"{self._path}/orders?{query}", None)
        finally:
            with self._lock:
                self._waiting = None
            connection.close()
        return _orders(answer)

    def interrupt(self) -> None:
        """End a wait for orders that goes on in another thread."""
        with self._lock:
            waiting = self._waiting
        sock = None if waiting is None else waiting.sock
        if sock is not None:
            try:
                sock.shutdown(2)
            except OSError:
                return  # it has ended by itself

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        if self._context is None:
            import ssl  # noqa: PLC0415 - costs 10 ms, for who needs it

            self._context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._context
        )

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if (token := self._secret()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            raw = response.read(LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            where = f"{self._host}:{connection.port}"
            raise DaemonError(
                f"{where} does not answer: {str(error) or type(error).__name__}"
            ) from None
        answer = _object(raw)
        if response.status >= 300:
            raise _refusal(response.status, answer)
        return answer

    def _secret(self) -> str | None:
        if self._token_file is None:
            return self._token
        try:
            return self._token_file.read_text().strip()
        except OSError as error:
            raise DaemonError(f"{self._token_file} cannot be read: {error.strerror}") from None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw) if len(raw) <= LARGEST else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _refusal(status: int, answer: Mapping[str, Any]) -> DaemonError:
    error = answer.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    kind = RefusedError if 400 <= status < 500 else DaemonError
    return kind(f"the daemon answered {status}: {message or 'no reason given'}")


def _orders(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    orders = answer.get("orders")
    if not isinstance(orders, list):
        raise DaemonError("the daemon's answer is not one of cbmon")
    return [one for one in orders if isinstance(one, dict) and "id" in one]


def _refused(answer: Mapping[str, Any]) -> list[str]:
    """In words; a daemon of before this had one word for the whole report."""
    refused = answer.get("refused")
    if not isinstance(refused, list):
        return []
    return [
        f"{one.get('name')}: {one.get('message')}"[:500] for one in refused if isinstance(one, dict)
    ]
