"""``cbmon dashboards``: the dashboards for a configuration, printed, written or compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from cbmon.cli import rendered
from cbmon.cli.problem import USAGE, CommandError

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--config.file", "config", type=FILE, default=Path("cbmon.yml"), show_default=True,
    help="The configuration.",
)  # fmt: skip
@click.option("--out", type=FOLDER, metavar="DIR", help="Write files there instead of printing.")
@click.option("--check", is_flag=True, help="Exit 1 if the files in DIR are out of date.")
@click.option("--share", is_flag=True, help="Make them fit for uploading to grafana.com.")
def dashboards(
    *, names: tuple[str, ...], config: Path, out: Path | None, check: bool, share: bool
) -> None:
    """Render Grafana's dashboards, all or those that are named, such as cbmon-overview.

    Without --out they are printed: one as an object, several as a list.
    """
    if check and out is None:
        raise CommandError("--check: name the folder to look at with --out DIR", USAGE)
    made = _rendered(config, names, share=share)
    if out is None:
        _print(made)
    elif check:
        rendered.compare(made, out, f"cbmon dashboards --out {out}")
    else:
        rendered.write(made, out)


def _rendered(config: Path, names: tuple[str, ...], *, share: bool) -> dict[str, str]:
    from cbmon.dashboards import DASHBOARDS, render, shared, written

    for name in names:
        if name not in DASHBOARDS:
            known = ", ".join(DASHBOARDS)
            raise CommandError(f"no dashboard is named {name!r}; there are {known}", USAGE)
    made = render(rendered.read(config))
    if names:
        made = {f"{name}.json": made[f"{name}.json"] for name in DASHBOARDS if name in names}
    if not share:
        return made
    return {
        path: written(shared(json.loads(text)))
        for path, text in made.items()
        if path.endswith(".json")
    }


def _print(made: Mapping[str, str]) -> None:
    found = [json.loads(text) for path, text in made.items() if path.endswith(".json")]
    text = json.dumps(found[0] if len(found) == 1 else found, indent=2, ensure_ascii=False)
    click.echo(text)
