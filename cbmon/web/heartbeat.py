"""What jobs say of themselves: the way in for heartbeats.

Rule: the token in the address is the whole credential, so that a job needs nothing but curl. It is
never logged, and an unknown one is answered like any address where nothing is. An answer of 200
means that it is durable.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from cbmon.web import query as q
from cbmon.web.edge import answer
from cbmon.web.errors import ApiError, not_found
from cbmon.web.keys import SERVICES

SIGNALS: Final = ("start", "fail")
_LONGEST_ID: Final = 100


async def beat(request: web.Request) -> web.Response:
    """A job says that it starts, has succeeded or has failed."""
    parameters = q.parameters(request, ("rid",))
    run_id = parameters.get("rid", "")
    if len(run_id) > _LONGEST_ID or not q.is_one_line(run_id):
        raise ApiError(400, "bad_request", f"rid: expected at most {_LONGEST_ID} letters")
    signal, status = _said(request.match_info.get("signal", "0"))
    known = await request.app[SERVICES].heartbeat(
        request.match_info["token"], signal, status=status, run_id=run_id
    )
    if not known:
        raise not_found("there is nothing at this address")
    return answer({"ok": True, "heard": signal})


def _said(word: str) -> tuple[str, int | None]:
    """What the last part of the address means, and the exit status if it is one."""
    if word in SIGNALS:
        return word, None
    if word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= 255:
        return ("fail" if int(word) else "success"), int(word)
    raise not_found("expected start, fail or an exit status from 0 to 255 after the token")
