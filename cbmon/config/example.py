"""The commented cbmon.yml that ``cbmon init`` writes.

Rule: options, descriptions and defaults come from the models; the file loads as it is.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import BaseModel

from cbmon.config.model import ConfigTypes
from cbmon.config.policies import BUILT_IN
from cbmon.config.reference import model_description
from cbmon.config.schema import model_schema
from cbmon.config.sections import DefaultsSection, GlobalSection, StorageSection, WebSection

_WIDTH: Final = 96

_HEAD: Final = """\
# yaml-language-server: $schema=cbmon.schema.json
#
# The configuration of cbmon. Lines that begin with "#" show what else there is, with its default.
# Check it with:     cbmon check-config cbmon.yml
# Editor completion: cbmon schema > cbmon.schema.json
#
# Durations are 500ms, 30s, 5m, 1h30m or 7d; sizes 64KiB or 1MB; ratios 0.4 or 40%.
# ${NAME} and ${NAME:-default} are taken from the environment; $${ is a literal ${.
# Secrets stay out of this file: beside each there is an option that ends in _file.
"""

_TEMPLATES: Final = """\
templates:
  # slow-start: {base: lenient, recovery_backoff: 2, recovery_jitter: 20%}

# More files; patterns are relative to this one.
# include: ["conf.d/*.yml"]
"""

_CHECKS: Final = """\
checks:
"""

_HTTP: Final = """\
  # cbmon itself, to begin with.
  - name: cbmon
    http:
      url: http://127.0.0.1:9813/-/healthy
    # interval: 15s
    # timeout: 2s
    # breaker: {template: aggressive, failure_threshold: 2}
    # depends_on: [network]
    # group: monitoring
    # tags: [critical]
    # labels: {team: platform}
    # receivers: [oncall]
"""

_TCP: Final = """\
  # - name: ssh
  #   tcp: {address: "127.0.0.1:22"}
"""

_EXPORTS: Final = """\
exports:
  # - {name: node-textfile, textfile: {path: /var/lib/node_exporter/cbmon.prom}, interval: 15s}
"""

_NOTIFICATIONS: Final = """\
notifications:
  # route: {receiver: oncall, group_by: [group], group_wait: 10s, repeat_interval: 4h}
  # receivers:
  #   - {name: oncall, webhook: {url_file: /run/credentials/cbmon.service/webhook}}
"""


def example(types: ConfigTypes) -> str:
    """The file's text."""
    checks = [_CHECKS]
    checks += [text for kind, text in (("http", _HTTP), ("tcp", _TCP)) if kind in types.checks]
    return "\n".join(
        [
            _HEAD,
            _section("global", GlobalSection),
            _section("storage", StorageSection),
            _section("web", WebSection),
            _listed("Breaker templates of one's own. Built in:", BUILT_IN) + _TEMPLATES,
            _section("defaults", DefaultsSection),
            _listed("What is looked at. The key of a type:", types.checks) + "\n".join(checks),
            _listed("Where metrics go besides /metrics. The key of a type:", types.exports)
            + _EXPORTS,
            _listed("Who is told. The key of a type:", types.receivers) + _NOTIFICATIONS,
        ]
    )


def _listed(text: str, names: Iterable[str]) -> str:
    return "\n".join(_comment("", f"{text} {', '.join(names)}.")) + "\n"


def _section(key: str, model: type[BaseModel]) -> str:
    schema = model_schema(model)
    lines = [*_comment("", " ".join((model.__doc__ or "").split())), f"{key}:"]
    for name, option in schema["properties"].items():
        lines += _comment("  ", model_description(model, name))
        lines.append(f"  # {name}: {_written(option.get('default'))}".rstrip())
    return "\n".join(lines) + "\n"


def _comment(indent: str, text: str) -> Iterator[str]:
    lead = f"{indent}# "
    yield from textwrap.wrap(text, _WIDTH, initial_indent=lead, subsequent_indent=lead)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value is not None else ""
