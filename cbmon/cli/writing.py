"""Writing what is in force back into the configuration's file, if that is safe.

Rule: the new file is loaded before it takes the place of the old one. It has to give just the
policies that are in force, and be otherwise the same; else the old one stays as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cbmon.cli.problem import BAD_NEWS, CommandError
from cbmon.cli.settings import as_patch
from cbmon.config import Config, load_config
from cbmon.config.rewriting import RewriteError, names_in, rewritten
from cbmon.errors import ConfigurationError
from cbmon.settings import from_json

ByName = dict[str, dict[str, Any]]
NOT_HERE = "not in this file, or not to be said in it"


@dataclass(frozen=True, slots=True)
class _Sorted:
    """Where each difference goes: an entry, the template of a discovery, or nowhere here."""

    entries: ByName = field(default_factory=dict)
    templates: ByName = field(default_factory=dict)
    left: list[Mapping[str, Any]] = field(default_factory=list)


def write_back(file: Path, differences: Sequence[Mapping[str, Any]]) -> str:
    """Write the differences into ``file``; what was done, for a person.

    Raises CommandError with the YAML to paste for what cannot be written there.
    """
    if not differences:
        return f"nothing differs from the YAML; {file} stays as it is"
    beside = file.with_name(f".{file.name}.new")
    try:
        before, text = _load(file), file.read_text(encoding="utf-8")
        found = _sorted(before, text, differences)
        if not found.entries and not found.templates:
            raise RewriteError(f"{_names(found.left)}: {NOT_HERE}")
        beside.write_text(rewritten(text, found.entries, found.templates), encoding="utf-8")
        if not _is_wanted(_load(beside), before, found):
            raise RewriteError("the result would mean something else than what is in force")
        shutil.copymode(file, beside)
        beside.replace(file)
    except (ConfigurationError, OSError, ValueError) as error:
        message = f"cannot write {file}: {error}\n{as_patch(differences)}".rstrip()
        raise CommandError(message, BAD_NEWS) from error
    finally:
        beside.unlink(missing_ok=True)
    templates = [f"the template of {name}" for name in found.templates]
    done = f"wrote {file}: {', '.join([*found.entries, *templates])}"
    if found.left:
        rest = f"{_names(found.left)}: {NOT_HERE}\n{as_patch(found.left)}".rstrip()
        raise CommandError(f"{done}\n{rest}", BAD_NEWS)
    return f"{done}; now: cbmon reload, then cbmon config unset what it says"


def _load(file: Path) -> Config:
    from cbmon.build import config_types

    return load_config(file, types=config_types())


def _sorted(config: Config, text: str, differences: Sequence[Mapping[str, Any]]) -> _Sorted:
    entries, discoveries = names_in(text)
    written = {entry.name for entry in (*config.checks, *config.exports)}
    found, of_all = _Sorted(), dict[str, Any]()
    for one in differences:
        if one["name"] in entries:
            found.entries.setdefault(one["name"], {})[one["field"]] = one["value"]
        elif one["name"] not in written and one["source"] == "database" and discoveries:
            of_all[one["field"]] = one["value"]  # a discovered check, as all of them
        else:
            found.left.append(one)
    for name, policy in _policies(config, discoveries).items():
        values = {key: from_json(key, value) for key, value in of_all.items()}
        news = {key: of_all[key] for key, value in values.items() if getattr(policy, key) != value}
        if news:
            found.templates[name] = news
    return found


def _policies(config: Config, names: frozenset[str]) -> dict[str, Any]:
    expander = config.expander
    if expander is None:
        return {}
    pairs = {one.name: expander.policy_of(one.name) for one in config.discovery}
    if None in pairs.values():
        raise RewriteError("the breaker of a discovery's template differs from target to target")
    return {name: policy for name, policy in pairs.items() if name in names}


def _is_wanted(after: Config, before: Config, found: _Sorted) -> bool:
    """Whether only the settings that were meant have changed."""
    wanted = _wanted(before, found.entries)
    if not found.templates:
        return after == wanted
    policies = _policies(after, frozenset(found.templates))
    for name, policy in _policies(before, frozenset(found.templates)).items():
        if policies[name] != _changed(policy, found.templates[name]):
            return False
    return _without_breakers(after, found) == _without_breakers(wanted, found)


def _wanted(config: Config, changes: ByName) -> Config:
    """The configuration with these settings in place, and nothing else changed."""

    def changed(entry: Any) -> Any:
        its = changes.get(entry.name)
        return entry if its is None else replace(entry, policy=_changed(entry.policy, its))

    return replace(
        config,
        checks=tuple(map(changed, config.checks)),
        exports=tuple(map(changed, config.exports)),
    )


def _changed(policy: Any, values: Mapping[str, Any]) -> Any:
    return policy.replace(**{name: from_json(name, value) for name, value in values.items()})


def _without_breakers(config: Config, found: _Sorted) -> Config:
    """The configuration without the breakers of the templates that change."""

    def bare(one: Any) -> Any:
        if one.name not in found.templates:
            return one
        template = {key: value for key, value in one.template.items() if key != "breaker"}
        return replace(one, template=template)

    return replace(config, discovery=tuple(map(bare, config.discovery)))


def _names(differences: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(str(one["name"]) for one in differences))
