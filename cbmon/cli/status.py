"""``cbmon status``: the whole on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cbmon.cli import output
from cbmon.cli.client import daemon_at, daemon_options
from cbmon.cli.problem import BAD_NEWS, FINE

ORDER = ("open", "forced_open", "half_open", "disabled", "observe", "forced_closed", "closed")


@click.command()
@output.watch_option
@daemon_options
def status(
    *,
    watch: float | None,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Show how everything is; exit 1 when something is not well."""

    def look() -> str:
        daemon = daemon_at(url, socket_path, token_file)
        summary: dict[str, Any] = daemon.get("/api/v1/summary")
        if as_json:
            output.show_json(summary)
        else:
            _show(summary, daemon.get("/api/v1/config/diff")["differences"])
        return str(summary["status"])

    found = output.watched(look, watch)
    click.get_current_context().exit(FINE if found == "ok" else BAD_NEWS)


def _show(summary: dict[str, Any], differences: list[dict[str, Any]]) -> None:
    counts = summary["breakers"]
    words = [f"{counts[state]} {state.replace('_', '-')}" for state in ORDER if counts[state]]
    output.show_pairs(
        [
            ("status", summary["status"]),
            ("healthy", f"{summary['health_percentage']:g} % of {counts['total']}"),
            ("breakers", ", ".join(words) or "none"),
            *((state.replace("_", "-"), ", ".join(summary[state])) for state in _named(summary)),
            *_settings(differences),
            ("version", summary["version"]),
            ("running since", summary["started_at"]),
        ]
    )


def _settings(differences: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """How many values in force come from elsewhere than the YAML."""
    if not differences:
        return []
    breakers = len({one["name"] for one in differences})
    sources = ", ".join(sorted({one["source"] for one in differences}))
    count = f"{len(differences)} not from the YAML but from {sources}, of {breakers} breakers"
    return [("settings", f"{count}: cbmon config diff")]


def _named(summary: dict[str, Any]) -> list[str]:
    return [state for state in ("open", "half_open", "disabled") if summary[state]]
