"""``cbmon probe``: look once, and show what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from cbmon.cli import output
from cbmon.cli.durations import Duration
from cbmon.cli.problem import BAD_NEWS, FINE, USAGE, CommandError

if TYPE_CHECKING:
    from cbmon.config.fields import Options
    from cbmon.model import Result
    from cbmon.probes.run import Plan

WIDTH: Final = 40
REASONS: Final[Mapping[str, str]] = {
    "dns": "the name did not resolve",
    "connect": "no connection came about",
    "tls": "the TLS handshake or the certificate failed",
    "timeout": "it was not over at its deadline",
    "protocol": "the target broke its protocol",
    "status": "the status is not an expected one",
    "header": "a header is missing or does not match",
    "body": "the body does not match",
    "size": "the answer is larger than its limit",
    "redirect": "a redirect may not be followed",
    "latency": "the answer is right, but came too late",
    "certificate": "the certificate expires sooner than allowed",
    "auth": "the target refused the credentials",
    "policy": "the address policy forbids this address",
    "dependency": "something it depends on is down",
    "config": "something that the configuration names cannot be used",
    "internal": "a fault of cbmon",
}


@click.command()
@click.argument("check")
@click.argument("target", required=False)
@click.option(
    "--config.file", "config", type=click.Path(path_type=Path, dir_okay=False),
    default=Path("cbmon.yml"), show_default=True, help="Where CHECK is configured.",
)  # fmt: skip
@click.option("--timeout", type=Duration(0.001, 3600.0), help="How long it may take, such as 5s.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probe(
    *, check: str, target: str | None, config: Path, timeout: float | None, as_json: bool
) -> None:
    """Run one check once: CHECK of a configuration, or a type with its TARGET.

    \b
    cbmon probe shop-api
    cbmon probe http https://shop.example.net/health
    cbmon probe tcp db.example.net:5432
    cbmon probe http '{url: https://shop.example.net/, expect: {status: [200, 204]}}'
    """
    if target is None:
        look = _configured(check, config)
    else:
        look = Look(check, _options(check, target), 5.0, None)
    result = asyncio.run(_run(look, timeout or look.timeout))
    if as_json:
        output.show_json(_json(result))
    else:
        _show(result)
    click.get_current_context().exit(FINE if result.ok else BAD_NEWS)


class Look(NamedTuple):
    """What is looked at and how; ``plan`` is the check's way to confirm a failure."""

    kind: str
    options: Options
    timeout: float
    plan: Plan | None


def _configured(name: str, path: Path) -> Look:
    from cbmon.build import config_types, plan_of
    from cbmon.config import load_config
    from cbmon.errors import ConfigurationError

    try:
        config = load_config(path, types=config_types())
    except ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    for check in config.checks:
        if check.name == name:
            return Look(check.type, check.options, check.timeout, plan_of(check))
    known = ", ".join(check.name for check in config.checks[:10]) or "none"
    raise CommandError(
        f"{path} has no check {name!r} (it has: {known}); "
        "for a target that is not configured give a type and the target",
        USAGE,
    )


def _options(kind: str, target: str) -> Options:
    from pydantic import ValidationError

    from cbmon.errors import ConfigurationError
    from cbmon.probes import probe_type

    try:
        model = probe_type(kind).options
    except ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    try:
        found: Options = model.model_validate(_given(model, target))
    except ValidationError as error:
        lines = "\n".join(_refusal(kind, dict(item)) for item in error.errors())
        raise CommandError(lines, USAGE) from error
    return found


def _refusal(kind: str, item: Mapping[str, Any]) -> str:
    path = ".".join([kind, *map(str, item["loc"])])
    return f"{path}: {str(item['msg']).removeprefix('Value error, ')}"


def _given(model: type[Options], target: str) -> dict[str, Any]:
    """The target as the type's main option, or all options when it is written as a mapping."""
    if target.lstrip().startswith("{"):
        import yaml

        try:
            options = yaml.safe_load(target)
        except yaml.YAMLError as error:
            raise CommandError(f"the target is not readable as YAML: {error}", USAGE) from error
        return dict(options)
    fields = model.model_fields
    main = next((name for name, field in fields.items() if field.is_required()), None)
    return {main or next(iter(fields)): target}


async def _run(look: Look, timeout: float) -> Result:
    from cbmon.breaker import SystemClock
    from cbmon.probes import ProbeEnvironment, ProgramPolicy, probe_type
    from cbmon.probes.run import ONCE, run_planned

    clock = SystemClock()
    # Whoever types this may run the program anyway; for a configured check it was looked at.
    environment = ProbeEnvironment(clock=clock, programs=ProgramPolicy(everything=True))
    runner = probe_type(look.kind).build(look.options, environment)
    try:
        return await run_planned(runner, timeout, clock, look.plan or ONCE)
    finally:
        await runner.close()
        await environment.close()


def _json(result: Result) -> dict[str, Any]:
    return {
        "ok": result.ok,
        "duration_seconds": result.duration,
        "reason": result.reason,
        "error": result.error,
        "phases": result.phases._asdict(),
        "certificate_expiry": result.certificate_expiry,
        "facts": _plain(result.facts),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _show(result: Result) -> None:
    verdict = "passed" if result.ok else "failed"
    click.secho(
        f"{verdict} in {output.seconds(result.duration)}", fg="green" if result.ok else "red"
    )
    if result.reason is not None:
        output.echo(f"{result.reason}: {REASONS[result.reason]}")
        output.echo(f"  {result.error}")
    before = 0.0
    for name, spent in result.phases._asdict().items():
        if spent:
            output.echo(_phase(name, before, spent, result.duration))
            before += spent
    output.show_pairs(
        [(name.replace("_", " "), _fact(value)) for name, value in result.facts.items()]
    )


def _phase(name: str, before: float, spent: float, whole: float) -> str:
    """One line of the waterfall: when in the run, and how long."""
    scale = WIDTH / max(whole, before + spent)
    bar = " " * int(before * scale) + "█" * max(1, round(spent * scale))
    return f"  {name:<11}{output.seconds(spent):>10}  {bar}"


def _fact(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, dict):
        return ", ".join(f"{key} {_fact(item)}" for key, item in plain.items())
    return ", ".join(map(_fact, plain)) if isinstance(plain, list) else str(plain)
