"""The options of ``grpc``."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from cbmon.config.fields import Duration, HostPort, Options, Secret, SecretFile
from cbmon.errors import MissingExtraError
from cbmon.probes.options import ConnectOptions, TlsOptions

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_VALUE: Final = re.compile(r"[\x20-\x7e]*")


def _key(name: str) -> str:
    if not _KEY.fullmatch(name) or name.startswith("grpc-") or name in {"te", "content-type"}:
        raise ValueError("not a possible key: lower-case letters, digits, '-', '_' and '.'")
    if name.endswith("-bin"):
        raise ValueError("binary metadata is not supported")
    return name


def _value(text: str) -> str:
    if not _VALUE.fullmatch(text):
        raise ValueError("metadata is printable ASCII")
    return text


class GrpcExpect(Options):
    """What makes an answer a good one, besides that the service is serving."""

    max_duration: Duration | None = Field(None, description="longest the whole run may take")
    certificate_days: float | None = Field(
        None, description="days that every presented certificate must still be valid", ge=0
    )


class GrpcOptions(ConnectOptions):
    """A health check of a gRPC server."""

    address: HostPort = Field(description="where to connect", examples=["cart.example.net:50051"])
    service: Annotated[str, AfterValidator(_value)] = Field(
        "", description="service to ask for; none is the server as a whole", max_length=1000
    )
    authority: Annotated[str, AfterValidator(_value)] | None = Field(
        None, description="`:authority` to send instead of the address", min_length=1
    )
    metadata: dict[Annotated[str, AfterValidator(_key)], Annotated[str, AfterValidator(_value)]] = (
        Field({}, description="metadata to send")
    )
    bearer_token: Secret | None = Field(None, description="bearer token")
    bearer_token_file: SecretFile | None = Field(
        None, description="file that holds the bearer token, read at every run"
    )
    tls: TlsOptions | None = Field(None, description="speak TLS; `{}` for the defaults")
    expect: GrpcExpect = Field(GrpcExpect(), description="what makes the answer a good one")

    @property
    def basic_auth(self) -> None:
        """gRPC has none."""
        return

    @model_validator(mode="after")
    def _check_extra(self) -> GrpcOptions:
        try:
            import h2.connection  # noqa: F401, PLC0415 - an extra
        except ImportError:
            raise ValueError(str(MissingExtraError("the check grpc", "grpc"))) from None
        return self
