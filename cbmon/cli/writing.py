"""Writing what is in force back into the configuration's file, if that is safe.

Rule: the new file is loaded before it takes the place of the old one. It has to give just the
policies that are in force, and be otherwise the same; else the old one stays as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cbmon.cli.problem import BAD_NEWS, CommandError
from cbmon.cli.settings import as_patch
from cbmon.config import Config, load_config
from cbmon.config.rewriting import RewriteError, rewritten
from cbmon.errors import ConfigurationError
from cbmon.settings import from_json


def write_back(file: Path, differences: Sequence[Mapping[str, Any]]) -> str:
    """Write the differences into ``file``; what was done, for a person.

    Raises CommandError with the YAML to paste where it cannot be done.
    """
    changes: dict[str, dict[str, Any]] = {}
    for one in differences:
        changes.setdefault(one["name"], {})[one["field"]] = one["value"]
    if not changes:
        return f"nothing differs from the YAML; {file} stays as it is"
    beside = file.with_name(f".{file.name}.new")
    try:
        before = _load(file)
        beside.write_text(rewritten(file.read_text(encoding="utf-8"), changes), encoding="utf-8")
        if _load(beside) != _wanted(before, changes):
            raise RewriteError("the result would mean something else than what is in force")
        shutil.copymode(file, beside)
        beside.replace(file)
    except (ConfigurationError, OSError, ValueError) as error:
        message = f"cannot write {file}: {error}\n{as_patch(differences)}".rstrip()
        raise CommandError(message, BAD_NEWS) from error
    finally:
        beside.unlink(missing_ok=True)
    names = ", ".join(changes)
    return f"wrote {file}: {names}; now: cbmon reload, then cbmon config unset what it says"


def _load(file: Path) -> Config:
    from cbmon.build import config_types

    return load_config(file, types=config_types())


def _wanted(config: Config, changes: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration with these settings in place, and nothing else changed."""

    def changed(entry: Any) -> Any:
        its = changes.get(entry.name)
        if its is None:
            return entry
        values = {name: from_json(name, value) for name, value in its.items()}
        return replace(entry, policy=entry.policy.replace(**values))

    return replace(
        config,
        checks=tuple(map(changed, config.checks)),
        exports=tuple(map(changed, config.exports)),
    )
