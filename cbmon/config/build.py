"""From validated parts to one resolved configuration.

Rule: every part is looked at, whatever is wrong with the others. Rules that need two parts to
agree live here; those of one part live with its model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from cbmon.config.alerting import AlertingSection, check_slos
from cbmon.config.breakers import TemplateSettings
from cbmon.config.discovering import Expander, configured
from cbmon.config.entries import Entries
from cbmon.config.exposure import exposures
from cbmon.config.fields import Options
from cbmon.config.includes import Document, Documents
from cbmon.config.known import OutdatedError
from cbmon.config.model import (
    CheckConfig,
    Config,
    ConfigTypes,
    DiscoveryConfig,
    NotificationsConfig,
    ReceiverConfig,
)
from cbmon.config.nodes import Block, Items, key_place, place_of, value_place
from cbmon.config.notifying import RULE_KEYS, NotificationRules
from cbmon.config.policies import BUILT_IN, Policies
from cbmon.config.problems import Place, Problem, Problems
from cbmon.config.references import References
from cbmon.config.routes import Route, RouteSection, complete
from cbmon.config.sections import (
    DefaultsSection,
    GlobalSection,
    StorageSection,
    WebSection,
)
from cbmon.config.translate import tell_key
from cbmon.config.validation import Part, Validator
from cbmon.config.words import shown

SINGLE: Final = ("global", "storage", "web", "defaults", "alerting")
"""Sections that stand in one file only."""
SECTIONS: Final = (
    *SINGLE, "templates", "include", "checks", "discovery", "exports", "notifications",
)  # fmt: skip
NOTIFICATION_KEYS: Final = ("route", "receivers", *RULE_KEYS)
PRIVATE: Final = "x-"
"""Keys of the top level that begin so are left alone: a place for anchors."""

_WRONG: Final = (None, False)
"""In the place of an entry that is no mapping, which is told."""

SectionT = TypeVar("SectionT", bound=Options)
EntryT = TypeVar("EntryT")


def build(documents: Documents, types: ConfigTypes, problems: Problems, source: Path) -> Config:
    """The configuration; it is only good if ``problems`` has nothing to tell afterwards.

    OutdatedError when a check that is known does not go with the rest.
    """
    return _Builder(documents, types, problems).build(source)


class _Builder:
    def __init__(self, documents: Documents, types: ConfigTypes, problems: Problems) -> None:
        self._documents = documents
        self._types = types
        self._problems = problems
        self._validator = Validator(problems)
        self._references = References(problems, complete=documents.complete)
        self._parts = [Part(one.root, "", one.directory) for one in documents.found]
        readings = (one.reading for one in documents.found)
        self._known = [known for one in readings for known in one.known if known is not None]

    def build(self, source: Path) -> Config:
        for document in self._documents.found:
            self._check_keys(document)
        settings = self._section("global", GlobalSection) or GlobalSection()
        storage = self._section("storage", StorageSection) or StorageSection()
        web = self._section("web", WebSection) or WebSection()
        defaults = self._section("defaults", DefaultsSection) or DefaultsSection()
        entries = self._entries(settings, defaults)
        checks = self._checks(entries)
        exports = self._all("exports", self._parts, entries.export)
        notifications = self._notifications(entries)
        alerting = self._alerting()
        self._references.check()
        discovery, expander = self._discoveries(entries, settings, defaults)
        return Config(
            source=source,
            warnings=self._validator.warnings(),
            exposed=self._exposed(web),
            files=tuple(self._documents.paths),
            external_url=settings.external_url,
            labels=settings.labels,
            exec_allow=settings.exec_allow,
            retry_disabled=defaults.retry_disabled,
            storage=storage,
            web=web,
            checks=checks,
            exports=exports,
            notifications=notifications,
            alerting=alerting,
            discovery=discovery,
            expander=expander,
        )

    def _entries(self, settings: GlobalSection, defaults: DefaultsSection) -> Entries:
        return Entries(
            types=self._types,
            defaults=defaults,
            policies=self._policies(defaults),
            validator=self._validator,
            references=self._references,
            problems=self._problems,
            programs=settings.exec_allow,
        )

    def _discoveries(
        self, entries: Entries, settings: GlobalSection, defaults: DefaultsSection
    ) -> tuple[tuple[DiscoveryConfig, ...], Expander | None]:
        if not any("discovery" in part.block for part in self._parts):
            return (), None
        if self._known:
            raise OutdatedError  # its targets are judged by what is written, place for place
        expander = self._expander(settings, defaults)
        make = partial(self._discovery, entries, expander)
        return self._all("discovery", self._parts, make), expander

    def _expander(self, settings: GlobalSection, defaults: DefaultsSection) -> Expander:
        """What makes checks later on, with problems of its own."""
        apart = _Builder(self._documents, self._types, Problems())
        notifications = [
            part
            for one in self._parts
            if (part := apart._validator.part(one, "notifications")) is not None
        ]
        return Expander(
            entries=apart._entries(settings, defaults),
            problems=apart._problems,
            written=(
                apart._listed("checks", self._parts),
                apart._listed("exports", self._parts),
                apart._listed("receivers", notifications),
            ),
        )

    def _listed(self, key: str, parents: list[Part]) -> list[Part]:
        return [part for parent in parents for part in self._validator.parts(parent, key)]

    def _discovery(
        self, entries: Entries, expander: Expander, part: Part
    ) -> DiscoveryConfig | None:
        """Where targets come from, or None after telling what is wrong."""
        found = entries.discovery(part)
        if found is None:
            return None
        entry, kind, options = found
        if entry.name in expander.templates:
            message = f"duplicate name {shown(entry.name)}"
            self._problems.add(value_place(part.block, "name"), part.at("name"), message)
            return None
        template = self._validator.part(part, "template")
        assert template is not None  # noqa: S101 - the model says that it is a mapping
        interval = expander.add(entry.name, template, self._problems)
        return configured(entry, kind, options, template.block, interval)

    def _exposed(self, web: WebSection) -> tuple[Problem, ...]:
        """What is wrong with where it listens unless somebody authenticates after all."""
        part = self._single(self._parts, "web")
        return () if part is None or web.tokens else exposures(part.block, web.listen)

    def _all(
        self, key: str, parents: list[Part], make: Callable[[Part], EntryT | None]
    ) -> tuple[EntryT, ...]:
        parts = (part for parent in parents for part in self._validator.parts(parent, key))
        return tuple(made for part in parts if (made := make(part)) is not None)

    def _checks(self, entries: Entries) -> tuple[CheckConfig, ...]:
        """Every check in its place; those that are known as they are."""
        self._references.take(self._known)
        found: list[CheckConfig] = []
        for document, parent in zip(self._documents.found, self._parts, strict=True):
            known = document.reading.known
            left = [place for place, one in enumerate(known) if one is None]
            parts = self._validator.parts(parent, "checks", left if any(known) else None)
            looked = [self._check(entries, part) for part in parts]
            if any(known):
                rest = iter(looked)
                looked = [(one, True) if one else next(rest, _WRONG) for one in known]
            document.made.extend(check if lasting else None for check, lasting in looked)
            found += [check for check, _ in looked if check is not None]
        return tuple(found)

    def _check(self, entries: Entries, part: Part) -> tuple[CheckConfig | None, bool]:
        """A check, and whether it is made of what is written alone."""
        before = self._validator.outside
        return entries.check(part), self._validator.outside == before

    def _check_keys(self, document: Document) -> None:
        for key in document.root:
            if key not in SECTIONS and not key.startswith(PRIVATE):
                tell_key(document.root, key, path="", problems=self._problems, known=SECTIONS)
        notifications = document.root.get("notifications")
        if isinstance(notifications, Block):
            for key in notifications:
                if key not in NOTIFICATION_KEYS:
                    tell_key(
                        notifications,
                        key,
                        path="notifications",
                        problems=self._problems,
                        known=NOTIFICATION_KEYS,
                    )

    def _section(self, key: str, model: type[SectionT]) -> SectionT | None:
        part = self._single(self._parts, key)
        return None if part is None else self._validator.validate(model, part)

    def _alerting(self) -> AlertingSection:
        part = self._single(self._parts, "alerting")
        if part is None:
            return AlertingSection()
        if self._documents.complete:
            roots = [one.block for one in self._parts]
            check_slos(part.block, part.path, roots, self._problems, self._known)
        return self._validator.validate(AlertingSection, part) or AlertingSection()

    def _single(self, parents: list[Part], key: str) -> Part | None:
        """The one mapping under a key that only one file may have."""
        first: Part | None = None
        for parent in parents:
            if parent.block.get(key) is None:
                continue
            if first is not None:
                where = key_place(first.block, key)
                message = f"{shown(key)} stands in {where.file}:{where.line} already"
                self._problems.add(key_place(parent.block, key), parent.at(key), message)
                continue
            first = parent
        return None if first is None else self._validator.part(first, key)

    def _policies(self, defaults: DefaultsSection) -> Policies:
        templates: dict[str, tuple[TemplateSettings, Block, str]] = {}
        for parent in self._parts:
            part = self._validator.part(parent, "templates")
            for name in part.block if part else ():
                assert part is not None  # noqa: S101 - for the type checker
                self._template(part, name, templates)
        policies = Policies(templates, self._problems, complete=self._documents.complete)
        for parent in self._parts:
            node = parent.block.get("defaults")
            if isinstance(node, Block) and "breaker" in node:
                policies.set_default(defaults.breaker, node, "defaults")
                break
        return policies

    def _template(
        self, part: Part, name: str, templates: dict[str, tuple[TemplateSettings, Block, str]]
    ) -> None:
        if name in BUILT_IN:
            message = f"{shown(name)} is built in; give yours another name"
            self._problems.add(key_place(part.block, name), part.path, message)
            return
        if name in templates:
            known = templates[name][1]
            place = Place(known.file, known.mark.line + 1, 1)
            message = f"duplicate template {shown(name)}; first in {place.file}:{place.line}"
            self._problems.add(key_place(part.block, name), part.path, message)
            return
        inner = self._validator.part(part, name)
        settings = inner and self._validator.validate(TemplateSettings, inner)
        if inner and settings:
            templates[name] = (settings, inner.block, inner.path)

    def _notifications(self, entries: Entries) -> NotificationsConfig:
        found = (self._validator.part(one, "notifications") for one in self._parts)
        parents = [part for part in found if part is not None]
        receivers = self._all("receivers", parents, entries.receiver)
        part = self._single(parents, "route")
        route = self._route(part) if part else self._default_route(parents, receivers)
        rules = self._rules(parents)
        if route is not None and part is not None and rules is not None:
            for message in rules.unknown_intervals(route):
                self._problems.add(place_of(part.block), part.path, message)
        return NotificationsConfig(
            route=route, receivers=receivers, rules=rules or NotificationRules()
        )

    def _rules(self, parents: list[Part]) -> NotificationRules | None:
        """When to be silent; None when that cannot be said."""
        found: NotificationRules | None = None
        for parent in parents:
            data = {key: value for key, value in parent.block.items() if key in RULE_KEYS}
            if not data:
                continue
            if found is not None:
                message = f"{', '.join(map(shown, RULE_KEYS))} stand in one file only"
                self._problems.add(key_place(parent.block, next(iter(data))), parent.path, message)
                continue
            known = NOTIFICATION_KEYS
            found = self._validator.validate(NotificationRules, parent, data=data, known=known)
            if found is None:
                return None
        return found or (NotificationRules() if self._documents.complete else None)

    def _route(self, part: Part) -> Route | None:
        section = self._validator.validate(RouteSection, part)
        self._check_receivers(part)
        if section is None:
            return None
        if section.matchers:
            message = "the outermost route takes everything; put matchers on its routes"
            self._problems.add(key_place(part.block, "matchers"), part.path, message)
        receiver = section.receiver or self._references.only_receiver()
        if receiver is None:
            self._problems.add(place_of(part.block), part.path, '"receiver" is missing')
            return None
        return complete(section, Route(receiver=receiver))

    def _check_receivers(self, part: Part) -> None:
        """The receivers that a route and those below it name must exist."""
        waiting: list[tuple[Any, str]] = [(part.block, part.path)]
        while waiting:
            node, path = waiting.pop()
            if not isinstance(node, Block):
                continue
            if "receiver" in node:
                self._references.check_receiver(node, "receiver", path)
            routes = node.get("routes")
            for index, child in enumerate(routes if isinstance(routes, Items) else ()):
                waiting.append((child, f"{path}.routes[{index}]"))

    def _default_route(
        self, parents: list[Part], receivers: tuple[ReceiverConfig, ...]
    ) -> Route | None:
        """One receiver needs no route; several do not say who gets what."""
        has_route = any("route" in part.block for part in parents)
        if len(receivers) > 1 and not has_route and self._documents.complete:
            message = '"route" is missing; with several receivers it says who gets what'
            block = parents[0].block
            self._problems.add(key_place(block, "receivers"), "notifications", message)
        return Route(receiver=receivers[0].name) if len(receivers) == 1 else None
