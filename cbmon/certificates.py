"""aiohttp without the system's certificates, until somebody needs them.

Rule: whoever gets a TLS context from aiohttp gets one that trusts what the system trusts, as if
nothing had been put off. aiohttp reads the bundle twice while it is imported, which takes 45 ms
and 3 MB; checks and exports bring contexts of their own, and many a daemon has nobody else.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

_lock: Final = Lock()
_waiting: Final[list[ssl.SSLContext]] = []


def import_aiohttp() -> None:
    """Import it and put off its certificates; does nothing more when it is imported already."""
    with _put_off() as asked:
        import aiohttp  # noqa: F401, PLC0415 - what this is about
    for context in asked:
        if context.verify_mode != ssl.CERT_NONE:
            context.__class__ = _Later
            _waiting.append(context)


def fetch() -> None:
    """Read what was put off, if it was not yet. Blocks for some 20 ms: call it in a thread."""
    for context in [*_waiting]:
        _trust(context)


class _Later(ssl.SSLContext):
    """A context that reads the certificates when the first connection needs them."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        _trust(self)
        return super().wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        _trust(self)
        return super().wrap_socket(*args, **kwargs)


def _trust(context: ssl.SSLContext) -> None:
    with _lock:
        if context in _waiting:
            context.set_default_verify_paths()
            _waiting.remove(context)


@contextmanager
def _put_off() -> Iterator[list[ssl.SSLContext]]:
    """Contexts made meanwhile are listed instead of filled."""
    asked: list[ssl.SSLContext] = []

    def ask(self: ssl.SSLContext) -> None:
        asked.append(self)

    ssl.SSLContext.set_default_verify_paths = ask  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        del ssl.SSLContext.set_default_verify_paths
