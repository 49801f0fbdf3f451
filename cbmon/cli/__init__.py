"""The command line: what a person and a unit file call.

Rule: `cbmon --help` imports nothing but click; a command imports what it needs when it runs.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from cbmon.cli.root import cli

    cli(prog_name="cbmon")
