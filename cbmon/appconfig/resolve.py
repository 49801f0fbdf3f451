"""Entries, templates and environments put together: what each breaker is in one environment.

Rules:

* From the bottom: the template that the most specific layer names, ``defaults`` (when no layer
  names a template), the entry, the environment, the entry's own part of that environment.
* A field that is written and does nothing wherever it is used, because the kind has no use for
  it, is a warning: nothing is refused for it, and nobody is left to believe in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cbmon.appconfig.layers import Layer, policy_of
from cbmon.appconfig.model import BreakerConfig, BulkheadConfig, HealthCheckConfig, RetryConfig
from cbmon.appconfig.reading import Entry, Parts
from cbmon.breaker import BreakerPolicy
from cbmon.breaker.validation import ignored_fields
from cbmon.config.problems import Place, Problem, Problems
from cbmon.config.templates import BUILT_IN
from cbmon.config.words import shown
from cbmon.resilience import Bulkhead, retry
from cbmon.resilience.checks import at_least, positive

T = TypeVar("T")
Where = tuple[Place, str]
Fields = dict[str, Any]
Places = dict[str, Where]


class Resolver:
    """Makes the configs of one environment (None: without overlays)."""

    def __init__(self, parts: Parts, problems: Problems) -> None:
        self._parts = parts
        self._problems = problems
        self._idle: dict[Where, str] = {}
        self._used: set[Where] = set()
        self._template_places: dict[str, Places] = {}
        self._templates = self._resolved_templates()

    def warnings(self) -> tuple[Problem, ...]:
        """The fields that do nothing in all that was looked at so far, sorted by place."""
        idle = ((where, why) for where, why in self._idle.items() if where not in self._used)
        return tuple(
            sorted(
                Problem(place.file, place.line, place.column, path, f"has no effect, because {why}")
                for (place, path), why in idle
            )
        )

    def environments(self) -> tuple[str, ...]:
        """Every environment that is named anywhere, sorted."""
        found = set(self._parts.environments)
        for entry in self._parts.entries.values():
            found.update(entry.environments)
            found.update(entry.only_in or ())
        return tuple(sorted(found))

    def check(self) -> tuple[str, ...]:
        """Look at every entry in every environment; the environments."""
        known = self.environments()
        for environment in (None, *known):
            for entry in (*self._parts.entries.values(), *self._parts.refused):
                self.one(entry, environment)
        return known

    def resolve(self, environment: str | None) -> dict[str, BreakerConfig]:
        """The breakers that there are in an environment, by name."""
        return {
            name: self.one(entry, environment)
            for name, entry in self._parts.entries.items()
            if environment is None or entry.only_in is None or environment in entry.only_in
        }

    def one(
        self, entry: Entry, environment: str | None, over: Layer | None = None
    ) -> BreakerConfig:
        """One of them; ``over`` is laid over everything else."""
        layer, template = self._stack(entry, environment, over)
        policy = policy_of(self._fields(template, layer), layer, entry.place, self._problems)
        self._weigh(policy, {**self._template_places.get(template, {}), **layer.places})
        settings = layer.settings
        return BreakerConfig(
            name=entry.name,
            policy=policy,
            environment=environment,
            template=template,
            category=settings.get("category", ""),
            tags=settings.get("tags", ()),
            description=settings.get("description", ""),
            priority=settings.get("priority"),
            url=settings.get("url"),
            bulkhead=self._nested(layer, "bulkhead", BulkheadConfig, _check_bulkhead, entry.place),
            retry=self._nested(layer, "retry", RetryConfig, _check_retry, entry.place),
            health_check=self._nested(
                layer, "health_check", HealthCheckConfig, _check_health, entry.place
            ),
            fallback=settings.get("fallback"),
            metadata=settings.get("metadata", {}),
        )

    def _stack(
        self, entry: Entry, environment: str | None, over: Layer | None
    ) -> tuple[Layer, str]:
        upper = entry.layer
        if environment is not None:
            upper = self._parts.environments.get(environment, Layer()).over(upper)
            upper = entry.environments.get(environment, Layer()).over(upper)
        if over is not None:
            upper = over.over(upper)
        defaults = self._parts.defaults
        if upper.template is not None:  # a template says all that defaults would
            defaults = Layer(settings=defaults.settings, nested=defaults.nested)
        layer = upper.over(defaults)
        return layer, layer.template or "conservative"

    def _weigh(self, policy: BreakerPolicy, places: Places) -> None:
        """Note which of the written fields the kind has a use for."""
        ignored = ignored_fields(policy.kind)
        for name, where in places.items():
            if name in ignored:
                self._idle.setdefault(where, ignored[name])
            else:
                self._used.add(where)

    def _fields(self, template: str, layer: Layer) -> Mapping[str, Any]:
        found = self._templates.get(template)
        if found is None:
            if layer.template_place is not None:
                known = self._problems.suggest(template, self._templates)
                message = f"unknown template {shown(template)}{known}"
                self._problems.add(*layer.template_place, message)
            return {}
        return found

    def _nested(
        self,
        layer: Layer,
        key: str,
        kind: Callable[..., T],
        check: Callable[[T], object],
        place: Where,
    ) -> T | None:
        if key not in layer.nested:
            return None
        made = kind(**layer.nested[key])
        try:
            check(made)
        except ValueError as error:
            self._problems.add(*place, f"{key}: {error}")
        return made

    def _resolved_templates(self) -> dict[str, Fields]:
        found: dict[str, Fields] = {name: dict(fields) for name, (_, fields) in BUILT_IN.items()}
        for name in self._parts.templates:
            self._template(name, found, ())
        return found

    def _template(self, name: str, found: dict[str, Fields], below: tuple[str, ...]) -> Fields:
        if name in found and name not in self._parts.templates:
            return found[name]
        base, layer, where = self._parts.templates[name]
        if name in BUILT_IN:
            self._problems.add(*where, f"{shown(name)} is built in; take another name")
        if name in below:
            chain = " → ".join((*below, name))
            self._problems.add(*where, f"templates in a circle: {chain}")
            return {}
        if base not in found and base not in self._parts.templates:
            words = [*found, *self._parts.templates]
            message = f"unknown template {shown(base)}{self._problems.suggest(base, words)}"
            self._problems.add(*where, message)
            fields: Fields = {}
        else:
            fields = self._template(base, found, (*below, name))
        policy = policy_of(fields, layer, where, self._problems)
        self._template_places[name] = {**self._template_places.get(base, {}), **layer.places}
        if not self._is_named(name):
            self._weigh(policy, layer.places)
        found[name] = {**fields, **layer.policy}
        return found[name]

    def _is_named(self, template: str) -> bool:
        """Whether anything builds on the template: then that decides what its fields do."""
        parts = self._parts
        layers = [parts.defaults, *parts.environments.values()]
        for entry in parts.entries.values():
            layers += [entry.layer, *entry.environments.values()]
        bases = {base for base, _, _ in parts.templates.values()}
        return template in bases or any(layer.template == template for layer in layers)


def _check_bulkhead(config: BulkheadConfig) -> None:
    Bulkhead(
        "check",
        max_concurrent_calls=config.max_concurrent_calls,
        queue_timeout=config.queue_timeout,
        max_queued=config.max_queued,
    )


def _check_retry(config: RetryConfig) -> None:
    retry(attempts=config.attempts, deadline=config.deadline)


def _check_health(config: HealthCheckConfig) -> None:
    positive("interval", config.interval)
    positive("timeout", config.timeout)
    at_least("successes", config.successes, 1)
