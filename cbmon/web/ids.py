"""Where a request keeps its id; see :mod:`cbmon.web.requests`."""

from __future__ import annotations

from typing import Final

from aiohttp import web

REQUEST: Final[web.RequestKey[str]] = web.RequestKey("request", str)
