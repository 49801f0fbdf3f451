"""A test message: sent to one integration while a person waits, or only rendered.

Rule: past the outbox and the breakers, under the receiver's own deadline; nothing is kept of it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cbmon.config.fields import Options
from cbmon.events import new_id
from cbmon.model import Category, Delivery, Message, Reason, Verdict
from cbmon.notify.groups import Group, Member, Status
from cbmon.notify.messages import Site, entry_of, message_of
from cbmon.notify.receivers import receiver_type
from cbmon.notify.receivers.kind import ReceiverEnvironment
from cbmon.notify.routing import line_name


async def trial(
    receiver: str,
    kind: str,
    options: Options,
    environment: ReceiverEnvironment,
    site: Site,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    """How a test message fared at one integration, as the API shows it."""
    found = receiver_type(kind)
    line = line_name(receiver, kind)
    message = sample(line, site, environment.clock.time())
    shown: dict[str, Any] = {"line": line, "reason": None, "error": None, "rendered": None}
    if dry_run:
        rendered = found.render(options, message) if found.render is not None else None
        return {**shown, "outcome": "rendered", "rendered": rendered}
    made = found.build(options, environment)
    try:
        async with asyncio.timeout(found.timeout(options)):
            delivery = await made.deliver(message)
    except TimeoutError:
        error = "no answer in time"
        delivery = Delivery(verdict=Verdict.TEMPORARY, reason=Reason.TIMEOUT, error=error)
    finally:
        await made.close()
    reason = None if delivery.reason is None else str(delivery.reason)
    return {**shown, "outcome": str(delivery.verdict), "reason": reason, "error": delivery.error}


def sample(line: str, site: Site, now: float) -> Message:
    """A message that looks like a real one and says that it is none."""
    name = new_id(now)
    facts = {
        "component": "cbmon-test",
        "category": str(Category.CHECK),
        "group": "",
        "target": "",
        "type": "test",
        "labels": dict(site.labels),
        "tags": [],
        "depends_on": [],
    }
    move = {
        "state": "open",
        "from_state": "closed",
        "cause": "test",
        "text": "this is a test message; nothing is wrong",
        "actor": None,
        "at": now,
        "retry_after": None,
        "failure_count": 0,
        "cycles": 0,
        "trials": 0,
        "reason": None,
        "last_error": None,
    }
    member = Member(
        key=name,
        component="cbmon-test",
        incident=name,
        status=Status.OPEN,
        since=now,
        started_at=now,
        facts=facts,
        move=move,
    )
    group = Group(id="test", line=line, route="{}")
    return message_of(group, [entry_of(member, "opened", line, site)], name, now)
