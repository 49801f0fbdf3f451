"""The table of route and role for the documentation, and the page that holds it.

Rule: it stands between ``<!-- routes -->`` and ``<!-- end -->`` and is made from the route table;
a test compares, and another asks every route as everybody. To write it anew:
``python -m cbmon.web.tables docs/api.md``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cbmon.web.auth import Role
from cbmon.web.route import Route

HEAD: Final = (
    "| route | without | reporter | viewer | operator | admin | what it does |",
    "|---|---|---|---|---|---|---|",
)
ANYWHERE, HERE, ONLY_HERE, NO, YES = "yes", "here", "here, once", "no", "yes"
_BLOCK: Final = re.compile(r"(?<=<!-- routes -->\n).*?(?=<!-- end -->)", re.DOTALL)


def access_table(routes: Iterable[Route]) -> str:
    """Who may ask for what, one line for each route."""
    return "\n".join([*HEAD, *map(_line, routes)]) + "\n"


def cells(route: Route) -> tuple[str, ...]:
    """What the table says of nobody in particular and of each role."""
    if route.role is Role.NOBODY:
        without = ANYWHERE
    elif route.role is Role.VIEWER:
        without = HERE
    else:
        without = ONLY_HERE if route.local else NO
    reporter = YES if route.reporters or route.role <= Role.REPORTER else NO
    roles = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
    return (without, reporter, *(YES if role >= route.role else NO for role in roles))


def rewritten(text: str, routes: Iterable[Route]) -> str:
    """A page with its table made anew."""
    table = access_table(routes)
    return _BLOCK.sub(lambda _: table, text)


def _line(route: Route) -> str:
    return f"| `{route.method} {route.path}` | {' | '.join(cells(route))} | {route.summary} |"


if __name__ == "__main__":
    from cbmon.web.routes import ROUTES

    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(rewritten(page.read_text(encoding="utf-8"), ROUTES), encoding="utf-8")
