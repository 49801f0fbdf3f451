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


async def test_the_sources_of_targets_are_told_with_what_was_left_out(web: Any) -> None:
    reply = await web.get("/api/v1/discovery")
    assert reply.status == 200
    (source,) = reply.json["discovery"]
    assert source["last_success_at"] == "2023-11-14T22:13:20.000Z"
    assert source["rejected"] == [{"address": "x", "problem": "no port"}]
