"""The options of ``dns``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from cbmon.config.fields import Duration, HostPort, Options, Regex
from cbmon.probes.dns.message import encoded_name
from cbmon.probes.options import ConnectOptions, TlsOptions

RecordType = Literal[
    "A", "NS", "CNAME", "SOA", "PTR", "MX", "TXT", "AAAA",
    "SRV", "DS", "DNSKEY", "TLSA", "SVCB", "HTTPS", "ANY", "CAA",
]  # fmt: skip
RecordClass = Literal["IN", "CH", "HS"]
ResponseCode = Literal[
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
    "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
]  # fmt: skip


class RecordsExpect(Options):
    """What records must look like, each as ``name. TTL IN TYPE data`` with tabs between."""

    matches: tuple[Regex, ...] = Field((), description="patterns, each of which a record matches")
    not_matches: tuple[Regex, ...] = Field((), description="patterns that no record may match")


class DnsExpect(Options):
    """What makes an answer a good one."""

    rcode: tuple[ResponseCode, ...] = Field(
        ("NOERROR",), description="response codes that are good", min_length=1
    )
    answer: RecordsExpect = Field(RecordsExpect(), description="what the answers must look like")
    authority: RecordsExpect = Field(
        RecordsExpect(), description="what the authority section must look like"
    )
    additional: RecordsExpect = Field(
        RecordsExpect(), description="what the additional section must look like"
    )
    min_answers: int = Field(1, description="fewest answers, if the code is NOERROR", ge=0)
    authoritative: bool | None = Field(
        None, description="whether the answer must, or must not, be authoritative"
    )
    max_duration: Duration | None = Field(None, description="longest the whole run may take")


class DnsOptions(ConnectOptions):
    """A question to a name server."""

    server: HostPort = Field(
        description="name server to ask", examples=["192.0.2.53:53", "[2001:db8::53]:853"]
    )
    name: str = Field(description="name to ask for", examples=["shop.example.net"], min_length=1)
    type: RecordType = Field("A", description="record type")
    record_class: RecordClass = Field("IN", alias="class", description="record class")
    transport: Literal["udp", "tcp", "tls"] = Field("udp", description="what to ask over")
    recursion: bool = Field(True, description="whether recursion is desired")
    tls: TlsOptions = Field(TlsOptions(), description="how to speak TLS, for transport `tls`")
    expect: DnsExpect = Field(DnsExpect(), description="what makes the answer a good one")

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        encoded_name(value)
        return value
