"""Files that are rendered from a configuration: written to a folder, or compared with it.

Rule: a file that is right is not touched, so that what watches it is not woken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cbmon.cli.problem import BAD_NEWS, USAGE, CommandError

if TYPE_CHECKING:
    from cbmon.config import Config


def read(path: Path) -> Config:
    """The configuration; every problem of it goes to standard error and ends the command."""
    from cbmon.build import config_types
    from cbmon.config import ConfigError, load_config
    from cbmon.errors import ConfigurationError

    if not path.is_file():
        raise CommandError(
            f"--config.file: there is no {path}; make one with `cbmon init`, or name another",
            USAGE,
        )
    try:
        return load_config(path, types=config_types())
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        raise CommandError(f"{path} cannot be used", USAGE) from error
    except ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write what differs and say so."""
    for name, why in _differences(files, folder):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8", newline="\n")
        except OSError as error:
            raise CommandError(f"cannot write {path}: {error.strerror}", USAGE) from error
        click.echo(f"wrote {path} ({why})")


def compare(files: Mapping[str, str], folder: Path, again: str) -> None:
    """Exit 1 if a file in the folder is not as it would be written; ``again`` is the command."""
    wrong = list(_differences(files, folder))
    for name, why in wrong:
        click.echo(f"{folder / name}: {why}", err=True)
    if wrong:
        count = f"{len(wrong)} file{'' if len(wrong) == 1 else 's'}"
        raise CommandError(f"{count} in {folder} out of date; run {again}", BAD_NEWS)
    click.echo(f"{folder}: up to date")


def _differences(files: Mapping[str, str], folder: Path) -> Iterator[tuple[str, str]]:
    for name, text in files.items():
        try:
            found = (folder / name).read_bytes()
        except FileNotFoundError:
            yield name, "new"
        except OSError as error:
            raise CommandError(f"cannot read {folder / name}: {error.strerror}", USAGE) from error
        else:
            if found != text.encode():
                yield name, "changed"
