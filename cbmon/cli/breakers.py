"""``cbmon breakers``: list them, show one, move one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from cbmon.cli import output
from cbmon.cli.client import Daemon, daemon_at, daemon_options, part
from cbmon.cli.durations import Duration
from cbmon.cli.problem import USAGE, CommandError

ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "reset": frozenset(),
    "open": frozenset({"for_seconds", "hold"}),
    "close": frozenset({"hold"}),
    "observe": frozenset(),
    "disable": frozenset(),
    "enable": frozenset({"reset_counters"}),
}
STATES: Final = (
    "closed",
    "open",
    "half_open",
    "forced_open",
    "forced_closed",
    "observe",
    "disabled",
)


@click.command()
@click.argument("action", type=click.Choice(["list", "show", *ACTIONS]), default="list")
@click.argument("name", required=False)
@click.option("--state", type=click.Choice(STATES), help="list: only those in this state.")
@click.option("--tag", help="list: only those with this tag.")
@click.option("--reason", help="Why, for the record and for colleagues.")
@click.option(
    "--for", "duration", type=Duration(above=True), help="open: wait just that, such as 30s."
)
@click.option("--hold", is_flag=True, help="open, close: keep it until it is released.")
@click.option("--keep-counters", is_flag=True, help="enable: go on in half-open, cycles kept.")
@output.watch_option
@daemon_options
def breakers(
    *,
    watch: float | None,
    action: str,
    name: str | None,
    state: str | None,
    tag: str | None,
    reason: str | None,
    duration: float | None,
    hold: bool,
    keep_counters: bool,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """List breakers, show one, or move one.

    \b
    cbmon breakers list --state open
    cbmon breakers show shop-api
    cbmon breakers open shop-api --hold --reason "deploy 1.4"
    cbmon breakers enable shop-api
    """
    chosen = {
        "for_seconds": duration,
        "hold": hold or None,
        "reset_counters": False if keep_counters else None,
    }
    options = {key: value for key, value in chosen.items() if value is not None}
    listing = {"--state": state, "--tag": tag, "--watch": str(watch or "")}
    _check_usage(action, name, options, listing, reason)
    if action == "list":

        def look() -> None:
            _list(daemon_at(url, socket_path, token_file), {"state": state, "tag": tag}, as_json)

        output.watched(look, watch)
        return
    daemon = daemon_at(url, socket_path, token_file)
    address = f"/api/v1/breakers/{part(str(name))}"
    if action == "show":
        found = daemon.get(address)
    else:
        found = daemon.post(f"{address}/{action}", {**options, "reason": reason})
    if as_json:
        output.show_json(found)
    elif action == "show":
        _show(found)
    else:
        output.echo(f"{found['name']} is {found['state']}")


def _check_usage(
    action: str,
    name: str | None,
    options: Mapping[str, Any],
    filters: Mapping[str, str | None],
    reason: str | None,
) -> None:
    if (action == "list") != (name is None):
        wanted = "takes no name" if action == "list" else "needs the name of a breaker"
        raise CommandError(f"breakers {action} {wanted}; see cbmon breakers --help", USAGE)
    flags = {"for_seconds": "--for", "hold": "--hold", "reset_counters": "--keep-counters"}
    stray = [flags[key] for key in options if key not in ACTIONS.get(action, ())]
    stray += [flag for flag, value in filters.items() if value and action != "list"]
    stray += ["--reason"] if reason is not None and action not in ACTIONS else []
    if stray:
        message = f"breakers {action} knows no {stray[0]}; see cbmon breakers --help"
        raise CommandError(message, USAGE)


def _list(daemon: Daemon, filters: Mapping[str, str | None], as_json: bool) -> None:
    query = {key: value for key, value in filters.items() if value}
    found = daemon.pages("/api/v1/breakers", query, "breakers")
    if as_json:
        output.show_json(found)
        return
    headings = ("NAME", "STATE", "CATEGORY", "FAILURES", "CYCLES", "RETRY IN", "LAST ERROR")
    output.show_table(headings, [_row(its) for its in found])


def _row(its: Mapping[str, Any]) -> tuple[str, ...]:
    waiting = its["state"] == "open"
    healthy = its["state"] in {"closed", "observe", "forced_closed"} and not its["failure_count"]
    return (
        its["name"],
        its["state"],
        its["category"],
        str(its["failure_count"]),
        str(its["failure_cycle_count"]),
        output.seconds(its["retry_after_seconds"]) if waiting else "",
        "" if healthy else its["last_error"] or "",
    )


def _cycles(its: Mapping[str, Any]) -> str:
    limit = f" of {its['max_failure_cycles']}" if its["auto_disable"]["enabled"] else ""
    return f"{its['failure_cycle_count']}{limit}"


def _show(its: Mapping[str, Any]) -> None:
    output.echo(its["explanation"])
    output.echo()
    metrics = its["metrics"]
    ratio = metrics["success_ratio"]
    output.show_pairs(
        [
            ("state", its["state"]),
            ("kind", its["kind"]),
            ("calls", str(metrics["total_calls"])),
            ("failures", f"{metrics['failed_calls']} ({metrics['consecutive_failures']} in a row)"),
            ("success", "" if ratio is None else f"{100 * ratio:.2f} %"),
            ("rejected", str(metrics["rejected_calls"])),
            ("trips", str(metrics["trips"])),
            ("cycles", _cycles(its)),
            ("last failure", its["last_failure_at"] or "never"),
            ("last error", its["last_error"] or ""),
            ("tags", ", ".join(its["tags"])),
            ("depends on", ", ".join(its["depends_on"])),
        ]
    )
    output.echo()
    output.show_table(("SETTING", "VALUE", "SOURCE"), _settings(its))


def _settings(its: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What the policy holds, each with where it comes from."""
    sources = its.get("policy_sources", {})
    return [(name, output.plain(its["policy"][name]), source) for name, source in sources.items()]
