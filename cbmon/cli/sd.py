"""``cbmon sd``: the targets of a configuration's checks, for Prometheus' file_sd."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cbmon.cli import rendered
from cbmon.cli.problem import USAGE, CommandError

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--config.file", "config", type=FILE, default=Path("cbmon.yml"), show_default=True,
    help="The configuration.",
)  # fmt: skip
@click.option("--out", type=FILE, metavar="FILE", help="Write a file instead of printing.")
@click.option("--check", is_flag=True, help="Exit 1 if that file is out of date.")
def sd(*, config: Path, out: Path | None, check: bool) -> None:
    """List what the checks watch, for Prometheus' file_sd_configs.

    A running daemon serves the same at /sd for http_sd_configs.
    """
    if check and out is None:
        raise CommandError("--check: name the file to look at with --out FILE", USAGE)
    text = _targets(config)
    if out is None:
        click.echo(text, nl=False)
    elif check:
        rendered.compare({out.name: text}, out.parent, f"cbmon sd --out {out}")
    else:
        rendered.write({out.name: text}, out.parent)


def _targets(path: Path) -> str:
    from cbmon.build import info_of
    from cbmon.discovery import target_groups

    config = rendered.read(path)
    groups = target_groups(info_of(check, config) for check in config.checks if check.enabled)
    return json.dumps(groups, indent=2, ensure_ascii=False) + "\n"
