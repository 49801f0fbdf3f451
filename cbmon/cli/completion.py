"""``cbmon completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cbmon.cli.problem import USAGE, CommandError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(*, shell: str) -> None:
    """Print the completion of a shell.

    Put into the shell's start file: `source <(cbmon completion bash)`, the same for zsh, and
    `cbmon completion fish | source`.
    """
    from cbmon.cli.root import cli

    found = get_completion_class(shell)
    if found is None:
        raise CommandError(f"no completion for {shell}", USAGE)
    click.echo(found(cli, {}, "cbmon", "_CBMON_COMPLETE").source())
