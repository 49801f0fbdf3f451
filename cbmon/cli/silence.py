"""``cbmon silence``: hold messages back for a while, see what is held back, end it early."""

from __future__ import annotations

from pathlib import Path

import click

from cbmon.cli import output
from cbmon.cli.client import daemon_at, daemon_options, part
from cbmon.cli.durations import Duration
from cbmon.cli.problem import USAGE, CommandError


@click.command()
@click.argument("action", type=click.Choice(["list", "add", "expire"]), default="list")
@click.argument("what", nargs=-1)
@click.option("--for", "duration", type=Duration(above=True), help="add: how long, such as 2h.")
@click.option("--reason", help="add: why, for colleagues.")
@click.option("--expired", is_flag=True, help="list: those that are over too.")
@daemon_options
def silence(
    *,
    action: str,
    what: tuple[str, ...],
    duration: float | None,
    reason: str | None,
    expired: bool,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Hold back messages about what all matchers cover.

    \b
    cbmon silence add team=shop component=~"shop-.*" --for 2h --reason "deploy 1.4"
    cbmon silence list
    cbmon silence expire 000653a1…
    """
    _check_usage(action, what, duration, reason)
    daemon = daemon_at(url, socket_path, token_file)
    if action == "list":
        query = {"expired": "true"} if expired else {}
        found = daemon.pages("/api/v1/silences", query, "silences")
    elif action == "add":
        order = {"matchers": list(what), "for_seconds": duration, "reason": reason}
        found = [daemon.post("/api/v1/silences", order)]
    else:
        found = [daemon.delete(f"/api/v1/silences/{part(name)}") for name in what]
    if as_json:
        output.show_json(found)
        return
    headings = ("ID", "STATE", "UNTIL", "AUTHOR", "MATCHERS", "REASON")
    rows = [
        (
            one["id"],
            one["state"],
            one["ends_at"],
            one["author"],
            " ".join(one["matchers"]),
            one["reason"],
        )
        for one in found
    ]
    output.show_table(headings, rows)


def _check_usage(
    action: str, what: tuple[str, ...], duration: float | None, reason: str | None
) -> None:
    if action == "list" and (what or duration or reason):
        raise CommandError("silence list takes nothing else; see cbmon silence --help", USAGE)
    if action == "expire" and not what:
        raise CommandError("silence expire needs the id of a silence", USAGE)
    if action == "add" and (not what or duration is None or reason is None):
        raise CommandError("silence add needs matchers, --for and --reason", USAGE)
