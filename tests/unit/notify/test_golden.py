"""What every kind of receiver sends, to the letter: an outage, its end, and three at once.

Rule: the files in ``golden`` are read by people when they change; WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from cbmon.notify.receivers import RECEIVERS, receiver_type
from tests.unit.notify.pictures import picture
from tests.unit.notify.samples import digest, message, recovery

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
GOLDEN = Path(__file__).with_name("golden")
PICTURES = Path(__file__).parents[3] / "docs" / "receivers" / "pictures"
PAGES = {"dashboard_url": "https://grafana.example.net/d/cbmon?var-component={component}"}
TOLD = {
    "outage": message(dependants=["shop-web", "shop-mail"], **PAGES),
    "end": recovery(**PAGES),
    "three": digest(3),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "alertmanager": {"urls": ["http://127.0.0.1:9093"]},
    "apprise": {"url": "json://127.0.0.1/"},
    "discord": {"webhook_url": "https://discord.com/api/webhooks/1/x"},
    "email": {"to": ["ops@example.net"], "from": "cbmon@example.net"},
    "ntfy": {"topic": "cbmon"},
    "pagerduty": {"routing_key": "x"},
    "slack": {"webhook_url": "https://hooks.slack.com/services/x"},
    "teams": {"webhook_url": "https://x.logic.azure.com/x"},
    "telegram": {"token": "1:x", "chat_id": -100},
    "webhook": {"url": "https://hooks.example.net/cbmon"},
}


def rendered(kind: str, name: str) -> str:
    if kind == "apprise":
        pytest.importorskip("apprise")
    found = receiver_type(kind)
    assert found.render is not None
    text = found.render(found.options.model_validate(OPTIONS[kind]), TOLD[name])
    # What separates the parts of a mail is drawn at random.
    return re.sub(r"={15}\d+==", "=====", text).replace("\r\n", "\n").rstrip("\n") + "\n"


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("kind", RECEIVERS)
def test_a_message_looks_like_this(kind: str, name: str) -> None:
    file = GOLDEN / f"{kind}-{name}.txt"
    text = rendered(kind, name)
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize("kind", RECEIVERS)
def test_the_picture_in_the_documents_shows_what_is_sent(kind: str) -> None:
    file = PICTURES / f"{kind}.svg"
    drawn = picture(kind, rendered(kind, "outage"))
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(drawn)
    assert file.read_text() == drawn
    assert f"pictures/{kind}.svg" in (PICTURES.parent / f"{kind}.md").read_text()
