"""Everybody can use the pages: by eye, by ear, by keyboard, on a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.browser.shop import ADMIN, OPERATOR, Shop

Visit = Callable[..., Any]
DISABLED = "[data-key='c:legacy-crm'].disabled"
ALL: dict[str, Any] = {}
CONTRAST = {"runOnly": ["color-contrast"]}
PAGES = [
    "/",
    "/components/legacy-crm",
    "/components/legacy-crm/actions/enable",
    "/components/mail/settings",
    "/settings",
    "/incidents",
    "/events",
    "/silences?component=mail",
    "/notifications",
    "/audit",
    "/status",
    "/login",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(still_shop: Shop, visit: Visit, scheme: str) -> None:
    window = visit(still_shop.daemon, color_scheme=scheme, bypass_csp=True)
    window.log_in(ADMIN)
    window.page.wait_for_selector(DISABLED)
    found = {}
    for path in PAGES:
        window.go(path)
        if violations := window.violations(ALL if scheme == "light" else CONTRAST):
            found[path] = violations
    assert found == {}


def test_axe_finds_nothing_serious_in_the_dialog_and_on_a_phone(
    still_shop: Shop, visit: Visit
) -> None:
    window = visit(still_shop.daemon, bypass_csp=True, viewport={"width": 360, "height": 740})
    window.log_in(OPERATOR)
    page = window.page
    page.wait_for_selector(DISABLED)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "nothing is cut off"
    page.click(f"{DISABLED} >> text=Re-enable…")
    page.wait_for_selector("dialog[open]")
    assert window.violations() == []


def test_no_page_is_wider_than_a_phone(still_shop: Shop, visit: Visit) -> None:
    window = visit(still_shop.daemon, viewport={"width": 360, "height": 740})
    window.log_in(ADMIN)
    wide = {}
    for path in PAGES:
        window.go(path)
        width = window.page.evaluate("document.documentElement.scrollWidth")
        if width > 360:
            wide[path] = width
    assert wide == {}
