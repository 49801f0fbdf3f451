"""``cbmon rules``: alert rules for a configuration, printed, written or compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from cbmon.cli import rendered
from cbmon.cli.problem import BAD_NEWS, USAGE, CommandError

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option(
    "--config.file", "config", type=FILE, default=Path("cbmon.yml"), show_default=True,
    help="The configuration.",
)  # fmt: skip
@click.option("--out", type=FOLDER, metavar="DIR", help="Write files there instead of printing.")
@click.option("--check", is_flag=True, help="Exit 1 if the files in DIR are out of date.")
def rules(*, config: Path, out: Path | None, check: bool) -> None:
    """Render alert rules for Prometheus.

    With --out also their promtool tests and Alertmanager's inhibit rules, a file each; without it
    the rules are printed as one file.
    """
    from cbmon.rules import render, rule_file

    if check and out is None:
        raise CommandError("--check: name the folder to look at with --out DIR", USAGE)
    made = rendered.read(config)
    if out is None:
        click.echo(rule_file(made), nl=False)
    elif check:
        _compare(render(made), out)
    else:
        files = render(made)
        rendered.write(files, out)
        for path in _left_over(files, out):
            path.unlink()
            click.echo(f"removed {path} (left over)")


def _compare(files: Mapping[str, str], out: Path) -> None:
    left = _left_over(files, out)
    for path in left:
        click.echo(f"{path}: left over", err=True)
    again = f"cbmon rules --out {out}"
    rendered.compare(files, out, again)
    if left:
        raise CommandError(f"files in {out} are left over; run {again}", BAD_NEWS)


def _left_over(files: Mapping[str, str], out: Path) -> list[Path]:
    """Files that an earlier run wrote and this one does not; known by their second line."""
    from cbmon.rules import MARK

    return [
        path
        for path in sorted(out.glob("cbmon-*.yml"))
        if path.name not in files and MARK in path.read_text("utf-8", "replace").split("\n", 2)[:2]
    ]
