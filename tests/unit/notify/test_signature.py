"""Signatures that the Standard Webhooks' own library accepts."""

from __future__ import annotations

import base64
import datetime as dt
import os
import time

import pytest

from cbmon.errors import ConfigurationError
from cbmon.notify.receivers.signature import keys_of, signature_headers

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = base64.b64encode(b"o" * 24).decode()


def test_the_header_of_a_known_message_is_this() -> None:
    # From the specification's own example of key, id, time and body.
    keys = keys_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.9, b'{"test": 2432232314}', keys
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_each_key_in_force_verifies(key: str) -> None:
    try:
        from standardwebhooks.webhooks import Webhook
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail("standardwebhooks is not installed")
        pytest.skip("standardwebhooks is not installed")
    body = b'{"a":"\xc3\xa4"}'
    headers = signature_headers("msg_1", time.time(), body, keys_of(f"{KEY}\n{OTHER}"))
    assert Webhook(key).verify(body, headers) == {"a": "ä"}


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "is empty"),
        ("hunter2!", "is not base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "has 5 bytes, expected 24 to 64"),
        (f"{KEY} hunter2!", "is not base64"),
    ],
)
def test_a_secret_that_cannot_sign_is_refused_without_showing_it(secret: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        keys_of(secret)
    assert "hunter2" not in str(caught.value)


def test_the_time_is_whole_seconds_of_unix_time() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()
    assert signature_headers("m", moment + 0.9, b"", [b"k" * 32])["webhook-timestamp"] == (
        "1767225600"
    )
