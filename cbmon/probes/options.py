"""Options that several kinds of checks have in common.

Rule: a group means the same wherever it appears.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from cbmon.config.fields import LocalPath, Options, Url, fault
from cbmon.probes.addresses import FAMILIES, Family, literal
from cbmon.probes.contexts import TlsSettings


class ConnectOptions(Options):
    """How to reach a target: the base of the options of every kind that connects."""

    family: Family = Field(
        "any",
        description="address family of the connection; `any` is the system's preference, "
        "`prefer_…` falls back to the other one, and only one address is tried",
    )
    source_address: str | None = Field(
        None, description="local address to connect from", examples=["192.0.2.10"]
    )

    @field_validator("source_address")
    @classmethod
    def _check_source(cls, value: str | None) -> str | None:
        if value is not None and literal(value) is None:
            raise ValueError("expected an IPv4 or IPv6 address")
        return value

    @model_validator(mode="after")
    def _check_family(self) -> ConnectOptions:
        wanted = FAMILIES.get(self.family)
        if self.source_address and wanted and literal(self.source_address) != wanted:
            raise fault(f"source_address is not of the family {self.family}", "source_address")
        return self

    @property
    def usable_family(self) -> Family:
        """The family, narrowed to that of the source address."""
        if self.source_address is None:
            return self.family
        return "ipv6" if ":" in self.source_address else "ipv4"


class TlsOptions(Options):
    """How to speak TLS with a target."""

    ca_file: LocalPath | None = Field(
        None, description="PEM file of trusted certificates instead of the system's"
    )
    cert_file: LocalPath | None = Field(None, description="PEM file of the client certificate")
    key_file: LocalPath | None = Field(
        None, description="PEM file of its key, if not in `cert_file`"
    )
    server_name: str | None = Field(
        None, description="name to ask for (SNI) and to find in the certificate", min_length=1
    )
    insecure_skip_verify: bool = Field(False, description="accept any certificate")
    min_version: Literal["TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"] = Field(
        "TLS1.2", description="oldest version of TLS to accept"
    )

    @model_validator(mode="after")
    def _check_key(self) -> TlsOptions:
        if self.key_file and not self.cert_file:
            raise fault("key_file needs cert_file", "key_file")
        return self

    def settings(self, *alpn: str) -> TlsSettings:
        """What makes the context; ``alpn`` names the protocols to offer."""
        return TlsSettings(
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            verify=not self.insecure_skip_verify,
            minimum=self.min_version.removeprefix("TLS"),
            alpn=alpn,
        )


class DomainExpect(Options):
    """The registration of the target's domain, asked over RDAP once a day."""

    days: float = Field(30, description="days that it must still go on for", ge=0)
    name: str | None = Field(
        None, description="the registered domain; else it is found from the target's host",
        examples=["example.net"], min_length=3, max_length=253,
    )  # fmt: skip
    server: Url | None = Field(
        None, description="RDAP server to ask, instead of the one that IANA names for the domain"
    )
