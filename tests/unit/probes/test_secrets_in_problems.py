"""Rule: a configuration that is refused shows none of its secrets in saying so."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cbmon.config import ConfigError, ConfigTypes, load_config
from cbmon.config.fields import Options
from cbmon.probes import PROBES, probe_type

SECRET = "hunter2"


def options_of(name: str) -> type[Options]:
    return probe_type(name).options


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("postgres", {"dsn": f"postgres://u:{SECRET}@/d"}),
        ("postgres", {"dsn": f"postgres://:{SECRET}@h/d"}),
        ("postgres", {"dsn": f"postgres://u:{SECRET}@h:x/d"}),
        ("postgres", {"dsn": f"postgres://u@h/d?sslmode={SECRET}"}),
        ("postgres", {"dsn": f"postgres://u@h/d?{SECRET}=1"}),
        ("postgres", {"dsn": SECRET}),
        ("mysql", {"dsn": f"mysql://u:{SECRET}@/d"}),
        ("heartbeat", {"token": SECRET, "interval": "1h"}),
        ("heartbeat", {"token": f"{SECRET}/{'x' * 20}", "interval": "1h"}),
        ("grpc", {"address": "a", "bearer_token": SECRET}),
        ("llm", {"url": "x", "bearer_token": SECRET}),
        ("websocket", {"url": f"ws://u:{SECRET}@h/"}),
        ("promql", {"url": f"http://u:{SECRET}@h/", "query": "up"}),
    ],
)
def test_no_problem_repeats_a_secret(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    types = ConfigTypes(
        checks={name: partial(options_of, name) for name in PROBES},
        exports={},
        receivers={},
    )
    file = tmp_path / "cbmon.yml"
    file.write_text(json.dumps({"checks": [{"name": "a", kind: options}]}))

    with pytest.raises(ConfigError) as caught:
        load_config(file, types=types)

    assert caught.value.problems
    assert SECRET not in str(caught.value)
