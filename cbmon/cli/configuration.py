"""``cbmon check-config``, ``schema`` and ``init``: all about the configuration's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cbmon.cli import output
from cbmon.cli.problem import BAD_NEWS, FINE, USAGE, CommandError

FILE_NAME: Final = "cbmon.yml"


@click.command("check-config")
@click.argument("files", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--web.config.file", "web_config", type=click.Path(path_type=Path, dir_okay=False),
    help="Judge it with this web-config file, as `cbmon run` would use it.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_config(*, files: tuple[Path, ...], web_config: Path | None, as_json: bool) -> None:
    """Say everything that is wrong in configuration files; exit 1 if anything is.

    Each problem is one line: file:line:col: path: message.
    """
    reports = [_report(path, web_config) for path in files or (Path(FILE_NAME),)]
    if as_json:
        output.show_json(reports)
    else:
        for report in reports:
            for problem in (*report["problems"], *report["warnings"]):
                click.echo(problem, err=True)
            click.echo(report["verdict"], err=not report["ok"])
    bad = any(not report["ok"] for report in reports)
    click.get_current_context().exit(BAD_NEWS if bad else FINE)


@click.command()
def schema() -> None:
    """Print the configuration's JSON Schema, for editors and other tools."""
    from cbmon.build import config_types
    from cbmon.config.schema import json_schema

    output.show_json(json_schema(config_types()))


@click.command()
@click.argument(
    "directory", default=".", type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]"
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(*, directory: Path, force: bool) -> None:
    """Write a commented cbmon.yml."""
    from cbmon.build import config_types
    from cbmon.config.example import example

    path = directory / FILE_NAME
    text = example(config_types())
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise CommandError(
            f"{path} is there already; replace it with --force, or name another directory", USAGE
        ) from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}", USAGE) from error
    click.echo(f"wrote {path}; now: cbmon check-config {path} && cbmon run --config.file {path}")


def _report(path: Path, web_config: Path | None) -> dict[str, Any]:
    from cbmon.build import config_types
    from cbmon.config import ConfigError, load_config
    from cbmon.errors import ConfigurationError
    from cbmon.web.exposure import web_config_of

    try:
        config = load_config(path, types=config_types())
        served = web_config_of(config, web_config)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        return _verdict(path, f"{count} in {path}", problems=problems)
    except ConfigurationError as error:
        return _verdict(path, str(error), problems=[str(error)])
    found = f"{_many(config.checks, 'check')}, {_many(config.exports, 'export')}"
    warnings = (*config.warnings, *(served.warnings if served else ()))
    return _verdict(path, f"{path}: fine, {found}", warnings=[str(one) for one in warnings])


def _verdict(
    path: Path,
    verdict: str,
    *,
    problems: list[str] | None = None,
    warnings: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "file": str(path),
        "ok": not problems,
        "verdict": verdict,
        "problems": problems or [],
        "warnings": warnings or [],
    }


def _many(things: tuple[object, ...], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
