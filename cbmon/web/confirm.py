"""Acting on a breaker from the page: which moves are offered, asked back, and carried out.

Rule: nothing happens on a click. The question says what is going to happen, why the breaker is as
it is, and takes the choices and a reason; it is a page of its own, which scripts show as a dialog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from cbmon.breaker import InvalidTransitionError, State
from cbmon.config.units import parse_duration
from cbmon.model import Category, Result
from cbmon.settings.sheet import Author
from cbmon.web import api
from cbmon.web.errors import not_found
from cbmon.web.forms import FieldError, line, read_form
from cbmon.web.keys import SERVICES
from cbmon.web.rendering import page
from cbmon.web.requests import author_of
from cbmon.web.services import ComponentView, Operation, Order
from cbmon.web.viewer import viewer

CHECK: Final = "check"
LONGEST: Final = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked before an action. ``what`` says what will happen; ``{name}`` is filled in."""

    title: str
    what: str
    button: str
    done: str
    kind: str = ""


QUESTIONS: Final[Mapping[str, Question]] = {
    "check": Question(
        title="Check {name} now?",
        what="One run starts at once, behind the breaker, and its result counts like any other.",
        button="Check now",
        done="The run is over; its result stands below.",
    ),
    "enable": Question(
        title="Re-enable {name}?",
        what="It goes into service again and its target is tried at once.",
        button="Re-enable",
        done="Enabled. Its target is being tried.",
        kind="go",
    ),
    "close": Question(
        title="Close {name}?",
        what="Calls pass again at once, and its windows begin anew.",
        button="Close",
        done="Closed.",
        kind="go",
    ),
    "open": Question(
        title="Open {name}?",
        what="Calls are rejected and its target is not tried, for as long as you say.",
        button="Open",
        done="Opened.",
        kind="stop",
    ),
    "observe": Question(
        title="Only observe {name}?",
        what="Everything is admitted and recorded; the breaker never opens until it is released.",
        button="Observe",
        done="Observing: it records, and never opens.",
    ),
    "disable": Question(
        title="Disable {name}?",
        what="It goes out of service: its target is not tried any more until somebody enables it.",
        button="Disable",
        done="Disabled. Its target is not tried any more.",
        kind="stop",
    ),
    "reset": Question(
        title="Reset {name}?",
        what="It closes, and forgets its counts and failure cycles.",
        button="Reset",
        done="Reset: closed, with all counts at 0.",
    ),
}
DONE: Final = {operation: question.done for operation, question in QUESTIONS.items()} | {
    "settings": "Settings are in force.",
    "skipped": "It was not run: its breaker does not admit a call now.",
}
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "enable": ("reset_counters",),
    "open": ("how", "for"),
    "close": ("hold",),
}
_CLOSED: Final = ("check", "open", "observe", "disable", "reset")
OFFERED: Final[Mapping[State, Sequence[str]]] = {
    State.CLOSED: _CLOSED,
    State.OPEN: ("close", "reset", "open", "observe", "disable"),
    State.HALF_OPEN: ("check", "close", "open", "observe", "disable", "reset"),
    State.FORCED_OPEN: ("close", "observe", "disable", "reset"),
    State.FORCED_CLOSED: ("close", "check", "open", "observe", "disable", "reset"),
    State.OBSERVE: ("close", "check", "open", "disable", "reset"),
    State.DISABLED: ("enable", "reset"),
}
NAMES: Final = {
    "check": "Check now…",
    "open": "Open for…",
    "close": "Close…",
    "observe": "Observe…",
    "disable": "Disable…",
    "enable": "Re-enable…",
    "reset": "Reset…",
}
RELEASED: Final = frozenset({State.FORCED_OPEN, State.FORCED_CLOSED, State.OBSERVE})


def offered(view: ComponentView) -> list[tuple[str, str, str]]:
    """The actions of its state: operation, text of the button, its kind; the likeliest first."""
    state, found = view.breaker.state, []
    for place, operation in enumerate(OFFERED[state]):
        if operation == CHECK and not is_ours(view):
            continue
        text = "Release…" if operation == "close" and state in RELEASED else NAMES[operation]
        first = place == 0 and operation in {"enable", "close"}
        found.append((operation, text, "go" if first else ""))
    return found


def is_ours(view: ComponentView) -> bool:
    """Whether cbmon runs it: a check or an export, no receiver and no application's breaker."""
    return view.info.category in {Category.CHECK, Category.EXPORT}


async def ask(request: web.Request) -> web.Response:
    """The question."""
    return _question(request, api.component(request), {"back": request.query.get("back", "")})


async def act(request: web.Request) -> web.Response:
    """Do it; then the page again, or the question with what is wrong."""
    operation, view = _operation(request), api.component(request)
    name = view.info.name
    fields = await read_form(request, {"reason", "back", *FIELDS.get(operation, ())})
    services = request.app[SERVICES]
    done = operation
    try:
        author = author_of(request, line(fields, "reason") or None)
        if operation == CHECK:
            ran = await services.run_component(name, author)
            done = operation if isinstance(ran, Result) else "skipped"
        else:
            await services.act(name, _order(operation, author, fields))
    except FieldError as error:
        return _question(request, view, fields, {error.field: error.message}, status=422)
    except InvalidTransitionError as error:
        return _question(request, view, fields, {"": str(error)}, status=409)
    back = "/" if fields.get("back") == "overview" else f"/components/{quote(name, safe='')}"
    raise web.HTTPSeeOther(f"{back}?done={done}")


def _operation(request: web.Request) -> str:
    operation = request.match_info["operation"]
    if operation not in QUESTIONS or (operation == CHECK and not is_ours(api.component(request))):
        raise not_found(f"there is no action {operation[:40]!r}", known=list(QUESTIONS))
    return operation


def _question(
    request: web.Request,
    view: ComponentView,
    given: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
    status: int = 200,
) -> web.Response:
    operation = _operation(request)
    name, breaker = view.info.name, view.breaker
    its: dict[str, Any] = breaker.get_state()
    return page(
        request,
        "confirm.html",
        status=status,
        question=QUESTIONS[operation],
        operation=operation,
        name=name,
        state=breaker.state.value,
        explanation=breaker.explain(),
        its=its,
        policy=breaker.policy,
        given=given,
        problems=problems or {},
        role="operator",
        may=viewer(request).acts,
    )


def _order(name: str, author: Author, fields: Mapping[str, str]) -> Order:
    operation = Operation(name)
    hold, seconds = fields.get("hold") == "yes", None
    if operation is Operation.OPEN:
        hold = fields.get("how") == "hold"
        seconds = _seconds(fields.get("for", "")) if fields.get("how") == "for" else None
    return Order(
        operation=operation,
        actor=author.actor,
        reason=author.reason,
        request=author.request,
        for_seconds=seconds,
        hold=hold,
        reset_counters=fields.get("reset_counters", "yes") == "yes",
    )


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise FieldError("for", str(error)) from error
    if not 0 < seconds <= LONGEST:
        raise FieldError("for", f"expected more than 0 and at most a year, got {text[:40]!r}")
    return seconds
