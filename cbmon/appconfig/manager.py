"""The breakers of an application from its files: made, found, and changed while it runs.

Rule: a change is all or nothing. What is refused changes nothing and says everything that is
wrong; what is accepted is in force at once in the breakers that live, which keep their state.
What is accepted and does nothing is a BreakerWarning.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cbmon.appconfig.keys import LAYER
from cbmon.appconfig.layers import Layer, LayerReader
from cbmon.appconfig.model import BreakerConfig
from cbmon.appconfig.reading import Entry, Parts, read_files, read_text
from cbmon.appconfig.resolve import Resolver
from cbmon.breaker import BreakerPolicy, BreakerWarning, CircuitBreaker
from cbmon.breaker.registry import BreakerRegistry
from cbmon.config.nodes import Block
from cbmon.config.problems import ConfigError, Place, Problem, Problems
from cbmon.config.words import shown
from cbmon.resilience import Bulkhead

log = logging.getLogger(__name__)

ENVIRONMENT: Final = "CBMON_ENVIRONMENT"
"""The variable that names the environment when the program does not."""

Callback = Callable[[BreakerConfig | None, BreakerConfig | None], object]
"""Told the config before and after: None before the first, None after the last."""


class BreakerConfigs:
    """What the files say, and the breakers that are made of it.

    ``environment`` chooses the overlay; None is the one that ``CBMON_ENVIRONMENT`` names, or no
    overlay. ``registry`` is where the breakers are made. ``warnings`` are the fields that do
    nothing under the kind they are set for. Made by :func:`load_breakers`. Threads may share it.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        environment: str | None = None,
        registry: BreakerRegistry | None = None,
        source: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.environment = environment
        self.registry = BreakerRegistry() if registry is None else registry
        self.source = source
        self._environ = environ
        self._lock = threading.RLock()
        self._parts = parts
        self._overrides: dict[str, Layer] = {}
        self._callbacks: list[Callback] = []
        self._bulkheads: dict[str, Bulkhead] = {}
        self._configs, self.environments, self.warnings = _checked(parts, environment, {})

    # --- asking --------------------------------------------------------------------------

    def __iter__(self) -> Iterator[BreakerConfig]:
        return iter(list(self._configs.values()))

    def __len__(self) -> int:
        return len(self._configs)

    def __contains__(self, name: object) -> bool:
        return name in self._configs

    def __getitem__(self, name: str) -> BreakerConfig:
        return self._configs[name]

    def by_tag(self, tag: str) -> list[BreakerConfig]:
        """Those that have the tag."""
        return [config for config in self if tag in config.tags]

    def by_category(self, category: str) -> list[BreakerConfig]:
        """Those of a category."""
        return [config for config in self if config.category == category]

    def by_environment(self, environment: str) -> list[BreakerConfig]:
        """Those that there are in an environment, as they are there; KeyError for an unknown."""
        if environment not in self.environments:
            raise KeyError(environment)
        configs, _, _ = _checked(self._parts, environment, self._overrides)
        return list(configs.values())

    # --- what is made of it --------------------------------------------------------------

    def breaker(self, name: str) -> CircuitBreaker:
        """The breaker of that name, made if it is asked for the first time; KeyError."""
        with self._lock:
            config = self._configs[name]
            known = name in self.registry
            breaker = self.registry.get(name)
            if not known:
                _reshape(breaker, config.policy, "loaded")
            return breaker

    def bulkhead(self, name: str) -> Bulkhead | None:
        """The bulkhead of that breaker, shared by those of one ``pool``; KeyError."""
        return bulkhead_of(self._configs[name], self._bulkheads)

    # --- changing it ---------------------------------------------------------------------

    def on_change(self, callback: Callback) -> None:
        """Call ``callback(before, after)`` for every config that changes, comes or goes.

        It is called outside any lock, after the change is in force; one that raises is logged.
        """
        with self._lock:
            self._callbacks.append(callback)

    def update(self, name: str, /, **settings: Any) -> BreakerConfig:
        """Change settings of one breaker from now on, on top of what the files say.

        Values are those of the file (``call_timeout="15s"``, ``bulkhead={"queue_timeout": 2}``).
        KeyError for an unknown name, ConfigError with everything that is wrong.
        """
        problems, file = Problems(), f"update({name})"
        block = _block(settings, file)
        layer = LayerReader(problems).read(block, "", LAYER)
        with self._lock:
            before = self._configs[name]
            over = layer.over(self._overrides.get(name, Layer()))
            entry = self._parts.entries[name]
            resolver = Resolver(self._parts, problems)
            after = resolver.one(entry, self.environment, over)
            problems.check([file])
            self._overrides[name] = over
            self._configs[name] = after
            self._apply(after)
        self._tell([(before, after)])
        _warn([idle for idle in resolver.warnings() if idle.file == file])
        return after

    def reload(self) -> list[str]:
        """Read the files again; the names of what changed. ConfigError changes nothing.

        Updates made at run time stay on top. RuntimeError when it did not come from files.
        """
        if self.source is None:
            raise RuntimeError("these breakers came from no file")
        problems = Problems()
        parts = read_files(self.source, self._environ, problems)
        problems.check(parts.files)
        with self._lock:
            kept = {name: it for name, it in self._overrides.items() if name in parts.entries}
            configs, environments, idle = _checked(parts, self.environment, kept)
            changes = _differences(self._configs, configs)
            self._parts, self._overrides = parts, kept
            self._configs, self.environments = configs, environments
            fresh, self.warnings = [it for it in idle if it not in self.warnings], idle
            for before, after in changes:
                if after is not None:
                    self._apply(after)
                elif before is not None:
                    self.registry.remove(before.name)
        self._tell(changes)
        _warn(fresh)
        return [one.name for before, after in changes if (one := after or before) is not None]

    def _apply(self, config: BreakerConfig) -> None:
        if config.name in self.registry:
            _reshape(self.registry.get(config.name), config.policy, "updated")

    def _tell(self, changes: list[tuple[BreakerConfig | None, BreakerConfig | None]]) -> None:
        for before, after in changes:
            if before == after:
                continue
            for callback in tuple(self._callbacks):
                try:
                    callback(before, after)
                except Exception:  # a callback of somebody else harms no other
                    log.exception("callback of a configuration change failed")


def load_breakers(
    path: Path | str,
    *,
    environment: str | None = None,
    registry: BreakerRegistry | None = None,
    environ: Mapping[str, str] = os.environ,
) -> BreakerConfigs:
    """Read a file, or all files of a directory; ConfigError has every problem with its place."""
    source = Path(path)
    problems = Problems()
    parts = read_files(source, environ, problems)
    chosen = environment or environ.get(ENVIRONMENT) or None
    return _made(
        parts,
        problems,
        environment=chosen,
        registry=registry,
        source=source,
        environ=environ,
    )


def parse_breakers(
    text: str,
    *,
    environment: str | None = None,
    registry: BreakerRegistry | None = None,
    environ: Mapping[str, str] = os.environ,
) -> BreakerConfigs:
    """The same from a text."""
    problems = Problems()
    parts = read_text(text.encode(), "<text>", environ, problems)
    chosen = environment or environ.get(ENVIRONMENT) or None
    return _made(
        parts,
        problems,
        environment=chosen,
        registry=registry,
        source=None,
        environ=environ,
    )


def breaker_config(
    name: str, template: str = "conservative", *, environment: str | None = None, **settings: Any
) -> BreakerConfig:
    """One config without a file: a template and what is different from it; ConfigError."""
    problems, file = Problems(), f"breaker_config({name})"
    layer = LayerReader(problems).read(_block(settings, file), "", LAYER)
    place = (Place(file, 1, 1), "")
    base = Layer(template=template, template_place=(place[0], "template"))
    entry = Entry(name=name, place=place, layer=layer.over(base))
    resolver = Resolver(Parts(entries={name: entry}), problems)
    config = resolver.one(entry, environment)
    problems.check([file])
    _warn(resolver.warnings())
    return config


def validate(path: Path | str, *, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Every problem of a file or directory as ``file:line:col: path: message``; empty if none.

    What does nothing is no problem but a BreakerWarning, in the same words.
    """
    try:
        load_breakers(path, environ=environ)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def bulkhead_of(config: BreakerConfig, shared: dict[str, Bulkhead]) -> Bulkhead | None:
    """A bulkhead as a config says; one that names a pool is kept in ``shared``.

    The first that names a pool decides its size.
    """
    settings = config.bulkhead
    if settings is None:
        return None
    if settings.pool is not None and settings.pool in shared:
        return shared[settings.pool]
    made = Bulkhead(
        settings.pool or config.name,
        max_concurrent_calls=settings.max_concurrent_calls,
        queue_timeout=settings.queue_timeout,
        max_queued=settings.max_queued,
    )
    if settings.pool is not None:
        shared[settings.pool] = made
    return made


def _reshape(breaker: CircuitBreaker, policy: BreakerPolicy, why: str) -> None:
    """Bring a policy into force; a predicate, which no file can hold, stays."""
    wanted = policy.replace(is_failure=breaker.policy.is_failure)
    if breaker.policy != wanted:
        breaker.reconfigure(wanted, actor="configuration", reason=why)


def _made(
    parts: Parts,
    problems: Problems,
    *,
    environment: str | None,
    registry: BreakerRegistry | None,
    source: Path | None,
    environ: Mapping[str, str],
) -> BreakerConfigs:
    _check_all(parts, problems, environment)
    problems.check(parts.files)
    made = BreakerConfigs(
        parts, environment=environment, registry=registry, source=source, environ=environ
    )
    _warn(made.warnings, stacklevel=4)
    return made


def _warn(idle: Iterable[Problem], *, stacklevel: int = 3) -> None:
    """A BreakerWarning for each field without effect, at the line of who gave it."""
    for one in idle:
        warnings.warn(str(one), BreakerWarning, stacklevel=stacklevel)


def _check_all(parts: Parts, problems: Problems, environment: str | None) -> Resolver:
    """Every environment is looked at, not only the one in force."""
    resolver = Resolver(parts, problems)
    known = resolver.check()
    if environment is not None and known and environment not in known:
        file = parts.files[0] if parts.files else ""
        hint = problems.suggest(environment, known)
        message = f"no environment is called {shown(environment)}{hint}"
        problems.add(Place(file, 1, 1), "environments", message)
    return resolver


def _checked(
    parts: Parts, environment: str | None, overrides: Mapping[str, Layer]
) -> tuple[dict[str, BreakerConfig], tuple[str, ...], tuple[Problem, ...]]:
    problems = Problems()
    resolver = _check_all(parts, problems, environment)
    configs = resolver.resolve(environment)
    for name, over in overrides.items():
        if name in configs:
            configs[name] = resolver.one(parts.entries[name], environment, over)
    problems.check(parts.files)
    return configs, resolver.environments(), resolver.warnings()


def _differences(
    old: Mapping[str, BreakerConfig], new: Mapping[str, BreakerConfig]
) -> list[tuple[BreakerConfig | None, BreakerConfig | None]]:
    names = dict.fromkeys((*old, *new))
    pairs = [(old.get(name), new.get(name)) for name in names]
    return [(before, after) for before, after in pairs if before != after]


class _Mark:
    line = column = 0


def _block(settings: Mapping[str, Any], file: str) -> Block:
    """Settings given in Python, as the reader would have given them."""
    block = Block(file, _Mark)
    for key, value in settings.items():
        block[key] = _block(value, file) if isinstance(value, dict) else _plain(value)
        block.places[key] = (_Mark, _Mark)
    return block


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
