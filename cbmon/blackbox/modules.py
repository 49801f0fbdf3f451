"""A module file's shape: the modules, and what each prober can be told.

Rule: the keys, defaults and refusals of blackbox_exporter 0.28, which takes all of 0.23's too.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from cbmon.blackbox.client import ClientOptions, TlsConfig
from cbmon.blackbox.encodings import accepts
from cbmon.blackbox.fields import (
    BinarySize,
    File,
    Flag,
    GoDuration,
    Number,
    Pattern,
    Patterns,
    Text,
    Texts,
)
from cbmon.blackbox.rrtypes import CLASSES, TYPES
from cbmon.config.fields import Options, fault


class FamilyOptions(Options):
    """Which of a name's addresses is taken."""

    preferred_ip_protocol: Text = Field("ip6", description="ip4 or ip6")
    ip_protocol_fallback: Flag = Field(True, description="take the other one if there is none")


class HeaderMatch(Options):
    """A pattern for a header."""

    header: Text = Field(description="name of the header", min_length=1)
    regexp: Pattern = Field(description="pattern")
    allow_missing: Flag = Field(False, description="whether the header may be absent")

    @model_validator(mode="after")
    def _check_pattern(self) -> HeaderMatch:
        if not self.regexp.pattern:
            raise fault("the pattern is empty", "regexp")
        return self


class HttpModule(ClientOptions, FamilyOptions):
    """The http prober."""

    valid_status_codes: tuple[Number, ...] = Field((), description="good statuses; none: 2xx")
    valid_http_versions: Texts = Field((), description="good versions, such as HTTP/1.1")
    skip_resolve_phase_with_proxy: Flag = Field(False, description="leave names to the proxy")
    no_follow_redirects: Flag | None = Field(None, description="opposite of follow_redirects")
    fail_if_ssl: Flag = Field(False, description="fail when the last answer came over TLS")
    fail_if_not_ssl: Flag = Field(False, description="fail when it did not")
    method: Text = Field("GET", description="method")
    headers: dict[Text, Text] = Field({}, description="headers to send")
    fail_if_body_matches_regexp: Patterns = Field((), description="patterns none may match")
    fail_if_body_not_matches_regexp: Patterns = Field((), description="patterns all must match")
    fail_if_body_json_matches_cel: Text | None = Field(None, description="must be false")
    fail_if_body_json_not_matches_cel: Text | None = Field(None, description="must be true")
    fail_if_header_matches: tuple[HeaderMatch, ...] = Field((), description="none may match")
    fail_if_header_not_matches: tuple[HeaderMatch, ...] = Field((), description="all must match")
    body: Text = Field("", description="request body")
    body_file: File = Field(None, description="file that holds the request body")
    compression: Text = Field("", description="how the body is packed: gzip, deflate, br")
    body_size_limit: BinarySize = Field(0, description="most bytes to read; 0 is no limit")
    enable_http3: Flag = Field(False, description="use HTTP/3")

    @model_validator(mode="after")
    def _check_versions(self) -> HttpModule:
        versions = set(self.valid_http_versions)
        if not self.enable_http3 and "HTTP/3.0" in versions:
            raise fault("HTTP/3.0 needs enable_http3", "valid_http_versions")
        if self.enable_http3 and versions & {"HTTP/2.0", "HTTP/1.1"}:
            raise fault("with enable_http3 only HTTP/3.0 is possible", "valid_http_versions")
        if self.enable_http3 and self.enable_http2:
            raise fault("enable_http3 needs enable_http2: false", "enable_http3")
        return self

    @model_validator(mode="after")
    def _check_compression(self) -> HttpModule:
        for name, value in self.headers.items():
            if name.lower() == "accept-encoding" and not accepts(self.compression, value):
                text = f'compression {self.compression} is not accepted by "{value}"'
                raise fault(text, "headers", name)
        return self

    @property
    def follows(self) -> bool:
        """Whether redirects are followed."""
        if self.no_follow_redirects is not None:
            return not self.no_follow_redirects
        return self.follow_redirects


class Label(Options):
    """A label of probe_expect_info."""

    name: Text = Field("", description="name of the label")
    value: Text = Field("", description="its value; may hold ${1} and ${name}")


class QueryResponse(Options):
    """One step of a dialogue."""

    expect: Pattern = Field(None, description="pattern that a line must match")
    expect_bytes: Text = Field("", description="bytes that must come")
    labels: tuple[Label, ...] = Field((), description="labels from what matched")
    send: Text = Field("", description="line to send; may hold ${1} and ${name}")
    starttls: Flag = Field(False, description="begin TLS")

    @model_validator(mode="after")
    def _check_expectation(self) -> QueryResponse:
        if self.expect is not None and self.expect_bytes:
            raise fault("expect and expect_bytes exclude each other")
        return self


class UnixModule(Options):
    """The unix prober."""

    query_response: tuple[QueryResponse, ...] = Field((), description="dialogue")
    tls: Flag = Field(False, description="begin with TLS")
    tls_config: TlsConfig = Field(TlsConfig(), description="how to speak TLS")


class TcpModule(UnixModule, FamilyOptions):
    """The tcp prober."""

    source_ip_address: Text = Field("", description="address to connect from")


class IcmpModule(FamilyOptions):
    """The icmp prober."""

    source_ip_address: Text = Field("", description="address to send from")
    payload_size: Number = Field(0, description="bytes to send; 0 is a short text")
    dont_fragment: Flag = Field(False, description="set the DF bit")
    ttl: Number = Field(64, description="TTL or hop limit", ge=0, le=255)


class RecordRules(Options):
    """Patterns for the records of a section."""

    fail_if_matches_regexp: Texts = Field((), description="no record may match any")
    fail_if_all_match_regexp: Texts = Field((), description="some record must miss one")
    fail_if_not_matches_regexp: Texts = Field((), description="every record must match all")
    fail_if_none_matches_regexp: Texts = Field((), description="some record must match one")


class DnsModule(FamilyOptions):
    """The dns prober."""

    dns_over_tls: Flag = Field(False, description="ask over TLS")
    tls_config: TlsConfig = Field(TlsConfig(), description="how to speak TLS")
    source_ip_address: Text = Field("", description="address to ask from")
    transport_protocol: Text = Field("udp", description="udp or tcp")
    query_class: Text = Field("IN", description="class to ask for")
    query_name: Text = Field(description="name to ask for", min_length=1)
    query_type: Text = Field("ANY", description="type to ask for")
    recursion_desired: Flag = Field(True, description="whether recursion is asked for")
    valid_rcodes: Texts | None = Field(None, description="good response codes; none: NOERROR")
    validate_answer_rrs: RecordRules = Field(RecordRules(), description="for the answers")
    validate_authority_rrs: RecordRules = Field(RecordRules(), description="for the authority")
    validate_additional_rrs: RecordRules = Field(RecordRules(), description="for the additional")

    @model_validator(mode="after")
    def _check_names(self) -> DnsModule:
        if self.query_class and self.query_class not in CLASSES:
            raise fault(f'"{self.query_class}" is no class of records', "query_class")
        if self.query_type and self.query_type not in TYPES:
            raise fault(f'"{self.query_type}" is no type of records', "query_type")
        return self


class GrpcModule(FamilyOptions):
    """The grpc prober."""

    service: Text = Field("", description="service to ask for")
    tls: Flag = Field(False, description="speak TLS")
    tls_config: TlsConfig = Field(TlsConfig(), description="how to speak TLS")
    metadata: dict[Text, Texts] = Field({}, description="metadata to send")


class Module(Options):
    """One module: a prober and what it is told."""

    prober: Text = Field("", description="http, tcp, dns, icmp, grpc or unix")
    timeout: GoDuration = Field(0.0, description="longest the probe may take; 0 is the scrape's")
    http: HttpModule = Field(HttpModule(), description="for http")
    tcp: TcpModule = Field(TcpModule(), description="for tcp")
    icmp: IcmpModule = Field(IcmpModule(), description="for icmp")
    dns: DnsModule | None = Field(None, description="for dns")
    grpc: GrpcModule = Field(GrpcModule(), description="for grpc")
    unix: UnixModule = Field(UnixModule(), description="for unix")


def shown(module: Module) -> dict[str, Any]:
    """The module as data without what is empty or as it is anyway; secrets are hidden."""
    dumped = module.model_dump(mode="json", exclude_defaults=True)
    return {key: value for key, value in dumped.items() if value not in (None, "", [], {})}
