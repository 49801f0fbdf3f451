"""Signatures of the Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks

Rule: HMAC-SHA256 over ``id.timestamp.body`` with each key that is in force; several keys make
several signatures in one header, so that a key can be exchanged without a gap.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from cbmon.errors import ConfigurationError

PREFIX: Final = "whsec_"
SHORTEST_KEY: Final = 24
LONGEST_KEY: Final = 64


def keys_of(secret: str) -> list[bytes]:
    """The keys in a secret: ``whsec_`` and base64, several separated by blanks or line breaks.

    ConfigurationError says what is wrong, without the secret.
    """
    keys = [_key(word) for word in secret.split()]
    if not keys:
        raise ConfigurationError("the webhook secret is empty")
    return keys


def signature_headers(message_id: str, at: float, body: bytes, keys: list[bytes]) -> dict[str, str]:
    """The three headers of a signed message sent at Unix time ``at``."""
    timestamp = str(int(at))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    marks = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


def _key(word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(
            f"the webhook secret is not base64; expected {PREFIX} and 32 random bytes in base64, "
            f"such as from: echo {PREFIX}$(openssl rand -base64 32)"
        ) from None
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ConfigurationError(
            f"the webhook secret has {len(key)} bytes, expected {SHORTEST_KEY} to {LONGEST_KEY}"
        )
    return key
