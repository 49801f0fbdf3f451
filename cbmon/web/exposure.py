"""The web's part of judging a configuration: its web-config file, and who could reach it.

Rule: what nobody should run is refused before anything is bound, where the file says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cbmon.config import Config, ConfigError, Problem
from cbmon.config.exposure import exposure, is_exposed
from cbmon.config.fields import HostPort
from cbmon.web.webconfig import WebConfig, load_web_config


def web_config_of(
    config: Config, named: Path | None = None, listen: Sequence[str] = ()
) -> WebConfig | None:
    """The web-config file in force; None when there is none.

    ``named`` and ``listen`` are those of the command line, which win. ConfigError when the file
    cannot be used, or when other machines would be served without any credential.
    """
    path = named or config.web.config_file
    found = None if path is None else load_web_config(path)
    if config.web.tokens or (found is not None and found.authenticates):
        return found
    problems = tuple(_exposed(config, listen)) if listen else config.exposed
    if problems:
        raise ConfigError(problems)
    return found


def _exposed(config: Config, listen: Sequence[str]) -> Iterator[Problem]:
    for text in listen:
        where = (str(config.source), 1, 1, "--web.listen-address")
        try:
            address = HostPort.parse(text, listen=True)
        except ValueError as error:
            yield Problem(*where, str(error))
            continue
        if is_exposed(address):
            yield Problem(*where, exposure(address))
