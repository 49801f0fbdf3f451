"""``cbmon audit``: who did what, and whether the record is whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cbmon.cli import output
from cbmon.cli.client import daemon_at, daemon_options
from cbmon.cli.problem import BAD_NEWS, FINE, USAGE, CommandError


@click.group()
def audit() -> None:
    """Who did what, and whether the record of it is whole.

    \b
    cbmon audit list --component shop-api
    cbmon audit verify
    cbmon audit verify --database /backup/cbmon.db --head 180:93ab…
    """


@audit.command("list")
@click.option("--component", help="Only what concerns this check or export.")
@click.option("--actor", help="Only what this person or program did.")
@click.option("--action", help="Only this action, such as open or change_settings.")
@click.option("--refused", is_flag=True, help="Only what was refused.")
@click.option("--since", help="Not before that, such as 2026-01-02T03:04:05Z.")
@click.option("--until", help="Not after that.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@daemon_options
def list_(
    *,
    component: str | None,
    actor: str | None,
    action: str | None,
    refused: bool,
    since: str | None,
    until: str | None,
    limit: int,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """What people did and what they were refused, newest first."""
    wanted = {
        "component": component,
        "actor": actor,
        "action": action,
        "refused": "true" if refused else None,
        "since": since,
        "until": until,
    }
    query = {key: value for key, value in wanted.items() if value is not None}
    daemon = daemon_at(url, socket_path, token_file)
    found = daemon.pages("/api/v1/audit", query, "audit", most=limit)
    if as_json:
        output.show_json(found)
        return
    headings = ("SEQ", "AT", "ACTOR", "ACTION", "COMPONENT", "REASON", "REFUSED")
    output.show_table(headings, [_row(its) for its in found])


@audit.command()
@click.option("--database", metavar="FILE|URL", help="Look at a database without a daemon.")
@click.option("--head", metavar="SEQ:HASH", help="A head that was noted earlier must be in it.")
@daemon_options
def verify(
    *,
    database: str | None,
    head: str | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Say whether the record is whole; exit 1 with the first row where it is not."""
    if database is not None:
        report = _offline(database, head)
    elif head is not None:
        raise CommandError("--head needs --database: what a daemon says is no proof", USAGE)
    else:
        report = daemon_at(url, socket_path, token_file).get("/api/v1/audit/verify")
    if as_json:
        output.show_json(report)
    else:
        _show(report)
    click.get_current_context().exit(FINE if report["ok"] else BAD_NEWS)


def _offline(database: str, head: str | None) -> dict[str, Any]:
    from cbmon.errors import StoreError
    from cbmon.store.inspection import verify_database

    try:
        return verify_database(database, head)
    except (StoreError, ValueError) as error:
        raise CommandError(str(error), USAGE) from error


def _show(report: Mapping[str, Any]) -> None:
    if report["ok"]:
        output.echo(f"whole: {report['rows']} rows, head {report['head']}")
        return
    broken = report["broken"]
    row = "" if broken["id"] is None else f" (id {broken['id']})"
    output.echo(f"broken at row {broken['seq']}{row}: {broken['why']}")


def _row(its: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(its["seq"]),
        its["at"],
        its["actor"],
        its["action"],
        its["component"],
        its["text"],
        its["refused"] or "",
    )
