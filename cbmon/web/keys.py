"""Where an application keeps what its handlers need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from cbmon.web.access import Access
from cbmon.web.connections import Limits
from cbmon.web.errors import ApiError
from cbmon.web.services import Services

SERVICES: Final[web.AppKey[Services]] = web.AppKey("services", Services)
ACCESS: Final[web.AppKey[Access]] = web.AppKey("access", Access)
LIMITS: Final[web.AppKey[Limits]] = web.AppKey("limits", Limits)
HEADERS: Final[web.AppKey[dict[str, str]]] = web.AppKey("headers", dict)
"""What the web-config file adds to every answer; it wins over ours."""
ERROR_PAGE: Final[web.AppKey[Callable[[web.Request, ApiError], web.Response]]] = web.AppKey(
    "error_page"
)
"""Shows an error to somebody in front of a browser."""
