"""The addresses of the pages and of their forms: a part of the table in :mod:`cbmon.web.routes`."""

from __future__ import annotations

from typing import Final

from cbmon.web import confirm, ledgers, pages, settings_page, silences_page, statuspage
from cbmon.web.auth import Role
from cbmon.web.route import Handler, Route

HTML: Final = "text/html"


def _page(path: str, handler: Handler, summary: str) -> Route:
    return Route(path=path, handler=handler, media=HTML, summary=summary, errors=(400, 404))


def _form(path: str, handler: Handler, summary: str, role: Role = Role.OPERATOR) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        role=role,
        media=HTML,
        status=303,
        form=True,
        summary=summary,
        errors=(400, 404, 409, 415, 422),
    )


PAGES: Final = (
    _page("/", pages.status, "The overview: everything, what is wrong first"),
    _page("/components/{name}", pages.detail, "The page of one check or export"),
    _page("/components/{name}/actions/{operation}", confirm.ask, "The question before an action"),
    _form("/components/{name}/actions/{operation}", confirm.act, "Its form: act, or check now"),
    _page("/components/{name}/settings", settings_page.edit, "The settings of one breaker"),
    _form(
        "/components/{name}/settings",
        settings_page.save,
        "Its form: judge, save or reset them",
        Role.ADMIN,
    ),
    _page("/settings", settings_page.edit_defaults, "The default settings, and what differs"),
    _form(
        "/settings", settings_page.save_defaults, "Its form: judge, save or reset them", Role.ADMIN
    ),
    _page("/events", ledgers.events, "What happened, to one component or to all"),
    _page("/incidents", ledgers.incidents, "Outages that go on, and those that are over"),
    _page("/silences", silences_page.silences, "Silences, and a form for another one"),
    _form("/silences", silences_page.add, "Its form: hold back messages for a while"),
    _form("/silences/expire", silences_page.expire, "End a silence now"),
    _page("/notifications", ledgers.notifications, "Messages, and those that did not arrive"),
    _form("/notifications/retry", ledgers.retry, "Send a dead letter again"),
    Route(
        path="/status",
        handler=statuspage.public_page,
        role=Role.NOBODY,
        media=HTML,
        summary="The public status page, if `web.status_page` switches it on",
        errors=(404,),
    ),
    Route(
        path="/badges/{name}.svg",
        handler=statuspage.public_badge,
        role=Role.NOBODY,
        media="image/svg+xml",
        summary="A badge of one of its checks: state, or uptime over a time",
        errors=(400, 404),
        query=("show", "over", "label"),
    ),
    _page("/audit", ledgers.audit, "Who did what, and who was refused what"),
)
