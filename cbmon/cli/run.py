"""``cbmon run``: the daemon in the foreground."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from cbmon.cli.problem import USAGE, CommandError
from cbmon.options import RunOptions

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--config.file", "config", type=FILE, default=Path("cbmon.yml"), show_default=True,
    help="The configuration.",
)  # fmt: skip
@click.option("--blackbox.config.file", "blackbox", type=FILE, help="Modules of blackbox_exporter.")
@click.option(
    "--web.enable-probe", "enable_probe", is_flag=True,
    help="Answer /probe for any target, as web.probe.enabled does.",
)  # fmt: skip
@click.option(
    "--web.listen-address", "listen", multiple=True, metavar="HOST:PORT",
    help="Where to listen, instead of web.listen; may be given more than once.",
)  # fmt: skip
@click.option(
    "--web.config.file", "web_config", type=FILE,
    help="TLS, client certificates and users, instead of web.config_file.",
)  # fmt: skip
@click.option(
    "--storage.path", "data_dir", type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the state, instead of the one in storage.url.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes that look at targets; 1 is the daemon itself, more are beside it.",
)  # fmt: skip
@click.option(
    "--log.level", "level", default="info", show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]), help="What is logged.",
)  # fmt: skip
@click.option(
    "--log.format", "form", default="logfmt", show_default=True,
    type=click.Choice(["logfmt", "json"]), help="How it is logged.",
)  # fmt: skip
def run(
    *,
    config: Path,
    blackbox: Path | None,
    enable_probe: bool,
    listen: tuple[str, ...],
    web_config: Path | None,
    data_dir: Path | None,
    workers: int,
    level: str,
    form: str,
) -> None:
    """Run the daemon until it is told to stop."""
    if not config.is_file():
        raise CommandError(
            f"--config.file: there is no {config}; make one with `cbmon init`, or name another",
            USAGE,
        )
    gc.disable()  # until it is ready: what a start makes stays
    from cbmon.app import run as run_daemon

    options = RunOptions(
        config=config,
        blackbox_config=blackbox,
        enable_probe=enable_probe,
        listen=listen,
        web_config=web_config,
        log_level=level,
        log_format=form,
        data_dir=data_dir,
        workers=workers,
    )
    click.get_current_context().exit(run_daemon(options))
