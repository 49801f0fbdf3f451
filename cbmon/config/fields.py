"""What option models are made of: the base class and the field types, from one place.

Rule: other rooms import options from here and from nowhere else in this package.
"""

from cbmon.config.addresses import (
    Cidr,
    HostPort,
    ListenAddress,
    SecretUrl,
    Url,
    WebSocketUrl,
    checked_url,
)
from cbmon.config.options import Options, fault
from cbmon.config.patterns import Regex
from cbmon.config.quantities import Duration, LocalPath, Ratio, Size, ZeroOrMore
from cbmon.config.secrets import Secret, SecretError, SecretFile, secret_from

__all__ = [
    "Cidr",
    "Duration",
    "HostPort",
    "ListenAddress",
    "LocalPath",
    "Options",
    "Ratio",
    "Regex",
    "Secret",
    "SecretError",
    "SecretFile",
    "SecretUrl",
    "Size",
    "Url",
    "WebSocketUrl",
    "ZeroOrMore",
    "checked_url",
    "fault",
    "secret_from",
]
