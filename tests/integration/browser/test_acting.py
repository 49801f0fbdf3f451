"""What people do on the pages, in a browser: each with the keyboard or the mouse, to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.integration.browser.shop import ADMIN, OPERATOR, Shop
from tests.integration.harness import eventually

Visit = Callable[..., Any]
DISABLED = "[data-key='c:legacy-crm'].disabled"


def test_a_disabled_check_is_enabled_through_the_dialog(shop: Shop, visit: Visit) -> None:
    window = visit(shop.daemon)
    window.log_in(OPERATOR)
    page = window.page
    page.wait_for_selector(DISABLED)
    shop.down.clear()
    page.click(f"{DISABLED} >> text=Re-enable…")
    dialog = page.locator("dialog[open]")
    said = dialog.inner_text()
    assert "Re-enable legacy-crm?" in said
    assert "got status 503" in said, "the question shows the reason"
    assert dialog.locator("[name=reset_counters][value=yes]").is_checked()
    assert dialog.locator("[name=reset_counters][value=no]").is_visible()
    dialog.locator("[name=reason]").fill("the supplier has mended it")
    dialog.get_by_role("button", name="Re-enable").click()
    page.wait_for_selector("[data-key='c:legacy-crm'].closed")
    assert page.locator("dialog[open]").count() == 0
    assert page.url == shop.daemon.url + "/", "without leaving the page"
    told = page.inner_text("#said")
    assert "Enabled" in told or "legacy-crm closed" in told, "the order, or already its effect"
    rows = shop.daemon.live_rows("select actor, text from audit where action = 'enable'")
    assert rows == [{"actor": "otto", "text": "the supplier has mended it"}]


def test_the_dialog_is_kept_to_by_keyboard_alone(shop: Shop, visit: Visit) -> None:
    window = visit(shop.daemon)
    window.log_in(OPERATOR, "/components/mail")
    page = window.page
    page.focus("text=Disable…")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.name") == "reason"
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    assert "Disable" in page.evaluate("document.activeElement.textContent"), "focus comes back"
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    page.keyboard.type("maintenance")
    page.keyboard.press("Enter")
    page.wait_for_selector(".one.disabled")
    assert shop.daemon.breaker("mail")["state"] == "disabled"


def test_a_wrong_time_is_told_in_the_dialog(shop: Shop, visit: Visit) -> None:
    window = visit(shop.daemon, calm=False)  # the browser notes the 422 on its console
    window.log_in(OPERATOR, "/components/mail")
    page = window.page
    page.click("text=Open for…")
    page.check("[name=how][value=for]")
    page.fill("#for", "soon")
    page.click("dialog button.stop")
    page.wait_for_selector("#for-wrong")
    assert "expected a duration" in page.inner_text("#for-wrong")
    assert page.evaluate("document.activeElement.id") == "for"
    page.fill("#for", "10m")
    page.click("dialog button.stop")
    page.wait_for_selector(".one.open")
    assert 590 < shop.daemon.breaker("mail")["retry_after_seconds"] <= 600


def test_a_threshold_is_edited_first_wrong_then_right(shop: Shop, visit: Visit) -> None:
    window = visit(shop.daemon, calm=False)
    window.log_in(ADMIN, "/components/mail/settings")
    page = window.page
    page.fill("[name=failure_threshold]", "0")
    wrong = page.locator("[data-wrong=failure_threshold]")
    eventually(lambda: "expected" in wrong.inner_text(), "the daemon to judge what is typed")
    assert page.get_attribute("[name=failure_threshold]", "aria-invalid") == "true"
    page.click("text=Save")
    page.wait_for_selector("[data-wrong=failure_threshold]:not(:empty)")
    assert shop.daemon.breaker("mail")["policy"]["failure_threshold"] == 5
    page.fill("[name=failure_threshold]", "3")
    eventually(lambda: not wrong.inner_text(), "the refusal to go")
    page.fill("#reason", "too many false alarms")
    page.click("text=Save")
    page.wait_for_url("**/components/mail?done=settings")
    assert "Settings are in force" in page.inner_text("#done")
    assert shop.daemon.breaker("mail")["policy"]["failure_threshold"] == 3
    assert "override" in page.inner_text("[data-key=settings]")


def test_a_silence_is_made_from_the_page_of_a_check(shop: Shop, visit: Visit) -> None:
    window = visit(shop.daemon)
    window.log_in(OPERATOR, "/components/shop-api")
    page = window.page
    page.click("text=Silence…")
    assert "covers 1: shop-api" in page.inner_text("#covers")
    page.fill("[name=matchers]", 'group="shop"')
    covers = page.locator("#covers")
    eventually(lambda: "covers 3" in covers.inner_text(), "the daemon to say whom it covers")
    page.fill("[name=for]", "30m")
    page.fill("[name=reason]", "deploy 1.4")
    page.click("button.go")
    page.wait_for_selector("text=Silenced.")
    assert "deploy 1.4" in page.inner_text("#live")
    page.click("text=End now")
    page.wait_for_selector("text=Nothing is silenced")
