"""Option models like the real ones, so that the configuration is tested without the other rooms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from cbmon.config import Config, ConfigError, ConfigTypes, load_config
from cbmon.config.fields import (
    Duration,
    HostPort,
    LocalPath,
    Options,
    Regex,
    Secret,
    SecretFile,
    SecretUrl,
    Size,
    Url,
    fault,
)
from cbmon.errors import MissingExtraError


class BodyOptions(Options):
    """What the body must look like."""

    matches: Regex | None = Field(None, description="A pattern that must be found.")
    limit: Size = Field(1 << 20, description="The largest body.")


class ExpectOptions(Options):
    """What makes an answer good."""

    status: tuple[int, ...] = Field((200,), min_length=1, description="Good status codes.")
    body: BodyOptions = Field(default_factory=BodyOptions, description="The body.")
    max_duration: Duration | None = Field(None, description="The longest good answer.")
    certificate_days: int | None = Field(None, ge=1, le=1000, description="Days left, at least.")


class HttpOptions(Options):
    """One HTTP request."""

    url: Url = Field(description="What to get.")
    method: Literal["GET", "HEAD", "POST"] = Field("GET", description="The method.")
    headers: dict[str, str] = Field(default_factory=dict, description="More headers.")
    follow: bool = Field(True, description="Whether redirects are followed.")
    username: str | None = Field(None, description="For basic authentication.")
    password: Secret | None = Field(None, description="For basic authentication.")
    password_file: SecretFile | None = Field(None, description="A file with the password.")
    expect: ExpectOptions = Field(default_factory=ExpectOptions, description="What is good.")


class TcpOptions(Options):
    """One TCP connection."""

    address: HostPort = Field(description="Where to connect to.")


class RedisOptions(Options):
    """One command."""

    one_of = (("dsn", "url"),)

    dsn: Secret | None = Field(None, description="Address with password.")
    dsn_file: SecretFile | None = Field(None, description="A file with the address.")
    url: Url | None = Field(None, description="Address without.")
    expected: int | str = Field("PONG", description="The answer.")


class TextfileOptions(Options):
    """A file."""

    path: LocalPath = Field(description="The file.")


class PushgatewayOptions(Options):
    """A gateway."""

    url: Url = Field(description="The gateway.")
    job: str = Field("cbmon", description="The job.")


class WebhookOptions(Options):
    """A webhook."""

    url: SecretUrl | None = Field(None, description="Where to post to.")
    url_file: SecretFile | None = Field(None, description="A file with the URL.")
    secret: Secret | None = Field(None, description="Signs the messages.")
    secret_file: SecretFile | None = Field(None, description="A file with the secret.")

    one_of = (("url",),)


class EmailOptions(Options):
    """E-mail."""

    to: tuple[str, ...] = Field(min_length=1, description="To whom.")
    port: int = Field(25, ge=1, le=65535, description="The port.")

    def model_post_init(self, _: object) -> None:
        """Addresses look like addresses."""
        for index, address in enumerate(self.to):
            if "@" not in address:
                raise fault(f'expected an address, got "{address}"', "to", index)


def _missing() -> type[Options]:
    feature, extra = "the check type grpc", "grpc"
    raise MissingExtraError(feature, extra)


TYPES = ConfigTypes(
    checks={
        "http": HttpOptions,
        "tcp": lambda: TcpOptions,
        "redis": RedisOptions,
        "grpc": _missing,
    },
    exports={"textfile": TextfileOptions, "pushgateway": PushgatewayOptions},
    receivers={"webhook": WebhookOptions, "email": EmailOptions},
)

ENVIRON = {"TOKEN": "hunter2", "LATE": "later", "EMPTY": "", "PORT": "8080"}

Load = Callable[..., Config]
Refuse = Callable[..., str]


@pytest.fixture
def types() -> ConfigTypes:
    """The kinds of checks, exports and receivers above."""
    return TYPES


@pytest.fixture
def environ() -> dict[str, str]:
    """The environment that the configurations are loaded in."""
    return dict(ENVIRON)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a text as cbmon.yml in a directory of its own; other files by keyword ``files``."""
    monkeypatch.chdir(tmp_path)

    def loaded(text: str | bytes, *, files: dict[str, str] | None = None, **environ: str) -> Config:
        for name, content in (files or {}).items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content)
        Path("cbmon.yml").write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(Path("cbmon.yml"), types=TYPES, environ={**ENVIRON, **environ})

    return loaded


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """Load a text that must be refused, and give what is said."""

    def refused(text: str | bytes, **options: object) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, **options)
        return str(caught.value)

    return refused
