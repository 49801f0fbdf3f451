"""A web-config file, read and judged as a whole, and whether it has changed since.

Rule: a file is taken whole or not at all. What it names is part of it: a new certificate is a
change of the file.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cbmon.blackbox.scalars import scalar
from cbmon.config.fields import Secret
from cbmon.config.nodes import Block, Items, follow, joined
from cbmon.config.problems import Place, Problem, Problems
from cbmon.config.reader import read_yaml
from cbmon.config.validation import Part, Validator
from cbmon.web.webconfig.model import WebConfigFile
from cbmon.web.webconfig.names import ClientAuth
from cbmon.web.webconfig.tls import OptionError, context_of, files_of

Signature = tuple[tuple[int, int, int] | None, ...]
TLS: Final = "tls_server_config"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """What a web-config file asks for. Without ``context`` there is no TLS."""

    path: Path
    files: tuple[Path, ...] = ()
    signature: Signature = ()
    context: ssl.SSLContext | None = None
    verifies: bool = False
    """Whether a client certificate proves who its owner is."""
    allowed: frozenset[str] | None = None
    """Alternative names of which a client certificate must have one; None is any."""
    users: Mapping[str, Secret] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.0
    """Seconds between two requests, 0 without a limit; ``burst`` may come at once."""
    burst: int = 0
    warnings: tuple[Problem, ...] = ()

    @property
    def authenticates(self) -> bool:
        """Whether it holds a credential."""
        return bool(self.users) or self.verifies

    def changed(self) -> bool:
        """Whether it or a file that it names is another one than when it was read."""
        return self.signature != signature_of(self.path, *self.files)


def load_web_config(path: Path) -> WebConfig:
    """The file of that name; ConfigError says everything that is wrong with it."""
    problems = Problems()
    before = signature_of(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.add(Place(str(path), 1, 1), "", f"cannot be read: {error.strerror}")
        data = b""
    problems.check()
    root = read_yaml(data, str(path), environ={}, problems=problems, dialect=scalar)
    problems.check()
    if root is None:
        return WebConfig(path=path, signature=before)
    part = Part(root, "", path.parent)
    model = Validator(problems).validate(WebConfigFile, part, data=_given(root))
    problems.check()
    if model is None:
        raise AssertionError("a model that was refused without a problem")
    files = files_of(model.tls_server_config, path.parent)
    seen = (*before, *signature_of(*files))
    context = None
    if model.tls_server_config.enabled:
        try:
            context = context_of(model.tls_server_config, path.parent)
        except OptionError as error:
            told = _problem(root, [TLS, error.option], error.message)
            problems.add(Place(told.file, told.line, told.column), told.path, told.message)
    problems.check()
    return replace(_assembled(model, context, root), path=path, files=files, signature=seen)


def signature_of(*paths: Path) -> Signature:
    """What changes when one of the files does."""
    return tuple(_stamp(path) for path in paths)


def _assembled(model: WebConfigFile, context: ssl.SSLContext | None, root: Block) -> WebConfig:
    tls = model.tls_server_config
    known = bool(tls.client_ca or tls.client_ca_file)
    sans = tls.client_allowed_sans
    return WebConfig(
        path=Path(),
        context=context,
        verifies=tls.enabled and tls.client_auth.verifies and known,
        allowed=None if sans is None else frozenset(sans),
        users=model.basic_auth_users,
        headers={k: v for k, v in model.http_server_config.headers.items() if v},
        interval=max(0.0, model.rate_limit.interval),
        burst=max(0, model.rate_limit.burst),
        warnings=tuple(_warnings(model, root)),
    )


def _warnings(model: WebConfigFile, root: Block) -> list[Problem]:
    """What works, but probably not as meant."""
    tls, found = model.tls_server_config, []
    if TLS in root and root[TLS] and not tls.enabled:
        found.append(_problem(root, [TLS], "names no certificate: there is no TLS"))
    if tls.enabled and tls.client_auth.verifies and not (tls.client_ca or tls.client_ca_file):
        message = "without client_ca_file every certificate of a public authority is let in"
        found.append(_problem(root, [TLS, "client_auth_type"], message))
    if tls.client_auth in {ClientAuth.REQUEST, ClientAuth.REQUIRE_ANY}:
        message = "nobody verifies these certificates; they prove nothing"
        found.append(_problem(root, [TLS, "client_auth_type"], message))
    if model.basic_auth_users and not tls.enabled:
        message = "passwords are sent in clear without TLS"
        found.append(_problem(root, ["basic_auth_users"], message))
    http = model.http_server_config
    if tls.enabled and http.http2 and "http2" in http.model_fields_set:
        message = "cbmon offers HTTP/1.1 alone, whatever this says; clients go on with it"
        found.append(_problem(root, ["http_server_config", "http2"], message))
    return found


def _problem(root: Block, steps: list[str | int], message: str) -> Problem:
    taken, place, _ = follow(root, steps)
    return Problem(place.file, place.line, place.column, joined("", taken), message)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _given(value: Any) -> Any:
    """Without keys that have no value: they stand for the default."""
    if isinstance(value, Block):
        return {key: _given(one) for key, one in value.items() if one is not None}
    return [_given(one) for one in value] if isinstance(value, Items) else value
