"""OAuth 2.0's client credentials grant (RFC 6749, 4.4).

Rule: a token is fetched for each probe and forgotten with it; the time counts for the probe.
"""

from __future__ import annotations

import json
from urllib.parse import quote_plus, urlencode

from cbmon.blackbox.asking import Ask
from cbmon.blackbox.client import OAuth2
from cbmon.blackbox.credentials import basic, secret_text
from cbmon.blackbox.hops import Trip
from cbmon.blackbox.look import Look
from cbmon.blackbox.modules import HttpModule
from cbmon.blackbox.places import parse
from cbmon.blackbox.reading import Body, Shelf, receive
from cbmon.model import Reason
from cbmon.probes.failure import ProbeError, shown

LARGEST: int = 1024 * 1024


async def bearer(look: Look, options: HttpModule) -> str:
    """The Authorization header; ProbeError (``auth``) when no token is to be had."""
    grant = options.oauth2
    assert grant is not None  # noqa: S101
    secret = await secret_text(grant.client_secret, grant.client_secret_file)
    status, text = await _asked(look, grant, options, secret)
    try:
        found = json.loads(text)
        token, kind = found["access_token"], found.get("token_type") or "Bearer"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"no token from {shown(grant.token_url)}: status {status}"
        raise ProbeError(Reason.AUTH, what) from error
    return f"{'Bearer' if str(kind).lower() == 'bearer' else kind} {token}"


async def _asked(look: Look, grant: OAuth2, options: HttpModule, secret: str) -> tuple[int, bytes]:
    fields = {"grant_type": "client_credentials", **grant.endpoint_params}
    if grant.scopes:
        fields["scope"] = " ".join(grant.scopes)
    place = parse(grant.token_url)
    ask = Ask(
        method="POST",
        place=place,
        host=place.netloc,
        headers={
            "Authorization": basic(quote_plus(grant.client_id), quote_plus(secret)),
            "Content-Type": "application/x-www-form-urlencoded",
        },
        body=urlencode(fields).encode(),
    )
    client = HttpModule(
        tls_config=grant.tls_config,
        preferred_ip_protocol=options.preferred_ip_protocol,
        **{name: getattr(grant, name) for name in ("proxy_url", "no_proxy")},
    )
    name = grant.tls_config.server_name or place.host
    answer = await Trip(look, client, place, name).make(ask)
    body = Body("", LARGEST, look.environment.shared(Shelf))
    try:
        async with look.deadline():
            await receive(answer.exchange, body)
        return answer.head.status, bytes(body.content)
    finally:
        body.end()
        answer.transport.abort()
