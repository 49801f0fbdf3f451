"""``/probe`` for the daemon: the modules in force, the policy, breakers by target, the history.

Rule: nothing is probed unless it was switched on; what the policy forbids is a failed probe with
a reason. A module file comes into force whole or not at all. What only a probe needs is imported
with the first module file, so that a daemon without one starts sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbmon.blackbox.history import History
from cbmon.breaker import BreakerPolicy, RegistryFullError
from cbmon.breaker.registry import BreakerRegistry
from cbmon.config.sections import ProbeSection
from cbmon.model import Reason
from cbmon.probes.addresses import AddressPolicy
from cbmon.probes.environment import ProbeEnvironment

if TYPE_CHECKING:
    from cbmon.blackbox.file import ModuleFile
    from cbmon.blackbox.look import Look
    from cbmon.blackbox.modules import Module
    from cbmon.blackbox.prober import Outcome
    from cbmon.blackbox.tls import Contexts

MOST_TARGETS: int = 10_000
"""Targets whose breakers are kept at once."""
DEFAULT_MODULE = "http_2xx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What a request for a probe says."""

    target: str
    module: str = ""
    hostname: str = ""
    scrape_timeout: str = ""
    """The scraper's timeout in seconds, as its header says."""


class RefusedError(Exception):
    """A request that cannot be answered with metrics; ``status`` is that of the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Probing:
    """Everything that ``/probe`` needs; one per daemon."""

    def __init__(
        self, environment: ProbeEnvironment, *, unknown_module: Callable[[], None] = lambda: None
    ) -> None:
        """``unknown_module`` is called for each request for a module that does not exist."""
        self._tell_unknown = unknown_module
        self._base = environment
        self._environment = environment
        self._modules: Mapping[str, Module] = {}
        self._contexts: Contexts | None = None
        self._breakers: BreakerRegistry | None = None
        self._policy: BreakerPolicy | None = None
        self.enabled = False
        self.history = History()

    def configure(
        self,
        section: ProbeSection,
        file: ModuleFile | None,
        *,
        enable: bool = False,
    ) -> None:
        """These modules and this policy from now on; ``enable`` overrides the section's no."""
        breaker = section.policy
        self._modules = file.modules if file else {}
        self._contexts = None
        self.enabled = section.enabled or enable
        self._environment = self._base.under(
            AddressPolicy(
                allow=section.allow_cidrs, deny=section.deny_cidrs, unix=section.allow_unix
            )
        )
        if breaker != self._policy:
            self._policy = breaker
            self._breakers = None
            if breaker is not None:
                clock = self._base.clock
                self._breakers = BreakerRegistry(breaker, max_keys=MOST_TARGETS, clock=clock)

    async def probe(self, inquiry: Inquiry) -> Outcome:
        """Make the probe; RefusedError when the request makes no sense."""
        name = inquiry.module or DEFAULT_MODULE
        module = self._modules.get(name)
        if module is None:
            self._tell_unknown()
            raise RefusedError(400, f'Unknown module "{name[:200]}"')
        look = self._look(inquiry, module)
        found = await self._behind_breaker(name, module, look)
        self.history.add(name, look.target, lambda: found.debug, ok=found.ok)
        return found

    def configuration(self) -> str:
        """The modules in force as YAML; secrets are hidden."""
        from cbmon.blackbox.modules import shown  # noqa: PLC0415
        from cbmon.blackbox.prober import as_yaml  # noqa: PLC0415

        return as_yaml({"modules": {name: shown(one) for name, one in self._modules.items()}})

    def _look(self, inquiry: Inquiry, module: Module) -> Look:
        from cbmon.blackbox.look import Look  # noqa: PLC0415
        from cbmon.blackbox.prober import PROBERS, timeout_of, usable  # noqa: PLC0415
        from cbmon.blackbox.tls import Contexts  # noqa: PLC0415

        if self._contexts is None:
            self._contexts = Contexts(self._base.contexts)
        try:
            timeout = timeout_of(inquiry.scrape_timeout, module.timeout)
        except ValueError as error:
            text = f"Failed to parse timeout from Prometheus header: {error}"
            raise RefusedError(500, text) from error
        if not inquiry.target:
            raise RefusedError(400, "Target parameter is missing")
        if module.prober not in PROBERS:
            raise RefusedError(400, f'Unknown prober "{module.prober[:200]}"')
        if module.prober == "http" and inquiry.hostname:
            _check_host(module, inquiry.hostname)
        return Look(
            target=usable(inquiry.target, module),
            environment=self._environment,
            contexts=self._contexts,
            timeout=timeout,
            hostname=inquiry.hostname,
        )

    async def _behind_breaker(self, name: str, module: Module, look: Look) -> Outcome:
        from cbmon.blackbox.prober import outcome, run  # noqa: PLC0415

        if self._breakers is None:
            return await run(name, module, look)
        try:
            breaker = self._breakers.get(f"{name} {look.target}")
        except RegistryFullError:
            return await run(name, module, look)
        permit = breaker.try_acquire()
        if permit is None:
            look.fail(Reason.DEPENDENCY, "the breaker of this target is open")
            return outcome(name, module, look, ok=False, duration=0.0)
        try:
            found = await run(name, module, look)
        except BaseException:
            breaker.release(permit)
            raise
        breaker.record(
            permit,
            failed=not found.ok,
            duration=found.duration,
            reason=found.reason,
            error=found.error,
        )
        return found


def _check_host(module: Module, hostname: str) -> None:
    for key, value in module.http.headers.items():
        if key.lower() == "host" and value != hostname:
            raise RefusedError(
                400,
                f"host header defined both in module configuration ({value}) and with "
                f"URL-parameter 'hostname' ({hostname[:200]})",
            )
