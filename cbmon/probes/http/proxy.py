"""Proxies: a tunnel for https, requests with the whole URL for http.

Rule: the address policy judges the proxy's address, and a target's that is written as one; names
of targets are resolved by the proxy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from yarl import URL

from cbmon.interfaces import Attempt
from cbmon.model import Reason
from cbmon.probes.addresses import literal
from cbmon.probes.conversation import Conversation
from cbmon.probes.dial import Link, ProtocolT, Route, Tls
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, shown

_STATUS: Final = re.compile(rb"HTTP/1[.][01] ([0-9]{3})(?: .*)?")
_LINES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Where the proxy is, and what it is told of who asks."""

    url: URL
    route: Route
    authorization: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What a request through it needs besides its own headers."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}


def check_target(environment: ProbeEnvironment, host: str) -> None:
    """ProbeError (``policy``) for a target that is written as an address that is out of bounds."""
    if literal(host) is not None:
        environment.policy.check(host)


async def tunnel(
    attempt: Attempt,
    environment: ProbeEnvironment,
    proxy: Proxy,
    *,
    target: Route,
    protocol: ProtocolT,
    tls: Tls,
) -> Link[ProtocolT]:
    """TLS with the target, through the proxy; its transport must be aborted."""
    conversation = Conversation(attempt)
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = f"{host}:{target.port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
    try:
        await conversation.begin(environment, proxy.route)
        await conversation.say("\r\n".join([*lines, "", ""]).encode())
        await _granted(conversation)
        return await conversation.hand_over(environment, protocol, tls)
    except BaseException:
        conversation.end()
        raise


async def _granted(conversation: Conversation) -> None:
    first = await conversation.line()
    match = _STATUS.fullmatch(first)
    if match is None:
        text = f"the proxy {conversation.where} does not speak HTTP: {shown(first)}"
        raise ProbeError(Reason.PROTOCOL, text)
    for _ in range(_LINES):
        if not await conversation.line():
            break
    else:
        raise ProbeError(Reason.PROTOCOL, f"the proxy {conversation.where} never ends its headers")
    status = int(match[1])
    if not 200 <= status < 300:
        reason = Reason.AUTH if status == 407 else Reason.CONNECT
        text = f"the proxy {conversation.where} opens no tunnel: {shown(first)}"
        raise ProbeError(reason, text)
