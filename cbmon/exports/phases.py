"""Marks the phases of a push on its attempt while aiohttp goes through them.

Rule: the attempt travels as the request's trace context; a request without one is not traced.
aiohttp does not tell where connecting ends and the handshake begins: both are ``connect``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp

from cbmon.interfaces import Attempt
from cbmon.model import Phase


def phase_tracing() -> aiohttp.TraceConfig:
    """Hooks for a session whose requests carry ``trace_request_ctx=attempt``."""
    config = aiohttp.TraceConfig()
    config.on_connection_create_start.append(_begins(Phase.CONNECT))
    config.on_dns_resolvehost_start.append(_begins(Phase.RESOLVE))
    config.on_dns_resolvehost_end.append(_begins(Phase.CONNECT))
    config.on_request_headers_sent.append(_begins(Phase.PROCESSING))
    config.on_response_chunk_received.append(_begins(Phase.TRANSFER))
    return config


def _begins(phase: Phase) -> Any:
    async def hook(_session: aiohttp.ClientSession, context: SimpleNamespace, _: Any) -> None:
        attempt = context.trace_request_ctx
        if isinstance(attempt, Attempt) and attempt.phase is not phase:
            attempt.begin(phase)

    return hook
