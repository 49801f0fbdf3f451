"""Ready-made checks for a recovery check: a URL that answers, a query that works.

Rule: plain functions of the standard library that keep their own timeout; they run in a thread.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Container
from typing import Any

from cbmon.resilience.checks import positive


def url_answers(
    url: str, *, timeout: float = 5.0, statuses: Container[int] = range(200, 400)
) -> Callable[[], bool]:
    """A check that is good when a GET of ``url`` gives one of ``statuses`` in ``timeout`` seconds.

    Redirects are followed. ValueError for a URL that is not http or https.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"url: got {url!r}, expected one that begins with http:// or https://")
    positive("timeout", timeout)

    def look() -> bool:
        return _status(url, timeout) in statuses

    return look


def query_answers(connect: Callable[[], Any], query: str = "select 1") -> Callable[[], bool]:
    """A check that is good when ``query`` runs on a new DB-API connection made by ``connect``.

    Give ``connect`` timeouts of its own for connecting and for the query.
    """

    def look() -> bool:
        connection = connect()
        try:
            cursor = connection.cursor()
            cursor.execute(query)
            cursor.fetchone()
        finally:
            connection.close()
        return True

    return look


def _status(url: str, timeout: float) -> int:
    import urllib.error  # noqa: PLC0415 (urllib.request takes 15 ms to import)
    import urllib.request  # noqa: PLC0415

    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 (scheme checked)
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code
