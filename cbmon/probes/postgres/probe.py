"""A run of ``postgres``.

Rule: the query runs in a read-only transaction that is never committed, and the server is told to
give it up soon after the run's deadline, because it does not notice that nobody waits any more.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.database import DatabaseOptions, Security
from cbmon.probes.dial import Link, Route
from cbmon.probes.dsn import Dsn
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError
from cbmon.probes.postgres import wire
from cbmon.probes.postgres.session import Session, opened
from cbmon.probes.query import Answer, judge

AFTERWARDS: Final = 1.0
"""Seconds after the deadline at which the server gives the query up."""


class PostgresOptions(DatabaseOptions):
    """A query to a PostgreSQL server."""

    schemes: ClassVar = ("postgresql", "postgres")
    default_port: ClassVar = 5432
    parameters: ClassVar = ("application_name", "user")


class PostgresProbe:
    """Logs in anew at every run."""

    def __init__(self, options: PostgresOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._security = Security(options, environment)

    async def run(self, attempt: Attempt) -> Result:
        """Connect, log in, ask, judge, hang up."""
        expiry = None
        try:
            dsn, password = await self._options.read()
            attempt.facts["database"] = dsn.database or dsn.user
            link, session = await opened(
                attempt, self._environment, self._route(dsn), dsn, self._security
            )
            expiry = link.chain.expiry if link.chain else None
            try:
                await self._ask(attempt, link, session, dsn, password)
            finally:
                link.transport.abort()
            check_duration(attempt, self._options.expect.max_duration)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error), certificate_expiry=expiry)
        return attempt.passed(certificate_expiry=expiry)

    async def close(self) -> None:
        """Nothing is held between runs."""

    def _route(self, dsn: Dsn) -> Route:
        options = self._options
        return Route(
            host=dsn.host,
            port=dsn.port,
            family=options.usable_family,
            source=options.source_address,
            path=f"{dsn.path}/.s.PGSQL.{dsn.port}" if dsn.path else None,
        )

    async def _ask(
        self, attempt: Attempt, link: Link[Any], session: Session, dsn: Dsn, password: str
    ) -> None:
        attempt.begin(Phase.PROCESSING)
        await session.log_in(
            dsn.user,
            password,
            dsn.database or dsn.user,
            application=dsn.options.get("application_name", "cbmon"),
            private=link.chain is not None or dsn.path is not None,
        )
        limit = int((attempt.remaining + AFTERWARDS) * 1000)
        session.say(
            wire.query(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}")
            + wire.query(self._options.query)
        )
        await session.ready()  # what a pooler's console says to BEGIN does not matter
        answer = Answer()
        trouble = await session.ready(answer)
        attempt.begin(Phase.TRANSFER)
        attempt.facts["rows"] = answer.rows
        await session.leave()
        if trouble is not None:
            raise ProbeError(Reason.STATUS, f"the query failed: {trouble.text}")
        judge(self._options.expect, answer)
