"""Every address of the daemon in one table: what answers, who may ask, what it says.

Rule: the router, the roles, the OpenAPI document and the table in docs/api.md come from here or
are compared with it.
"""

from __future__ import annotations

from typing import Final

from cbmon.web import (
    actions,
    api,
    discovery,
    heartbeat,
    notifications,
    openapi,
    pages,
    probing,
    runbooks,
    scrape,
)
from cbmon.web.auth import Role
from cbmon.web.route import API, Route
from cbmon.web.services import Operation


def _act(operation: Operation, summary: str) -> Route:
    return Route(
        method="POST",
        path=f"{API}/breakers/{{name}}/{operation}",
        handler=actions.action(operation),
        role=Role.OPERATOR,
        summary=summary,
        answer="Breaker",
        errors=(400, 404, 409),
        body=actions.FIELDS[operation],
    )


def _beat(method: str, ending: str, summary: str) -> Route:
    return Route(
        method=method,
        path=f"{API}/heartbeat/{{token}}{ending}",
        handler=heartbeat.beat,
        role=Role.NOBODY,
        summary=summary,
        answer="Heartbeat",
        errors=(400, 404, 503),
        query=("rid",),
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(path="/", handler=pages.status, summary="The status page"),
    Route(
        path="/fragments/status",
        handler=pages.status_fragment,
        summary="The changing part of the status page",
    ),
    Route(
        path="/components/{name}",
        handler=pages.detail,
        summary="The page of one check or export",
        errors=(404,),
    ),
    Route(
        path="/fragments/components/{name}",
        handler=pages.detail_fragment,
        summary="The changing part of that page",
        errors=(404,),
    ),
    Route(path="/runbooks", handler=runbooks.index, role=Role.NOBODY, summary="All runbooks"),
    Route(
        path="/runbooks/{alert}",
        handler=runbooks.page,
        role=Role.NOBODY,
        summary="What to do about an alert",
        errors=(404,),
    ),
    Route(path="/metrics", handler=scrape.metrics, summary="Every metric, for Prometheus"),
    Route(path="/sd", handler=discovery.targets, summary="The checks' targets, for http_sd"),
    Route(
        path="/probe",
        handler=probing.probe,
        acts=True,
        summary="Look at a target once, as blackbox_exporter does; its metrics",
        errors=(400, 403, 500),
        query=("target", "module", "hostname", "debug"),
    ),
    Route(
        path="/config",
        handler=probing.configuration,
        summary="The modules of /probe, as YAML without secrets",
        errors=(403,),
    ),
    Route(
        path="/logs",
        handler=probing.logs,
        summary="What debug=true would have shown of an earlier probe",
        errors=(400, 403, 404),
        query=("id", "target", "module"),
    ),
    Route(
        path="/-/healthy",
        handler=scrape.healthy,
        role=Role.NOBODY,
        summary="The process answers",
    ),
    Route(
        path="/-/ready",
        handler=scrape.ready,
        summary="200 when the daemon can be used, 503 with the reasons when not",
        answer="Ready",
        errors=(503,),
    ),
    Route(
        method="POST",
        path="/-/reload",
        handler=scrape.reload,
        role=Role.ADMIN,
        local=True,
        summary="Read the configuration again; 500 with every problem if it cannot be used",
        answer="Reload",
        errors=(500,),
    ),
    Route(
        path=f"{API}/summary",
        handler=api.summary,
        summary="How it all is",
        answer="Summary",
        errors=(400,),
    ),
    Route(
        path=f"{API}/breakers",
        handler=api.breakers,
        summary="Breakers by name",
        answer="Breakers",
        errors=(400,),
        query=("state", "category", "tag", "q", "limit", "cursor"),
    ),
    Route(
        path=f"{API}/breakers/{{name}}",
        handler=api.breaker,
        summary="One breaker",
        answer="Breaker",
        errors=(400, 404),
    ),
    Route(
        path=f"{API}/breakers/{{name}}/available",
        handler=api.available,
        summary="200 when a call would be admitted, 503 when not",
        answer="Available",
        errors=(400, 404),
    ),
    _act(Operation.RESET, "Close it and forget its counts and cycles"),
    _act(Operation.OPEN, "Open it: for its recovery timeout, for_seconds, or until released"),
    _act(Operation.CLOSE, "Close it, or hold it closed until released"),
    _act(Operation.OBSERVE, "Admit and record everything, never trip"),
    _act(Operation.DISABLE, "Take it out of service until it is enabled"),
    _act(Operation.ENABLE, "Take it into service again, with or without its old counts"),
    Route(
        method="POST",
        path=f"{API}/breakers/{{name}}/check",
        handler=actions.check_now,
        role=Role.OPERATOR,
        summary="Run its check or export now, behind the breaker",
        answer="Run",
        errors=(400, 404),
        body={"reason": str},
    ),
    Route(
        path=f"{API}/checks",
        handler=api.checks,
        summary="Checks by name, with what their last run found",
        answer="Checks",
        errors=(400,),
        query=("tag", "q", "limit", "cursor"),
    ),
    Route(
        path=f"{API}/checks/{{name}}",
        handler=api.check,
        summary="One check",
        answer="Check",
        errors=(400, 404),
    ),
    Route(
        method="POST",
        path=f"{API}/checks/{{name}}/run",
        handler=actions.run_check,
        role=Role.OPERATOR,
        summary="Run a check now, behind its breaker",
        answer="Run",
        errors=(400, 404),
        body={"reason": str},
    ),
    _beat("POST", "", "A job says that it has succeeded"),
    _beat("GET", "", "The same, for those that cannot POST"),
    _beat("POST", "/{signal}", "A job says `start`, `fail` or its exit status"),
    _beat("GET", "/{signal}", "The same, for those that cannot POST"),
    Route(
        path=f"{API}/events",
        handler=api.events,
        summary="Transitions, newest first",
        answer="Events",
        errors=(400,),
        query=("component", "limit", "cursor"),
    ),
    Route(
        path=f"{API}/notifications",
        handler=notifications.notifications,
        summary="Messages of the outbox, newest first",
        answer="Notifications",
        errors=(400,),
        query=("receiver", "outcome", "limit", "cursor"),
    ),
    Route(
        method="POST",
        path=f"{API}/notifications/test",
        handler=notifications.test,
        role=Role.OPERATOR,
        summary="Send a test message to a receiver, or only show it",
        answer="Tested",
        errors=(400, 404),
        body=notifications.TEST,
    ),
    Route(
        method="POST",
        path=f"{API}/notifications/{{name}}/retry",
        handler=notifications.retry,
        role=Role.OPERATOR,
        summary="Send a dead letter again, with what was dropped behind it",
        answer="Retried",
        errors=(400, 404),
        body={"reason": str},
    ),
    Route(
        path=f"{API}/silences",
        handler=notifications.silences,
        summary="Silences, newest first",
        answer="Silences",
        errors=(400,),
        query=("expired",),
    ),
    Route(
        method="POST",
        path=f"{API}/silences",
        handler=notifications.add_silence,
        role=Role.OPERATOR,
        summary="Hold back messages for a while",
        answer="Silence",
        errors=(400,),
        body=notifications.SILENCE,
    ),
    Route(
        method="DELETE",
        path=f"{API}/silences/{{name}}",
        handler=notifications.expire_silence,
        role=Role.OPERATOR,
        summary="End a silence now; what is still news is told",
        answer="Silence",
        errors=(404,),
    ),
    Route(path=f"{API}/openapi.json", handler=openapi.openapi, summary="This API, described"),
)
