"""``cbmon config``: settings of breakers at run time, and what of them is not in the YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from cbmon.cli import output
from cbmon.cli.client import Daemon, daemon_at, daemon_options, part
from cbmon.cli.problem import USAGE, CommandError

DEFAULTS: Final = "/api/v1/config/breaker"
NAME: Final = click.argument("name", required=False)
WHY: Final = click.option("--reason", help="Why, for the record and for colleagues.")
ALL: Final = click.option("--all", "for_all", is_flag=True, help="The defaults for all breakers.")


@click.group()
def config() -> None:
    """Show and change settings of breakers while the daemon runs.

    \b
    cbmon config show shop-api
    cbmon config set shop-api failure_threshold=3 recovery_timeout=90s --reason "flaky upstream"
    cbmon config set --all auto_disable_enabled=true
    cbmon config unset shop-api recovery_timeout
    cbmon config diff
    """


@config.command()
@NAME
@daemon_options
def show(
    *,
    name: str | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Every setting of a breaker with its source, or without a name the defaults for all."""
    found = daemon_at(url, socket_path, token_file).get(_address(name))
    if as_json:
        output.show_json(found)
    elif name is None:
        _show_defaults(found)
    else:
        fields = found["effective"]
        rows = [
            (
                field,
                output.plain(value),
                found["sources"][field],
                output.plain(found["yaml"][field]),
            )
            for field, value in fields.items()
        ]
        output.show_table(("SETTING", "VALUE", "SOURCE", "YAML"), rows)
        _show_refused(found)


@config.command("set")
@click.argument("words", nargs=-1, required=True, metavar="[NAME] SETTING=VALUE...")
@ALL
@click.option("--dry-run", is_flag=True, help="Only say whether it could be set.")
@WHY
@daemon_options
def set_(
    *,
    words: tuple[str, ...],
    for_all: bool,
    dry_run: bool,
    reason: str | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Set some settings of a breaker, or with --all for all; the others stay as they are."""
    name, rest = _split(words, for_all)
    values = _values(rest)

    def change(found: Mapping[str, Any]) -> dict[str, Any]:
        return {**found["settings"], **values, "reason": reason}

    daemon = daemon_at(url, socket_path, token_file)
    _put(daemon, name, change, dry_run=dry_run, as_json=as_json)


@config.command()
@click.argument("words", nargs=-1, metavar="[NAME] [SETTING]...")
@ALL
@WHY
@daemon_options
def unset(
    *,
    words: tuple[str, ...],
    for_all: bool,
    reason: str | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Take settings of a breaker away, or with --all those for all; without a setting, each."""
    name, gone = _split(words, for_all)

    def change(found: Mapping[str, Any]) -> dict[str, Any]:
        left = found["settings"]
        if strange := [one for one in gone if one not in left]:
            where = "for all" if name is None else f"for {name}"
            told = "\n".join(f"{one} is not set {where}; see cbmon config diff" for one in strange)
            raise CommandError(told, USAGE)
        kept = {key: value for key, value in left.items() if gone and key not in gone}
        return {**kept, "reason": reason}

    _put(daemon_at(url, socket_path, token_file), name, change, dry_run=False, as_json=as_json)


@config.command()
@click.option("--yaml", "as_yaml", is_flag=True, help="As YAML to paste into the configuration.")
@click.option(
    "--write", "file", type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Write it into this configuration file, whose comments stay.",
)  # fmt: skip
@daemon_options
def diff(
    *,
    as_yaml: bool,
    file: Path | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Every value in force that is not what the YAML says."""
    found = daemon_at(url, socket_path, token_file).get("/api/v1/config/diff")["differences"]
    if as_json:
        output.show_json(found)
    elif file is not None:
        from cbmon.cli.writing import write_back

        output.echo(write_back(file, found))
    elif as_yaml:
        output.echo(as_patch(found), nl=False)
    else:
        rows = [
            (
                one["name"],
                one["field"],
                output.plain(one["yaml"]),
                output.plain(one["value"]),
                one["source"],
            )
            for one in found
        ]
        output.show_table(("BREAKER", "SETTING", "YAML", "IN FORCE", "SOURCE"), rows)


def as_patch(differences: Sequence[Mapping[str, Any]]) -> str:
    """The differences as the entries of ``checks`` or ``exports`` would say them."""
    import yaml

    by_name: dict[str, dict[str, Any]] = {}
    for one in differences:
        by_name.setdefault(one["name"], {})[one["field"]] = one["value"]
    entries = [{"name": name, "breaker": fields} for name, fields in by_name.items()]
    if not entries:
        return "# nothing differs from the YAML\n"
    text: str = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
    return "# put these keys into the entries of the same name\n" + text


def _put(daemon: Daemon, name: str | None, change: Any, *, dry_run: bool, as_json: bool) -> None:
    found = daemon.change(_address(name), change, "?dry_run=true" if dry_run else "")
    if as_json:
        output.show_json(found)
        return
    own = ", ".join(f"{field}={output.plain(value)}" for field, value in found["settings"].items())
    verb = "would be" if dry_run else "is now"
    output.echo(f"set {'for all' if name is None else f'for {name}'} {verb}: {own or 'nothing'}")


def _show_defaults(found: Mapping[str, Any]) -> None:
    rows = [(field, output.plain(value)) for field, value in found["settings"].items()]
    output.show_table(("SETTING", "VALUE"), rows)
    if found["overrides"] and output.on_terminal():
        output.echo(f"with settings of their own: {', '.join(found['overrides'])}")
    for name in found["waiting"]:
        output.echo(f"{name}: waits for a breaker of this name; none is configured", err=True)
    _show_refused(found)


def _show_refused(found: Mapping[str, Any]) -> None:
    for problem in found["refused"]:
        output.echo(f"refused in the database: {problem['message']}", err=True)


def _address(name: str | None) -> str:
    return DEFAULTS if name is None else f"/api/v1/breakers/{part(name)}/settings"


def _split(words: Sequence[str], for_all: bool) -> tuple[str | None, Sequence[str]]:
    if for_all:
        return None, words
    if not words or "=" in words[0]:
        raise CommandError("name a breaker first, or say --all for the defaults of all", USAGE)
    return words[0], words[1:]


def _values(words: Sequence[str]) -> dict[str, Any]:
    """What the words are to set; every word that sets nothing is told.

    Which settings there are and what they may be is the daemon's to say, and to record.
    """
    from cbmon.settings.fields import ALIASES

    if not words:
        raise CommandError("config set needs SETTING=VALUE, such as failure_threshold=3", USAGE)
    problems, values = [], dict[str, Any]()
    for word in words:
        written, equals, text = word.partition("=")
        name = ALIASES.get(written, written)
        if not equals:
            problems.append(f"{word}: has no value; write {word}=VALUE")
        elif name in values:
            problems.append(f"{written}: is given twice")
        elif name == "reason":
            problems.append("reason: is no setting; give it as --reason")
        else:
            values[name] = _meant(name, text)
    if problems:
        raise CommandError("\n".join(problems), USAGE)
    return values


def _meant(name: str, text: str) -> Any:
    """The value as JSON; what is none goes as it was written."""
    from cbmon.settings import FIELDS, as_json, from_text

    try:
        return as_json(from_text(name, text)) if name in FIELDS else text
    except ValueError:
        return text
