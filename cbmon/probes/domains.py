"""When the registration of a target's domain ends, asked over RDAP.

Rule: registries are asked once a day, not once a run, and beside the run: what they do not answer
never fails a check. Sources: RFC 9083 (answers), RFC 9082 (queries), RFC 9224 (which server).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from cbmon.interfaces import Attempt, Probe
from cbmon.model import Reason, Result
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError, words
from cbmon.probes.options import DomainExpect

BOOTSTRAP: Final = "https://data.iana.org/rdap/dns.json"
"""Which server knows the domains of a top-level domain (RFC 9224)."""
DAY: Final = 86_400.0
_AGAIN: Final = 3_600.0
"""Seconds after which a question that had no answer is asked again."""
_TIMEOUT: Final = 20.0
_SHARE: Final = 0.5
"""Of a run's remaining time, that the first question may hold it up."""
_ACCEPT: Final = {"Accept": "application/rdap+json, application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a registry said: until when (Unix time), or why it is not known."""

    domain: str
    expiry: float | None = None
    trouble: str | None = None
    asked_at: float = 0.0

    def is_stale(self, now: float) -> bool:
        """Whether it is time to ask again."""
        return now - self.asked_at >= (_AGAIN if self.expiry is None else DAY)


class Registrations:
    """What is known of domains, for all checks of a daemon."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Registration] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._servers: dict[str, str] = {}
        self._servers_at = -DAY

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def ask(
        self, name: str, server: str, environment: ProbeEnvironment
    ) -> asyncio.Task[None] | None:
        """Begin to find out, unless it is known or being asked; the question under way."""
        key = (name, server)
        found = self.known.get(key)
        if found is not None and not found.is_stale(environment.clock.time()):
            return None
        if key not in self._asking:
            task = asyncio.create_task(self._find(key, environment), name=f"rdap {name}")
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return self._asking[key]

    async def _find(self, key: tuple[str, str], environment: ProbeEnvironment) -> None:
        name, server = key
        now = environment.clock.time()
        try:
            async with asyncio.timeout(_TIMEOUT):
                found = await self._registration(name, server, environment)
        except ProbeError as error:
            found = Registration(domain=name, trouble=str(error))
        except TimeoutError:
            found = Registration(domain=name, trouble=f"no answer within {_TIMEOUT:g} s")
        before = self.known.get(key)
        if found.expiry is None and before is not None and before.expiry is not None:
            found = replace(before, trouble=found.trouble)  # what was known stays so
            now -= DAY - _AGAIN
        self.known[key] = replace(found, asked_at=now)

    async def _registration(
        self, name: str, server: str, environment: ProbeEnvironment
    ) -> Registration:
        refusal = ProbeError(Reason.DNS, f"{name} has no top-level domain")
        for domain in candidates(name):
            base = server or await self._server_of(domain, environment)
            try:
                answer = await _get(base, f"/domain/{domain}", environment)
            except ProbeError as error:
                if error.reason is not Reason.STATUS:
                    raise
                refusal = error  # a host's name is asked for as well as its domain's
                continue
            return Registration(domain=domain, expiry=expiry_in(answer))
        raise refusal

    async def _server_of(self, domain: str, environment: ProbeEnvironment) -> str:
        now = environment.clock.time()
        if now - self._servers_at >= DAY:
            self._servers = servers_in(await _get(BOOTSTRAP, "", environment))
            self._servers_at = now
        last = domain.rpartition(".")[2]
        if last not in self._servers:
            raise ProbeError(Reason.CONFIG, f"no registry of .{last} speaks RDAP")
        return self._servers[last]


class RegisteredProbe:
    """A probe whose target's domain must stay registered."""

    def __init__(
        self, probe: Probe, expect: DomainExpect, host: str, environment: ProbeEnvironment
    ) -> None:
        self._probe = probe
        self._days = expect.days
        self._environment = environment
        self._name = ascii_name(expect.name or host)
        self._server = expect.server or ""

    async def run(self, attempt: Attempt) -> Result:
        """Look, and judge what is known of the domain; the first run waits for that, but not
        longer than half of its time."""
        result = await self._probe.run(attempt)
        registrations = self._environment.shared(Registrations)
        asking = registrations.ask(self._name, self._server, self._environment)
        found = registrations.known.get((self._name, self._server))
        if found is None and asking is not None:
            await asyncio.wait([asking], timeout=attempt.remaining * _SHARE)
            found = registrations.known.get((self._name, self._server))
        return result if found is None else self._judged(result, found)

    async def close(self) -> None:
        """Give back what the probe holds."""
        await self._probe.close()

    def _judged(self, result: Result, found: Registration) -> Result:
        facts: dict[str, Any] = {**result.facts, "domain": found.domain}
        if found.trouble is not None:
            facts["domain_trouble"] = found.trouble
        if found.expiry is None:
            return replace(result, facts=facts)
        facts["domain_expires"] = found.expiry
        result = replace(result, facts=facts, domain_expiry=found.expiry)
        left = (found.expiry - self._environment.clock.time()) / DAY
        if not result.ok or left >= self._days:
            return result
        ends = f"ends in {left:.1f} days" if left >= 0 else f"ended {-left:.1f} days ago"
        text = f"the registration of {found.domain} {ends}, expected at least {self._days:g} days"
        return replace(result, ok=False, reason=Reason.DNS, error=text)


def registered(
    probe: Probe, expect: DomainExpect | None, host: str, environment: ProbeEnvironment
) -> Probe:
    """``probe``, with its domain looked after if that is asked for."""
    return probe if expect is None else RegisteredProbe(probe, expect, host, environment)


def candidates(name: str) -> Iterator[str]:
    """The name and the domains above it, down to two labels; none for an address."""
    try:
        ip_address(name)
    except ValueError:
        labels = name.split(".")
        for start in range(max(0, len(labels) - 5), len(labels) - 1):
            yield ".".join(labels[start:])


def ascii_name(name: str) -> str:
    """As it stands in DNS: lower case, without the root's dot, international names encoded."""
    bare = name.rstrip(".").lower()
    try:
        return bare if bare.isascii() else bare.encode("idna").decode()
    except UnicodeError:
        return bare


def expiry_in(answer: Any) -> float | None:
    """The Unix time of the event ``expiration``; None where the registry tells none."""
    events = answer.get("events") if isinstance(answer, dict) else None
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("eventAction") == "expiration":
            return _moment(event.get("eventDate"))
    return None


def servers_in(answer: Any) -> dict[str, str]:
    """By top-level domain, the server over TLS that comes first; what is odd is left out."""
    found: dict[str, str] = {}
    services = answer.get("services") if isinstance(answer, dict) else None
    for service in services if isinstance(services, list) else ():
        if not (isinstance(service, list) and len(service) == 2):
            continue
        names, urls = service
        good = [url for url in _texts(urls) if url.startswith("https://")]
        found |= dict.fromkeys(map(str.lower, _texts(names)), good[0]) if good else {}
    return found


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _moment(value: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


async def _get(base: str, path: str, environment: ProbeEnvironment) -> Any:
    from cbmon.probes.api import Api, ApiOptions  # noqa: PLC0415 - for checks that ask only

    try:
        options = ApiOptions(url=base)
    except ValueError as error:
        raise ProbeError(Reason.CONFIG, f"{base[:200]} is no address of a server") from error
    attempt = Attempt(environment.clock.monotonic, _TIMEOUT)
    try:
        async with Api(options, environment).ask(attempt, path, headers=_ACCEPT) as reply:
            if reply.status != 200:
                raise await reply.refuse()
            return await reply.json()
    except OSError as error:
        raise ProbeError(Reason.CONNECT, words(error)) from error
