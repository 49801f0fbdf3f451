"""``cbmon notify``: try a receiver, look at dead letters, send them again."""

from __future__ import annotations

from pathlib import Path

import click

from cbmon.cli import output
from cbmon.cli.client import Daemon, daemon_at, daemon_options, part
from cbmon.cli.problem import BAD_NEWS, USAGE, CommandError

PAGE = 1000


@click.command()
@click.argument("action", type=click.Choice(["test", "dead", "retry"]))
@click.argument("names", nargs=-1)
@click.option("--dry-run", is_flag=True, help="test: show the message, send nothing.")
@click.option("--all", "everything", is_flag=True, help="retry: every dead letter.")
@daemon_options
def notify(
    *,
    action: str,
    names: tuple[str, ...],
    dry_run: bool,
    everything: bool,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Try a receiver; list dead letters; send them again.

    \b
    cbmon notify test oncall --dry-run
    cbmon notify dead
    cbmon notify retry msg_3b9c…
    """
    if action == "test" and len(names) != 1:
        raise CommandError("notify test needs the name of one receiver", USAGE)
    if action == "retry" and bool(names) is everything:
        raise CommandError("notify retry needs ids of dead letters, or --all", USAGE)
    daemon = daemon_at(url, socket_path, token_file)
    if action == "test":
        _test(daemon, names[0], dry_run=dry_run, as_json=as_json)
    elif action == "dead":
        _dead(daemon, as_json=as_json)
    else:
        chosen = [one["id"] for one in _letters(daemon)] if everything else list(names)
        for name in chosen:
            daemon.post(f"/api/v1/notifications/{part(name)}/retry")
        output.echo(f"{len(chosen)} messages are sent again")


def _test(daemon: Daemon, receiver: str, *, dry_run: bool, as_json: bool) -> None:
    order = {"receiver": receiver, "dry_run": dry_run}
    found = daemon.post("/api/v1/notifications/test", order)["integrations"]
    if as_json:
        output.show_json(found)
    else:
        for one in found:
            output.echo(f"{one['line']}: {one['outcome']}{_because(one['error'])}")
            if one["rendered"]:
                output.echo(one["rendered"])
    if any(one["outcome"] not in {"delivered", "rendered"} for one in found):
        raise CommandError(f"the test message did not reach all of {receiver}", BAD_NEWS)


def _because(error: str | None) -> str:
    return f" ({error})" if error else ""


def _letters(daemon: Daemon) -> list[dict[str, str]]:
    return daemon.pages("/api/v1/notifications", {"outcome": "dead"}, "notifications")


def _dead(daemon: Daemon, *, as_json: bool) -> None:
    found = _letters(daemon)
    if as_json:
        output.show_json(found)
        return
    headings = ("ID", "RECEIVER", "KIND", "COMPONENT", "MADE", "LAST ERROR")
    keys = ("id", "receiver", "kind", "component", "created_at", "last_error")
    output.show_table(headings, [tuple(one[key] or "" for key in keys) for one in found])
