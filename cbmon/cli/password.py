"""``cbmon hash-password``: a bcrypt hash for ``basic_auth_users`` of a web-config file."""

from __future__ import annotations

import sys

import click

from cbmon.cli.problem import USAGE, CommandError


@click.command("hash-password")
@click.option(
    "--cost", type=click.IntRange(4, 31), default=10, show_default=True,
    help="Each step doubles the time of a first login; 10 is about 70 ms.",
)  # fmt: skip
def hash_password(*, cost: int) -> None:
    """Hash a password with bcrypt, for basic_auth_users of a web-config file.

    The password is asked for twice, or read as one line from standard input when that is no
    terminal. It is never an argument: the process list would show it.
    """
    from cbmon.web.passwords import hash_password as hashed

    password = _password()
    if not password:
        raise CommandError("the password is empty", USAGE)
    try:
        click.echo(hashed(password, cost))
    except ValueError as error:
        raise CommandError(f"the password cannot be hashed: {error}", USAGE) from error


def _password() -> str:
    if sys.stdin.isatty():
        found: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return found
    return sys.stdin.readline().rstrip("\r\n")
