"""A run of ``mysql``.

Rule: the query runs in a read-only transaction that is never committed, and the server is told to
give it up soon after the run's deadline.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar, Final

from pydantic import Field

from cbmon.config.fields import LocalPath
from cbmon.interfaces import Attempt
from cbmon.model import Phase, Reason, Result
from cbmon.probes.database import DatabaseOptions, Security
from cbmon.probes.dial import Route
from cbmon.probes.dsn import Dsn
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.expectations import check_duration
from cbmon.probes.failure import ProbeError, words
from cbmon.probes.mysql.login import Login
from cbmon.probes.mysql.rsa import PublicKey, public_key
from cbmon.probes.mysql.session import Session
from cbmon.probes.outcome import outcome
from cbmon.probes.query import Answer, judge

AFTERWARDS: Final = 1.0
"""Seconds after the deadline at which the server gives the query up."""


class MysqlOptions(DatabaseOptions):
    """A query to a MySQL or MariaDB server."""

    schemes: ClassVar = ("mysql", "mariadb")
    default_port: ClassVar = 3306
    parameters: ClassVar = ("user",)

    server_public_key_file: LocalPath | None = Field(
        None,
        description="PEM file of the server's RSA key, to send passwords under without TLS",
    )
    fetch_server_public_key: bool = Field(
        False,
        description="believe the RSA key that the server sends, which anyone between can replace",
    )


class MysqlProbe:
    """Logs in anew at every run."""

    def __init__(self, options: MysqlOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._security = Security(options, environment)

    async def run(self, attempt: Attempt) -> Result:
        """Connect, log in, ask, judge, hang up."""
        return await outcome(attempt, self._visit(attempt))

    async def close(self) -> None:
        """Nothing is held between runs."""

    async def _visit(self, attempt: Attempt) -> None:
        dsn, password = await self._options.read()
        attempt.facts["database"] = dsn.database
        session = await Session.open(attempt, self._environment, self._route(dsn))
        try:
            await session.greet(attempt, self._environment, dsn, self._security)
            await session.log_in(dsn, await self._login(session, password))
            await self._ask(attempt, session)
        finally:
            session.link.transport.abort()
        check_duration(attempt, self._options.expect.max_duration)

    async def _login(self, session: Session, password: str) -> Login:
        file, private = self._options.server_public_key_file, session.is_private
        key = None if file is None or private else await asyncio.to_thread(_key_in, file)
        fetch = self._options.fetch_server_public_key
        return Login(password, private=private, key=key, fetch=fetch)

    def _route(self, dsn: Dsn) -> Route:
        options = self._options
        return Route(
            host=dsn.host,
            port=dsn.port,
            family=options.usable_family,
            source=options.source_address,
            path=dsn.path,
        )

    async def _ask(self, attempt: Attempt, session: Session) -> None:
        limit = attempt.remaining + AFTERWARDS
        if session.greeting.is_mariadb:
            await session.ask(f"SET SESSION max_statement_time = {limit:.3f}")
        else:
            await session.ask(f"SET SESSION max_execution_time = {limit * 1000:.0f}")
        await session.ask("START TRANSACTION READ ONLY")
        answer = Answer()
        trouble = await session.ask(self._options.query, answer)
        attempt.begin(Phase.TRANSFER)
        attempt.facts["rows"] = answer.rows
        await session.leave()
        if trouble is not None:
            raise ProbeError(Reason.STATUS, f"the query failed: {trouble.text}")
        judge(self._options.expect, answer)


def _key_in(file: Path) -> PublicKey:
    try:
        return public_key(file.read_bytes())
    except OSError as error:
        raise ProbeError(Reason.CONFIG, f"cannot read {file}: {words(error)}") from error
    except ValueError as error:
        raise ProbeError(Reason.CONFIG, f"cannot use {file}: {error}") from error
