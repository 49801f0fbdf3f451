"""The command ``cbmon`` and its subcommands, each loaded when it is named.

Rule: exit codes are 0 fine, 1 the answer is bad news, 2 usage or configuration, 3 the daemon
cannot be reached. Every error is one line on standard error that says what to do.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from cbmon import __version__
from cbmon.cli.problem import CommandError


class Entry(NamedTuple):
    """Where a command is defined, and what it does in a line."""

    place: str
    summary: str


COMMANDS: Final[dict[str, Entry]] = {
    "run": Entry("cbmon.cli.run:run", "Run the daemon in the foreground."),
    "check-config": Entry("cbmon.cli.configuration:check_config", "Say what is wrong in a file."),
    "schema": Entry("cbmon.cli.configuration:schema", "Print the configuration's JSON Schema."),
    "init": Entry("cbmon.cli.configuration:init", "Write a commented cbmon.yml."),
    "hash-password": Entry(
        "cbmon.cli.password:hash_password", "Hash a password for the web-config file."
    ),
    "completion": Entry("cbmon.cli.completion:completion", "Print the completion of a shell."),
    "probe": Entry("cbmon.cli.probe:probe", "Run one check once and show what it saw."),
    "status": Entry("cbmon.cli.status:status", "Show how everything is."),
    "breakers": Entry("cbmon.cli.breakers:breakers", "List, show and move breakers."),
    "rules": Entry("cbmon.cli.rules:rules", "Render Prometheus' alert rules of a configuration."),
    "dashboards": Entry(
        "cbmon.cli.dashboards:dashboards", "Render Grafana's dashboards of a configuration."
    ),
    "simulate": Entry(
        "cbmon.cli.simulate:simulate", "Replay results through other breaker settings."
    ),
    "import": Entry("cbmon.cli.importing:importing", "Take over another monitor's checks."),
    "sd": Entry("cbmon.cli.sd:sd", "List the checks' targets for Prometheus' file_sd."),
    "silence": Entry("cbmon.cli.silence:silence", "Hold messages back for a while."),
    "notify": Entry("cbmon.cli.notify:notify", "Try receivers, send dead letters again."),
    "config": Entry("cbmon.cli.settings:config", "Settings of breakers at run time."),
    "audit": Entry("cbmon.cli.audit:audit", "Who did what, and whether the record is whole."),
    "reload": Entry("cbmon.cli.reload:reload", "Bring a changed configuration into force."),
}


class LazyGroup(click.Group):
    """Knows its commands by name and summary; imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].place.partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a person can mend ends in a line, not in a traceback."""
        try:
            return super().invoke(ctx)
        except CommandError as problem:
            from cbmon.cli.output import echo

            echo(f"cbmon: {problem}", err=True)
            ctx.exit(problem.exit_code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="cbmon %(version)s")
def cli() -> None:
    """Watch targets and exports behind circuit breakers."""
