"""``cbmon simulate``: what other breaker settings would have made of recorded results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cbmon.cli import output, rendered
from cbmon.cli.client import daemon_at, daemon_options
from cbmon.cli.durations import Duration
from cbmon.cli.problem import BAD_NEWS, USAGE, CommandError
from cbmon.cli.recorded import recorded

if TYPE_CHECKING:
    from cbmon.breaker import BreakerPolicy
    from cbmon.config import CheckConfig
    from cbmon.simulation import Replay, Sample

FILE = click.Path(path_type=Path, dir_okay=False)
HEADINGS = ("settings", "pages", "blips", "missed", "delay", "slowest", "recovered", "spared")
ANY_PAST = Duration(0.001, 36_500 * 86_400.0)


@click.command()
@click.argument("check")
@click.option(
    "--config.file", "config", type=FILE, default=Path("cbmon.yml"), show_default=True,
    help="The configuration that the check is in.",
)  # fmt: skip
@click.option(
    "--from", "file", type=FILE, help="Results: CSV with time,ok[,seconds], or JSON lines."
)
@click.option("--prometheus", metavar="URL", help="Take the results from this Prometheus.")
@click.option("--query", help="Another query than the check's own cbmon_check_up; > 0 is good.")
@click.option("--since", default="7d", show_default=True, type=ANY_PAST, help="How far back.")
@click.option("--step", type=ANY_PAST, help="Time between two results; default: the interval.")
@click.option(
    "--with", "candidates", multiple=True, metavar="SETTINGS",
    help="A template, or field=value,field=value on top of the check's; may be given often.",
)  # fmt: skip
@click.option(
    "--blip", default="1m", show_default=True, type=Duration(),
    help="Failures that are over within this time need no page.",
)  # fmt: skip
@daemon_options
def simulate(
    *,
    check: str,
    config: Path,
    file: Path | None,
    prometheus: str | None,
    query: str | None,
    since: float,
    step: float | None,
    candidates: Sequence[str],
    blip: float,
    url: str | None,
    socket_path: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Replay results of CHECK through its breaker, and through others.

    The results are those that the running daemon has recorded, unless --from or --prometheus
    names another source.

    Shows for each how many pages there would have been, how many of them for failures that were
    over by themselves at once, how long after the first failure an outage was told, and how many
    runs the target was spared. The first line is the settings in force.
    """
    from cbmon.simulation import replay

    if file is not None and prometheus is not None:
        raise CommandError("--from and --prometheus exclude each other; keep one of them", USAGE)
    found = _check_of(config, check)
    policies = {"in force": found.policy}
    policies |= {text: _policy(text, found.policy) for text in candidates or _templates()}
    if file is not None:
        samples = _guarded(lambda: _file(file), USAGE)
    elif prometheus is not None:
        every = step or found.interval
        samples = _guarded(lambda: _asked(found, prometheus, query, since, every), BAD_NEWS)
    else:
        samples = recorded(daemon_at(url, socket_path, token_file), found, since)
    try:
        replays = {name: replay(samples, policy, blip=blip) for name, policy in policies.items()}
    except ValueError as error:
        raise CommandError(str(error)) from error
    if as_json:
        output.show_json(_as_json(samples, replays))
    else:
        _show(samples, replays)


def _check_of(config: Path, name: str) -> CheckConfig:
    from difflib import get_close_matches

    checks = {each.name: each for each in rendered.read(config).checks}
    if name not in checks:
        near = get_close_matches(name, checks, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise CommandError(f"{config} has no check {name!r}{hint}", USAGE)
    return checks[name]


def _templates() -> Sequence[str]:
    from cbmon.config.templates import BUILT_IN

    return tuple(BUILT_IN)


def _policy(text: str, base: BreakerPolicy) -> BreakerPolicy:
    """A template by its name, or fields on top of ``base``."""
    import yaml
    from pydantic import ValidationError

    from cbmon.breaker import BreakerPolicy
    from cbmon.config.breakers import PolicyFields
    from cbmon.config.templates import BUILT_IN

    if text in BUILT_IN:
        return BreakerPolicy(**BUILT_IN[text][1])
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(separator for _, separator, _ in pairs):
        names = ", ".join(BUILT_IN)
        raise CommandError(f"--with {text!r}: expected field=value, or one of {names}", USAGE)
    try:
        given = PolicyFields(**{name.strip(): yaml.safe_load(value) for name, _, value in pairs})
        return base.replace(**given.given())
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise CommandError(f"--with {text!r}: {field}: {first['msg']}", USAGE) from error
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise CommandError(f"--with {text!r}: {error}", USAGE) from error


def _guarded(read: Callable[[], list[Sample]], code: int) -> list[Sample]:
    from cbmon.simulation import HistoryError

    try:
        return read()
    except HistoryError as error:
        raise CommandError(str(error), code) from error


def _file(path: Path) -> list[Sample]:
    from cbmon.simulation import from_file

    try:
        return from_file(path)
    except OSError as error:
        raise CommandError(f"--from: cannot read {path}: {error.strerror}", USAGE) from error


def _asked(
    check: CheckConfig, url: str | None, query: str | None, since: float, step: float
) -> list[Sample]:
    from cbmon.simulation import from_prometheus

    name = check.name.replace("\\", "\\\\").replace('"', '\\"')
    end = time.time()
    return asyncio.run(
        from_prometheus(
            url or "",
            query or f'cbmon_check_up{{check="{name}"}}',
            begin=end - since,
            end=end,
            step=step,
            durations=None if query else f'cbmon_check_last_duration_seconds{{check="{name}"}}',
        )
    )


def _as_json(samples: Sequence[Sample], replays: dict[str, Replay]) -> Any:
    return {
        "results": len(samples),
        "failed": sum(not sample.ok for sample in samples),
        "begin": samples[0].at,
        "end": samples[-1].at,
        "settings": {
            name: {
                "pages": len(each.pages),
                "pages_for_blips": each.for_blips,
                "outages": len(each.outages),
                "outages_missed": each.missed,
                "median_delay_seconds": each.delay,
                "longest_delay_seconds": each.slowest,
                "median_recovery_delay_seconds": each.recovery_delay,
                "runs": each.runs,
                "runs_spared": each.spared,
                "seconds_open": each.time_open,
                "final_state": each.final.value,
            }
            for name, each in replays.items()
        },
    }


def _show(samples: Sequence[Sample], replays: dict[str, Replay]) -> None:
    span = output.seconds(samples[-1].at - samples[0].at)
    failed = sum(not sample.ok for sample in samples)
    output.echo(f"{len(samples)} results over {span}, {failed} of them failures")
    outages = next(iter(replays.values())).outages
    output.echo(f"{len(outages)} outages that were longer than a blip\n")
    rows = [
        (
            name,
            str(len(each.pages)),
            str(each.for_blips),
            str(each.missed),
            output.seconds(each.delay),
            output.seconds(each.slowest),
            output.seconds(each.recovery_delay),
            str(each.spared),
        )
        for name, each in replays.items()
    ]
    output.show_table(HEADINGS, rows)
