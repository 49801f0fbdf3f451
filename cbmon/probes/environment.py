"""What all probes of a daemon share.

Rule: one per daemon and event loop, made before the first probe and closed after the last one.
A probe holds no connection, session or context of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from cbmon.interfaces import Clock
from cbmon.probes.addresses import AddressPolicy
from cbmon.probes.certificates import Chains
from cbmon.probes.contexts import TlsContexts
from cbmon.probes.poll import Watcher
from cbmon.probes.programs import ProgramPolicy
from cbmon.probes.resolver import Resolver


class Shareable(Protocol):
    """A means that probes of one kind have in common, such as an HTTP client."""

    def __init__(self) -> None: ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


SharedT = TypeVar("SharedT", bound=Shareable)


class ProbeEnvironment:
    """Resolver, address policy, TLS contexts and clock.

    The default ``policy`` is that of configured checks: everything but the metadata services of
    clouds, because a host's own loopback and private targets are what it is there to look at.
    ``nameservers`` replaces the system's. ``programs`` is none, unless given.
    Without ``direct`` the short ways of probes are closed: all take the general one.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        policy: AddressPolicy | None = None,
        nameservers: Sequence[str] | None = None,
        programs: ProgramPolicy | None = None,
        direct: bool = True,
    ) -> None:
        self.clock = clock
        self.policy = policy or AddressPolicy()
        self.programs = programs or ProgramPolicy()
        self.resolver = Resolver(nameservers)
        self.contexts = TlsContexts()
        self.chains = Chains()
        self.direct = direct
        self._shared: dict[type[Any], Any] = {}

    def under(self, policy: AddressPolicy) -> ProbeEnvironment:
        """The same environment with another policy; closing either closes both."""
        other = copy.copy(self)
        other.policy = policy
        return other

    def on_transports(self) -> ProbeEnvironment:
        """The same environment without the short ways; closing either closes both."""
        other = copy.copy(self)
        other.direct = False
        return other

    def shared(self, kind: type[SharedT]) -> SharedT:
        """The one ``kind()`` of this environment, made at the first use."""
        found: SharedT | None = self._shared.get(kind)
        if found is None:
            found = self._shared[kind] = kind()
        return found

    def hear(self) -> None:
        """Let those go on for whom something has come, before the event loop gets to it."""
        if (watcher := self._shared.get(Watcher)) is not None:
            watcher.look()

    async def close(self) -> None:
        """Give back everything; runs that are still going on fail."""
        while self._shared:
            await self._shared.popitem()[1].close()
        await self.resolver.close()
