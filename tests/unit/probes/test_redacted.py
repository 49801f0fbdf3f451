"""Rule: no URL that is shown holds a credential."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbmon.probes.http.redacted import is_credential, redacted


@pytest.mark.parametrize(
    ("expected", "url"),
    [
        ("http://a.test/b", "http://user:password@a.test/b#fragment"),
        ("http://a.test/?q=1&token=<secret>", "http://a.test/?q=1&token=abc"),
        ("http://a.test/?api_key=<secret>&page=2", "http://a.test/?api_key=abc&page=2"),
        ("http://a.test/?X-Amz-Signature=<secret>", "http://a.test/?X-Amz-Signature=abc"),
        ("http://a.test/?monkey=1", "http://a.test/?monkey=1"),
        ("http://a.test/?flag", "http://a.test/?flag"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("(an unreadable URL)", "http://[::bad/"),
    ],
)
def test_a_url_is_shown_without_its_credentials(expected: str, url: str) -> None:
    assert expected == redacted(url)


def test_a_url_with_nothing_to_hide_is_no_second_text() -> None:
    url = "http://a.test/b?q=1"
    assert redacted(url) is url


def test_a_long_url_is_cut() -> None:
    assert len(redacted("http://a.test/" + "x" * 10_000)) == 501


@given(st.text(max_size=60))
def test_any_text_can_be_shown(text: str) -> None:
    assert isinstance(redacted(text), str)


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        (True, "Authorization"),
        (True, "X-Api-Key"),
        (True, "Cookie"),
        (True, "X-Vault-Token"),
        (False, "Accept"),
        (False, "User-Agent"),
        (False, "Content-Type"),
        (False, "X-Request-Id"),
    ],
)
def test_names_of_credentials_are_recognised(expected: bool, name: str) -> None:
    assert is_credential(name) is expected
