"""The sections of a web-config file, as a person writes them.

Rule: each value is judged by itself and with its neighbours; what needs files is judged where
they are opened.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cbmon.blackbox.fields import Flag, GoDuration, Hidden, Number, Text, Texts
from cbmon.blackbox.scalars import Plain
from cbmon.config.fields import Options, Secret, fault
from cbmon.config.words import choices, shown, suggestion
from cbmon.web.webconfig.names import (
    CIPHERS,
    CURVES,
    HTTP2_CIPHERS,
    OLD_NAMES,
    TLS13_CIPHERS,
    VERSIONS,
    ClientAuth,
)

_BCRYPT: Final = re.compile(r"\$2[a-z]?\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""The headers that may be set; with what they may say, where that is settled."""


def _one_of(what: str, known: Any) -> AfterValidator:
    def check(value: str) -> str:
        if value in known:
            return value
        hint = suggestion(value, known)
        if len(known) > 8:
            raise ValueError(f"unknown {what} {shown(value)}{hint}")
        raise ValueError(f"unknown {what}: expected {choices(list(known))}, got {shown(value)}")

    return AfterValidator(check)


def _client_auth(value: object) -> object:
    return OLD_NAMES.get(value, value) if isinstance(value, str) else value


def _pause(value: object) -> object:
    """Go's reader takes a bare number for nanoseconds; 0 is what is written."""
    if isinstance(value, Plain) and value.isdigit():
        return int(value) / 1e9
    return value


Cipher = Annotated[Text, _one_of("cipher", (*CIPHERS, *TLS13_CIPHERS))]
Curve = Annotated[Text, _one_of("curve", CURVES)]
Version = Annotated[Text, _one_of("TLS version", VERSIONS)]
Policy = Annotated[
    Text,
    BeforeValidator(_client_auth),
    _one_of("client_auth_type", [str(each) for each in ClientAuth]),
]
FIRST_OF_TLS: Final = ("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file")
"""Without one of them (or client_auth_type) there is no TLS."""


class TlsSection(Options):
    """``tls_server_config``."""

    cert: Text = Field("", description="The certificate chain in PEM.")
    key: Hidden = Field(Secret(""), description="Its private key in PEM.")
    client_ca: Text = Field("", description="Authorities of client certificates in PEM.")
    cert_file: Text = Field("", description="The file of the certificate chain.")
    key_file: Text = Field("", description="The file of the private key.")
    client_auth_type: Policy | None = Field(None, description="What clients have to show.")
    client_ca_file: Text = Field("", description="The file of the clients' authorities.")
    client_allowed_sans: Texts | None = Field(None, description="Whose certificates get in.")
    min_version: Version = Field("TLS12", description="The oldest TLS.")
    max_version: Version = Field("TLS13", description="The newest TLS.")
    cipher_suites: tuple[Cipher, ...] = Field((), description="Ciphers up to TLS 1.2.")
    prefer_server_cipher_suites: Flag = Field(True, description="Their order decides.")
    curve_preferences: tuple[Curve, ...] = Field((), description="Curves, in order.")

    @property
    def enabled(self) -> bool:
        """Whether it is about TLS at all."""
        given = (getattr(self, name) for name in FIRST_OF_TLS)
        texts = (value.reveal() if isinstance(value, Secret) else value for value in given)
        return any(texts) or self.client_auth_type is not None

    @property
    def client_auth(self) -> ClientAuth:
        """The policy for clients."""
        return ClientAuth(self.client_auth_type or ClientAuth.NONE)

    @model_validator(mode="after")
    def _check_groups(self) -> TlsSection:
        """Replaces the base's rule: a file beside an inline text is allowed there, and wins."""
        if VERSIONS[self.min_version] > VERSIONS[self.max_version]:
            raise fault(f"is newer than max_version {self.max_version}", "min_version")
        if not self.enabled:
            return self
        if not (self.cert or self.cert_file):
            raise fault("one of cert, cert_file is missing")
        if not (self.key.reveal() or self.key_file):
            raise fault("one of key, key_file is missing")
        self._check_clients()
        return self

    def _check_clients(self) -> None:
        if (self.client_ca or self.client_ca_file) and self.client_auth is ClientAuth.NONE:
            at = "client_ca_file" if self.client_ca_file else "client_ca"
            raise fault(
                "authorities of clients without a policy for clients; "
                "set client_auth_type, such as RequireAndVerifyClientCert",
                at,
            )
        if self.client_allowed_sans is not None and not self.client_auth.requires:
            raise fault(
                "needs a client_auth_type that requires a certificate: "
                "RequireAndVerifyClientCert or RequireAnyClientCert",
                "client_allowed_sans",
            )


class HttpSection(Options):
    """``http_server_config``."""

    http2: Flag = Field(True, description="Offer HTTP/2.")
    headers: dict[Text, Text] = Field(default_factory=dict, description="Sent with every answer.")

    @model_validator(mode="after")
    def _check_headers(self) -> HttpSection:
        for name, value in self.headers.items():
            if name not in HEADERS:
                hint = suggestion(name, HEADERS)
                raise fault(f"the header {shown(name)} cannot be configured{hint}", "headers", name)
            allowed = HEADERS[name]
            if allowed and value not in allowed:
                message = f"expected {choices(list(allowed))}, got {shown(value)}"
                raise fault(message, "headers", name)
            if not _HEADER_VALUE.fullmatch(value):
                raise fault("expected one line of text", "headers", name)
        return self


class RateSection(Options):
    """``rate_limit``."""

    interval: Annotated[GoDuration, BeforeValidator(_pause)] = Field(
        0.0, description="Time between two requests; 0 is no limit."
    )
    burst: Number = Field(0, description="Requests that may come at once.")


class WebConfigFile(Options):
    """The whole file."""

    tls_server_config: TlsSection = Field(default_factory=TlsSection, description="TLS.")
    http_server_config: HttpSection = Field(default_factory=HttpSection, description="HTTP.")
    basic_auth_users: dict[Text, Hidden] = Field(default_factory=dict, description="Users.")
    rate_limit: RateSection = Field(default_factory=RateSection, description="Rate of requests.")

    @model_validator(mode="after")
    def _check_users(self) -> WebConfigFile:
        for user, hashed in self.basic_auth_users.items():
            match = _BCRYPT.fullmatch(hashed.reveal())
            if match is None:
                raise fault(
                    "expected a bcrypt hash such as `cbmon hash-password` prints (not shown)",
                    "basic_auth_users",
                    user,
                )
            if not 4 <= int(match["cost"]) <= 31:
                raise fault(
                    f"expected a bcrypt cost from 4 to 31, got {match['cost']}",
                    "basic_auth_users",
                    user,
                )
        return self

    @model_validator(mode="after")
    def _check_http2(self) -> WebConfigFile:
        tls = self.tls_server_config
        listed = tls.cipher_suites
        if not (tls.enabled and listed and self.http_server_config.http2):
            return self
        if tls.min_version != "TLS13" and not HTTP2_CIPHERS & set(listed):
            raise fault(
                f"HTTP/2 needs {' or '.join(sorted(HTTP2_CIPHERS))}; "
                f"add one, or set http_server_config.http2 to false",
                "tls_server_config",
                "cipher_suites",
            )
        return self
