"""``cbmon reload``: the running daemon reads its configuration again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from cbmon.cli import output
from cbmon.cli.client import Daemon, daemon_at, daemon_options
from cbmon.cli.problem import CommandError

PATIENCE: Final = 60.0
EVERY: Final = 0.2


@click.command()
@click.option("--wait", is_flag=True, help="Wait until the daemon is ready afterwards.")
@click.option(
    "--config.file", "config", type=click.Path(path_type=Path, dir_okay=False),
    help="The daemon's configuration, to find its control socket.",
)  # fmt: skip
@daemon_options
def reload(
    *,
    wait: bool,
    config: Path | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Bring a changed configuration into force; exit 1 with every problem if it cannot be."""
    if config is not None and url is None and socket_path is None:
        socket_path = _socket_of(config)
    daemon = daemon_at(url, socket_path, token_file, timeout=PATIENCE)
    outcome = daemon.post("/-/reload")
    if wait:
        _wait(daemon)
    if as_json:
        output.show_json(outcome)
        return
    changes = [f"{len(outcome[what])} {what}" for what in ("added", "removed", "changed")]
    output.echo(f"configuration reloaded: {', '.join(changes)}")
    for path in outcome["needs_restart"]:
        output.echo(f"needs a restart to come into force: {path}")


def _socket_of(path: Path) -> Path | None:
    """The control socket of the daemon that runs with this file.

    None when the file cannot be used: what is wrong with it is the daemon's to say.
    """
    from cbmon.build import config_types
    from cbmon.config import load_config
    from cbmon.errors import ConfigurationError
    from cbmon.web.control import control_path

    try:
        found = control_path(load_config(path, types=config_types()))
    except ConfigurationError:
        return None
    return found if found is not None and found.is_socket() else None


def _wait(daemon: Daemon) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            daemon.get("/-/ready")
        except CommandError as error:
            if time.monotonic() >= end:
                raise CommandError(
                    f"reloaded, but not ready after {PATIENCE:g} s: {error}"
                ) from error
            time.sleep(EVERY)
        else:
            return
