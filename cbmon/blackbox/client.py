"""The options that every prober's client shares in a module file: TLS, credentials, proxy.

Rule: files that are named are read at each probe, never at load: one that is missing fails the
probe. What excludes each other is refused at load.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from cbmon.blackbox.fields import File, Flag, Hidden, Text, Texts
from cbmon.config.fields import Options, fault

_RESERVED: Final = frozenset(
    {
        "authorization", "host", "content-encoding", "content-length", "content-type",
        "user-agent", "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "www-authenticate", "accept-encoding", "x-prometheus-remote-write-version",
        "x-prometheus-remote-read-version", "x-prometheus-scrape-timeout-seconds",
        "x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
    }
)  # fmt: skip

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]


class TlsConfig(Options):
    """How to speak TLS."""

    ca: Text = Field("", description="trusted certificates as PEM text")
    cert: Text = Field("", description="client certificate as PEM text")
    key: Hidden = Field(None, description="its key as PEM text")
    ca_file: File = Field(None, description="file of trusted certificates")
    cert_file: File = Field(None, description="file of the client certificate")
    key_file: File = Field(None, description="file of its key")
    server_name: Text = Field("", description="name to ask for and to verify")
    insecure_skip_verify: Flag = Field(False, description="accept any certificate")
    min_version: TlsVersion | None = Field(None, description="oldest version to accept")
    max_version: TlsVersion | None = Field(None, description="newest version to accept")

    @model_validator(mode="after")
    def _check_pairs(self) -> TlsConfig:
        if bool(self.cert or self.cert_file) != bool(self.key or self.key_file):
            raise fault("a client certificate needs both a cert and a key")
        return self


class BasicAuth(Options):
    """User name and password."""

    username: Text = Field("", description="user name")
    username_file: File = Field(None, description="file that holds it")
    password: Hidden = Field(None, description="password")
    password_file: File = Field(None, description="file that holds it")


class Authorization(Options):
    """An Authorization header."""

    type: Text = Field("Bearer", description="first word of the header")
    credentials: Hidden = Field(None, description="the rest of it")
    credentials_file: File = Field(None, description="file that holds the rest")

    @model_validator(mode="after")
    def _check_type(self) -> Authorization:
        if self.type.strip().lower() == "basic":
            raise fault('the type cannot be "basic"; use basic_auth instead', "type")
        return self


class ProxyOptions(Options):
    """A proxy to go through."""

    proxy_url: Text = Field("", description="proxy to use")
    no_proxy: Text = Field("", description="hosts to reach without it, separated by commas")
    proxy_from_environment: Flag = Field(False, description="take the proxy of HTTP_PROXY & co")
    proxy_connect_header: dict[Text, tuple[Hidden, ...]] = Field(
        {}, description="headers for the proxy's CONNECT"
    )

    @model_validator(mode="after")
    def _check_proxy(self) -> ProxyOptions:
        if self.proxy_from_environment and (self.proxy_url or self.no_proxy):
            raise fault("proxy_from_environment excludes proxy_url and no_proxy")
        if self.no_proxy and not self.proxy_url:
            raise fault("no_proxy needs proxy_url", "no_proxy")
        if self.proxy_connect_header and not (self.proxy_url or self.proxy_from_environment):
            raise fault("proxy_connect_header needs a proxy", "proxy_connect_header")
        return self


class OAuth2(ProxyOptions):
    """Client credentials grant: a token is fetched before the probe."""

    client_id: Text = Field(description="client id", min_length=1)
    client_secret: Hidden = Field(None, description="client secret")
    client_secret_file: File = Field(None, description="file that holds it")
    scopes: Texts = Field((), description="scopes to ask for")
    token_url: Text = Field(description="where the token is fetched", min_length=1)
    endpoint_params: dict[Text, Text] = Field({}, description="further parameters to send")
    tls_config: TlsConfig = Field(TlsConfig(), description="how to speak TLS with that place")


class HeaderSource(Options):
    """Values of one header."""

    values: Texts = Field((), description="values")
    secrets: tuple[Hidden, ...] = Field((), description="values that are not shown")
    files: tuple[File, ...] = Field((), description="files that hold a value each")


class ClientOptions(ProxyOptions):
    """What an HTTP client is made from."""

    basic_auth: BasicAuth | None = Field(None, description="basic authentication")
    authorization: Authorization | None = Field(None, description="Authorization header")
    oauth2: OAuth2 | None = Field(None, description="OAuth 2.0 client credentials")
    bearer_token: Hidden = Field(None, description="bearer token")
    bearer_token_file: File = Field(None, description="file that holds it")
    tls_config: TlsConfig = Field(TlsConfig(), description="how to speak TLS")
    follow_redirects: Flag = Field(True, description="whether redirects are followed")
    enable_http2: Flag = Field(True, description="whether HTTP/2 may be used")
    http_headers: dict[Text, HeaderSource] = Field({}, description="further headers to send")

    @model_validator(mode="after")
    def _check_credentials(self) -> ClientOptions:
        bearer = bool(self.bearer_token or self.bearer_token_file)
        ways = (self.basic_auth, self.authorization, self.oauth2, bearer)
        if sum(map(bool, ways)) > 1:
            raise fault(
                "at most one of basic_auth, authorization, oauth2, bearer_token and "
                "bearer_token_file may be configured"
            )
        for name in self.http_headers:
            if name.lower() in _RESERVED:
                raise fault(f'the header "{name}" cannot be set here', "http_headers", name)
        return self

    @property
    def authorized_by(self) -> Authorization | None:
        """The Authorization header, however it was written; None when there is none."""
        if self.bearer_token or self.bearer_token_file:
            token, file = self.bearer_token, self.bearer_token_file
            given = {"credentials_file": file} if file else {"credentials": token}
            return Authorization(type="Bearer", **given)
        return self.authorization
