"""Our own few static files, served from memory.

Rule: an address carries the digest of the content, so that a browser may keep it for good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).with_name("static")
TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file and its digest."""

    name: str
    content: bytes
    digest: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"/static/{self.name}?v={self.digest}"


@cache
def all_assets() -> dict[str, Asset]:
    """Every static file, read once."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:12]
            found[path.name] = Asset(path.name, content, digest)
    return found


def url(name: str) -> str:
    """The address of a static file; KeyError if there is none of that name."""
    return all_assets()[name].url


def add_to(app: web.Application) -> None:
    """Serve them; they hold nothing that needs a role."""
    for asset in all_assets().values():
        app.router.add_get(f"/static/{asset.name}", _handler(asset))


def _handler(asset: Asset) -> Callable[[web.Request], Awaitable[web.Response]]:
    etag = f'"{asset.digest}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=31536000, immutable"}
    content_type = TYPES[Path(asset.name).suffix]

    async def send(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=asset.content, content_type=content_type, charset="utf-8", headers=headers
        )

    return send
