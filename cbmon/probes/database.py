"""Options that checks of databases have in common.

Rule: a DSN is a secret as a whole; what is shown of it is host, port and database.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from pydantic import Field, field_validator

from cbmon.config.fields import Secret, SecretError, SecretFile, secret_from
from cbmon.model import Reason
from cbmon.probes.contexts import SharedContext
from cbmon.probes.dial import Tls
from cbmon.probes.dsn import Dsn, parse_dsn
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError
from cbmon.probes.options import ConnectOptions, TlsOptions
from cbmon.probes.query import QueryExpect


class DatabaseOptions(ConnectOptions):
    """How to reach a database, and what to ask it."""

    one_of = (("dsn",),)
    schemes: ClassVar[tuple[str, ...]] = ()
    default_port: ClassVar[int] = 0
    parameters: ClassVar[tuple[str, ...]] = ()

    dsn: Secret | None = Field(None, description="where the database is, as a URL")
    dsn_file: SecretFile | None = Field(
        None, description="file that holds the DSN, read at every run"
    )
    password: Secret | None = Field(None, description="password, if it is not in the DSN")
    password_file: SecretFile | None = Field(
        None, description="file that holds the password, read at every run"
    )
    tls: TlsOptions | None = Field(
        None, description="speak TLS and verify the server; `sslmode` of the DSN, if given, decides"
    )
    query: str = Field("SELECT 1", description="what to ask", min_length=1, max_length=65_536)
    expect: QueryExpect = Field(QueryExpect(), description="what makes the answer a good one")

    @field_validator("dsn")
    @classmethod
    def _check_dsn(cls, value: Secret | None) -> Secret | None:
        if value is not None:
            try:
                cls.parsed(value.reveal())
            except ValueError as error:
                raise ValueError(f"{error} (not shown: a secret)") from None
        return value

    @field_validator("query")
    @classmethod
    def _check_query(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("a query cannot hold a NUL byte")
        return value

    @classmethod
    def parsed(cls, text: str) -> Dsn:
        """The parts of a DSN of this kind; ValueError says what is wrong."""
        return parse_dsn(text, schemes=cls.schemes, port=cls.default_port, known=cls.parameters)

    def shown(self) -> str:
        """The target, without secrets: host, port and database, or the file that knows them."""
        if self.dsn is not None:
            return self.parsed(self.dsn.reveal()).shown
        return f"dsn in {self.dsn_file.path}" if self.dsn_file else ""

    async def read(self) -> tuple[Dsn, str]:
        """The DSN and the password as they are now; ProbeError (``config``) if they cannot be."""
        try:
            dsn = await _now(self.dsn, self.dsn_file)
            extra = await _now(self.password, self.password_file)
            parsed = self.parsed(dsn.reveal() if dsn else "")
        except SecretError as error:
            raise ProbeError(Reason.CONFIG, str(error)) from error
        except ValueError as error:
            raise ProbeError(Reason.CONFIG, f"the DSN cannot be used: {error}") from error
        return parsed, extra.reveal() if extra else parsed.password or ""


async def _now(value: Secret | None, file: SecretFile | None) -> Secret | None:
    return value if file is None else await asyncio.to_thread(secret_from, value, file)


class Security:
    """How much TLS a DSN and the options ask for."""

    def __init__(self, options: DatabaseOptions, environment: ProbeEnvironment) -> None:
        tls = options.tls or TlsOptions()
        self._default = "prefer" if options.tls is None else "verify-full"
        self._name = tls.server_name
        self._strict = environment.contexts.share(tls.settings())
        loose = tls.model_copy(update={"insecure_skip_verify": True})
        self._loose = environment.contexts.share(loose.settings())

    def mode(self, dsn: Dsn) -> str:
        """The ``sslmode`` in force; a Unix socket needs none."""
        return "disable" if dsn.path else dsn.sslmode or self._default

    async def tls(self, dsn: Dsn) -> Tls:
        """What to shake hands with."""
        verify = self.mode(dsn).startswith("verify")
        context: SharedContext = self._strict if verify else self._loose
        return Tls(context=await context.get(), name=self._name or dsn.host)
