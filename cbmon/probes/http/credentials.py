"""The credentials of an HTTP request.

Rule: files are read for each request, in a thread.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Protocol

from cbmon.config.fields import Secret, SecretError, SecretFile
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError
from cbmon.probes.http.options import BasicAuth


class Credentials(Protocol):
    """Options that may hold credentials."""

    @property
    def basic_auth(self) -> BasicAuth | None:
        """A user name and a password."""
        ...

    @property
    def bearer_token(self) -> Secret | None:
        """A token."""
        ...

    @property
    def bearer_token_file(self) -> SecretFile | None:
        """The file of one."""
        ...


async def authorization(options: Credentials) -> str:
    """The value of the Authorization header; ProbeError (``config``) for an unreadable file."""
    basic = options.basic_auth
    value, file = (
        (basic.password, basic.password_file)
        if basic
        else (options.bearer_token, options.bearer_token_file)
    )
    try:
        secret = value if file is None else await asyncio.to_thread(file.read)
    except SecretError as error:
        raise ProbeError(Reason.CONFIG, str(error)) from error
    text = secret.reveal() if secret else ""
    if not basic:
        return f"Bearer {text}"
    return "Basic " + base64.b64encode(f"{basic.username}:{text}".encode()).decode()
