"""`/sd` answers as Prometheus' http_sd demands."""

from __future__ import annotations

import re
from typing import Any

from cbmon.model import Category

CONTENT_TYPE = re.compile(r"application/json(;\s*charset=utf-8)?", re.IGNORECASE)


async def test_it_lists_the_checks_and_no_exports(daemon: Any, web: Any) -> None:
    daemon.add("zebra", target="https://zebra/", tags=("eu",))
    daemon.add("aardvark", target="aardvark:80", kind="tcp")
    daemon.add("other", category=Category.EXPORT, target="http://gw/")
    reply = await web.get("/sd")
    assert reply.status == 200
    assert CONTENT_TYPE.fullmatch(reply.headers["Content-Type"])
    groups = {group["labels"]["__meta_cbmon_check"]: group for group in reply.json}
    assert list(groups) == sorted(groups)
    assert groups["aardvark"]["targets"] == ["aardvark:80"]
    assert groups["zebra"]["labels"]["__meta_cbmon_tags"] == ",eu,"
    assert "other" not in groups
