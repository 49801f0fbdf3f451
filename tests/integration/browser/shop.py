"""What the browser looks at: a small shop whose targets can be broken, or thousands of checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.integration.harness import Daemon, Targets
from tests.integration.harness.sinks import Reply, Request

OPERATOR: Final = "operator-token-of-otto"
ADMIN: Final = "admin-token-of-ada"
TOKENS: Final = [
    {"name": "otto", "role": "operator", "token": OPERATOR},
    {"name": "ada", "role": "admin", "token": ADMIN},
]
QUICK: Final[dict[str, Any]] = {"interval": "300ms", "timeout": "250ms"}
FRAGILE: Final = {
    "failure_threshold": 1,
    "recovery_timeout": "200ms",
    "auto_disable_enabled": True,
    "max_failure_cycles": 2,
}
RunDaemon = Callable[..., Daemon]


@dataclass
class Shop:
    """A daemon and its targets; the paths in ``down`` answer 503."""

    daemon: Daemon
    down: set[str] = field(default_factory=set)

    def behave(self, request: Request) -> Reply:
        if request.path in self.down:
            return Reply(status=503, body=b"out of order\n")
        return Reply(delay=0.01)


def open_shop(run_daemon: RunDaemon, targets: Targets) -> Shop:
    """Five checks in three groups; ``legacy-crm`` breaks by itself and is disabled."""
    url = targets.url
    checks = [
        _check("shop-api", f"{url}/shop", "shop", failure_threshold=2, recovery_timeout="30s"),
        _check("shop-db", f"{url}/db", "shop"),
        _check("search", f"{url}/search", "shop"),
        _check("mail", f"{url}/mail", "office"),
        _check("legacy-crm", f"{url}/crm", "office", **FRAGILE),
    ]
    checks[0] |= {"tags": ["critical"], "depends_on": ["shop-db"]}
    page = {"enabled": True, "title": "Shop status", "groups": ["shop"]}
    daemon = run_daemon({}, start=False)
    web = {"listen": [daemon.address], "tokens": TOKENS, "status_page": page}
    daemon.write({"web": web, "checks": checks})
    shop = Shop(daemon, {"/crm"})
    targets.behave = shop.behave
    daemon.start()
    return shop


def open_crowd(run_daemon: RunDaemon, count: int) -> Daemon:
    """So many checks, of which none runs while one looks."""
    daemon = run_daemon({}, start=False)
    checks = [
        {
            "name": f"service-{number:04}",
            "group": f"team-{number % 40}",
            "tcp": {"address": "127.0.0.1:9"},
            "interval": "1d",
            "timeout": "1s",
        }
        for number in range(count)
    ]
    web = {"listen": [daemon.address], "tokens": TOKENS}
    daemon.write({"web": web, "checks": checks})
    daemon.start()
    return daemon


def _check(name: str, url: str, group: str, **breaker: Any) -> dict[str, Any]:
    return {"name": name, "group": group, "http": {"url": url}, "breaker": breaker, **QUICK}
