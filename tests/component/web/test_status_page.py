"""The public status page: off until it is switched on, and nothing of the inside on it."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cbmon.config.statuspage import StatusPageSection
from cbmon.model import Reason, Result
from cbmon.web.statuspage import LINES

HOUR = 3600.0


@pytest.fixture
def public(daemon: Any) -> Any:
    daemon.status_page = StatusPageSection(enabled=True, title="Shop status")
    daemon.add("checkout", target="https://inside.example/secret", group="shop", tags=("pci",))
    daemon.add("printer", target="10.0.0.1:22", group="office", labels={"team": "blue"})
    return daemon


def outage(daemon: Any, component: str, began: float, ended: float | None) -> None:
    now = daemon.clock.time()
    daemon.outages.append(
        {
            "id": f"{len(daemon.outages):04}",
            "component": component,
            "started_at": now - began,
            "ended_at": None if ended is None else now - ended,
            "last_error": "inner error",
        }
    )


async def test_it_is_off_until_it_is_switched_on(web: Any, guarded: Any) -> None:
    for path in ("/status", "/badges/api.svg"):
        assert (await web.get(path)).status == 404
        assert (await guarded.get(path)).status == 404


async def test_everybody_may_read_it_though_everything_else_needs_a_login(
    guarded: Any, public: Any
) -> None:
    reply = await guarded.get("/status")
    assert reply.status == 200
    assert "Shop status" in reply.text
    assert "All systems are operational" in reply.text
    assert reply.headers["Cache-Control"] == "public, max-age=15"


async def test_it_shows_names_and_states_and_nothing_of_the_inside(
    guarded: Any, public: Any
) -> None:
    bad = Result(ok=False, duration=0.1, reason=Reason.TLS, error="inner error")
    for _ in range(5):
        public.ran("checkout", bad)
    public.component("printer").breaker.disable(actor="otto", reason="inner reason")
    outage(public, "checkout", 2 * HOUR, None)
    text = (await guarded.get("/status")).text
    assert "Some systems are down" in text
    assert "checkout" in text
    assert "Out of service" in text
    assert "going on for" in text
    for inside in ("inside.example", "secret", "10.0.0.1", "inner", "otto", "pci", "blue", "tls"):
        assert inside not in text
    assert "flaky" not in text  # it has no group
    assert text.count("<script") == 1


async def test_only_the_groups_that_are_named_are_public(guarded: Any, public: Any) -> None:
    public.status_page = StatusPageSection(enabled=True, groups=("shop",))
    text = (await guarded.get("/status")).text
    assert "checkout" in text
    assert "printer" not in text
    assert (await guarded.get("/badges/checkout.svg")).status == 200
    assert (await guarded.get("/badges/printer.svg")).status == 404
    assert (await guarded.get("/badges/flaky.svg")).status == 404


async def test_a_badge_says_the_state_or_the_uptime(guarded: Any, public: Any) -> None:
    now = public.clock.time()
    for hour in range(1, 24):
        bad = 6 <= hour < 12
        public.results.tell("checkout", now - hour * HOUR, up=0 if bad else 3600, down=3600 * bad)
    public.results.tell("checkout", now - 3 * 24 * HOUR, up=25 * HOUR)
    wanted = {
        "": "checkout: operational",
        "?label=Checkout": "Checkout: operational",
        "?show=uptime&over=24h": "uptime 24h: 73.9 %",
        "?show=uptime&over=7d": "uptime 7d: 87.5 %",
    }
    for query, said in wanted.items():
        reply = await guarded.get(f"/badges/checkout.svg{query}")
        assert reply.headers["Content-Type"].startswith("image/svg+xml")
        assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert ET.fromstring(reply.text).get("aria-label") == said
    assert (await guarded.get("/badges/checkout.svg?show=secrets")).status == 400


async def test_without_its_store_the_page_still_says_the_states(guarded: Any, public: Any) -> None:
    public.store_broken = public.results.broken = True
    reply = await guarded.get("/status")
    assert reply.status == 200
    assert "The history is not readable now" in reply.text


async def test_the_store_is_asked_once_for_all_who_look(guarded: Any, public: Any) -> None:
    asked = []
    ask = public.incidents

    async def counting(**options: Any) -> Any:
        asked.append(options)
        return await ask(**options)

    public.incidents = counting
    for _ in range(5):
        await guarded.get("/status")
        await guarded.get("/badges/checkout.svg?show=uptime")
    assert len(asked) == 1
    assert public.results.asked == 3 + 1, "the days of each, and one badge"


async def test_a_day_in_which_the_daemon_was_off_is_not_known_and_not_up(
    guarded: Any, public: Any
) -> None:
    now = public.clock.time()
    public.results.tell("checkout", now - 24 * HOUR, up=1800, down=1800)
    text = (await guarded.get("/status")).text
    bars = text[text.index("checkout") : text.index("</article>", text.index("checkout"))]
    assert bars.count('class="unknown"') == 29
    assert bars.count('class="down"') == 1
    assert "50 % up, down 30 min, known for 1 h" in bars
    assert "<span>50 % up</span>" in bars


async def test_many_who_look_cost_one_page_and_many_checks_do_not_make_it_endless(
    guarded: Any, public: Any
) -> None:
    for number in range(LINES + 5):
        public.add(f"shop-{number:04}", group="shop")
    public.component("shop-0304").breaker.open()
    text = (await guarded.get("/status")).text
    assert text.count("<article") == LINES
    assert "and 8 more" in text
    assert "Some systems are down" in text, "the verdict is of all"
    public.component("shop-0304").breaker.close()
    assert (await guarded.get("/status")).text == text
