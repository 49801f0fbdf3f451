"""Addresses of databases as URLs: ``postgresql://user:password@host:5432/database?sslmode=require``.

Rule: pure, and no error repeats any part of the URL: a password may be anywhere in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""How much TLS is insisted upon; ``verify-ca`` counts as ``verify-full``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """What a URL says. ``path`` is the Unix socket, or the directory it is in."""

    host: str
    port: int
    user: str
    database: str
    path: str | None = None
    password: str | None = field(default=None, repr=False)
    sslmode: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Where it leads, without user and password."""
        place = self.path or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{place}:{self.port}/{self.database}".rstrip("/")


def parse_dsn(text: str, *, schemes: Sequence[str], port: int, known: Sequence[str] = ()) -> Dsn:
    """The parts of a DSN; ValueError says what is wrong without repeating it.

    ``known`` are the parameters that are allowed besides ``host`` and ``sslmode``.
    """
    example = f"{schemes[0]}://user:password@host/database"
    try:
        url = urlsplit(text)
        given_port = url.port
        options = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    except ValueError:
        raise ValueError(f"expected a URL such as {example}") from None
    if url.scheme not in schemes or url.fragment:
        raise ValueError(f"expected a URL such as {example}")
    host = options.pop("host", "") or unquote(url.hostname or "")
    user = unquote(url.username or "") or options.pop("user", "")
    database = unquote(url.path.removeprefix("/"))
    _check(host, user, options, known)
    password = unquote(url.password) if url.password is not None else None
    if any("\0" in part for part in (host, user, database, password or "")):
        raise ValueError("the URL holds a NUL byte")
    return Dsn(
        host=host,
        port=given_port or port,
        user=user,
        database=database,
        path=host if host.startswith("/") else None,
        password=password,
        sslmode=options.pop("sslmode", None),
        options=options,
    )


def _check(host: str, user: str, options: Mapping[str, str], known: Sequence[str]) -> None:
    if not host or "," in host:
        raise ValueError("expected one host in the URL, or ?host=/directory/of/the/socket")
    if not user:
        raise ValueError("expected a user in the URL")
    for name in options:
        if name not in {"sslmode", *known}:
            names = ", ".join(["host", "sslmode", *known])
            raise ValueError(f"a parameter of the URL is unknown; known are {names}")
    if options.get("sslmode", "disable") not in SSL_MODES:
        raise ValueError(f"expected sslmode to be one of {', '.join(SSL_MODES)}")
