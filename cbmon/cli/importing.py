"""``cbmon import``: a cbmon.yml from the configuration of another monitor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbmon.cli import output
from cbmon.cli.problem import BAD_NEWS, USAGE, CommandError

if TYPE_CHECKING:
    from cbmon.migrate.draft import Draft

FILE = click.Path(path_type=Path, dir_okay=False)
OUT = click.option("--out", type=FILE, help="Write there instead of to standard output.")


@click.group("import")
def importing() -> None:
    """Make a cbmon.yml from another monitor's configuration."""


@importing.command()
@click.argument("file", type=FILE)
@click.option(
    "--prometheus.file", "prometheus", type=FILE,
    help="A Prometheus configuration whose /probe jobs name the targets.",
)  # fmt: skip
@OUT
def blackbox(*, file: Path, prometheus: Path | None, out: Path | None) -> None:
    """Make checks from blackbox_exporter's modules, one for each target.

    The modules can also be used as they are: cbmon run --blackbox.config.file FILE.
    """
    from cbmon.errors import ConfigurationError
    from cbmon.migrate.blackbox import convert

    try:
        draft = convert(file, prometheus)
    except ConfigurationError as error:
        raise CommandError(str(error), BAD_NEWS) from error
    _hand_over(draft, out)


@importing.command()
@click.argument("file", type=FILE)
@OUT
def gatus(*, file: Path, out: Path | None) -> None:
    """Make checks from Gatus' endpoints."""
    from cbmon.errors import ConfigurationError
    from cbmon.migrate.gatus import convert

    try:
        draft = convert(file)
    except ConfigurationError as error:
        raise CommandError(str(error), BAD_NEWS) from error
    _hand_over(draft, out)


def _hand_over(draft: Draft, out: Path | None) -> None:
    for note in draft.notes:
        output.echo(note, err=True)
    if out is None:
        sys.stdout.write(draft.text())
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(draft.text())
    except FileExistsError as error:
        raise CommandError(f"{out} is there already; name another file", USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}", USAGE) from error
    click.echo(f"wrote {out}; now: cbmon check-config {out}", err=True)
