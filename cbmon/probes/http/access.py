"""The options of how an HTTP target is got at: through a proxy, with a token from elsewhere."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from cbmon.config.fields import Options, Secret, SecretFile, Url, fault
from cbmon.probes.options import TlsOptions


class ProxyOptions(Options):
    """A proxy that passes requests on."""

    url: str = Field(
        description="`http://host:port` of the proxy",
        pattern=r"^http://[^\s/@]+:[0-9]{1,5}/?$",
        examples=["http://proxy.example.net:3128"],
    )
    username: str | None = Field(
        None, description="user name at the proxy", pattern=r"^[^:\x00-\x1f]+$"
    )
    password: Secret | None = Field(None, description="password at the proxy")
    password_file: SecretFile | None = Field(
        None, description="file that holds the password, read at every run"
    )

    @model_validator(mode="after")
    def _check_password(self) -> ProxyOptions:
        if bool(self.username) != bool(self.password or self.password_file):
            raise fault("username and password (or password_file) belong together", "username")
        return self


class OAuth2Options(Options):
    """Where a bearer token comes from (client credentials, RFC 6749 section 4.4)."""

    one_of = (("client_secret",),)

    token_url: Url = Field(
        description="where tokens are asked for", examples=["https://login.example.net/token"]
    )
    client_id: str = Field(description="who asks", min_length=1)
    client_secret: Secret | None = Field(None, description="the client's secret")
    client_secret_file: SecretFile | None = Field(
        None, description="file that holds the secret, read whenever a token is asked for"
    )
    scopes: tuple[str, ...] = Field((), description="what the token should be good for")
    parameters: dict[str, str] = Field(
        {}, description="more parameters of the request, such as `audience`"
    )
    credentials_in: Literal["header", "body"] = Field(
        "header", description="where the token's server expects client_id and secret"
    )
    tls: TlsOptions = Field(TlsOptions(), description="how to speak TLS with the token's server")

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, value: dict[str, str]) -> dict[str, str]:
        own = {"grant_type", "client_id", "client_secret", "scope"} & value.keys()
        if own:
            raise ValueError(f"{min(own)} follows from the other options")
        return value
