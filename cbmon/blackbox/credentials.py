"""What a module's credentials become: headers, with files read at each probe.

Rule: a file that cannot be read fails the probe and names itself; nothing here is shown.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, Final

from cbmon.blackbox.client import Authorization, BasicAuth, ClientOptions
from cbmon.config.fields import Secret
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, words

LARGEST: Final = 1024 * 1024


async def headers_of(options: ClientOptions) -> dict[str, str]:
    """The headers that carry credentials, and those of ``http_headers``."""
    headers: dict[str, str] = {}
    if options.basic_auth is not None:
        headers["Authorization"] = await _basic(options.basic_auth)
    authorization = options.authorized_by
    if authorization is not None:
        headers["Authorization"] = await _authorization(authorization)
    for name, source in options.http_headers.items():
        values = [*source.values, *(one.reveal() for one in source.secrets)]
        values += [await secret_text(None, file) for file in source.files]
        if values:
            headers[name] = values[-1]
    return headers


def basic(username: str, password: str) -> str:
    """The value of an Authorization header for basic authentication."""
    pair = f"{username}:{password}".encode(errors="surrogateescape")
    return "Basic " + base64.b64encode(pair).decode()


async def secret_text(value: Secret | None, file: Path | None) -> str:
    """A secret of a module: the value, or what the file holds without blanks around it."""
    if file is None:
        return value.reveal() if value else ""
    data = await asyncio.to_thread(read_bytes, file)
    return data.decode(errors="surrogateescape").strip()


def read_bytes(file: Path) -> bytes:
    """What a file holds, up to 1 MiB; ProbeError (``config``) names it when that fails."""
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise ProbeError(Reason.CONFIG, f"cannot read {file}: {words(error)}") from error
    if len(data) > LARGEST:
        raise ProbeError(Reason.CONFIG, f"{file} is larger than {LARGEST} bytes")
    return data


async def _basic(options: BasicAuth) -> str:
    username: Any = options.username
    if options.username_file is not None:
        username = await secret_text(None, options.username_file)
    return basic(username, await secret_text(options.password, options.password_file))


async def _authorization(options: Authorization) -> str:
    text = await secret_text(options.credentials, options.credentials_file)
    return f"{options.type.strip() or 'Bearer'} {text}"
