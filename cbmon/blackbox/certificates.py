"""What a handshake was like, as blackbox_exporter's metrics tell it.

Rule: the earliest expiry is that of the whole presented chain; the last chain's expiry is that of
the one that lasts longest of those that lead to a trusted certificate, and Go's zero time when
nothing was verified.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cbmon.blackbox.chains import last_end, parse
from cbmon.blackbox.gauges import Gauges
from cbmon.blackbox.names import written
from cbmon.blackbox.tls import trusted_by

ZERO_TIME: Final = -62135596800.0
"""Go's time without a value, in Unix seconds."""
_DER: Final = 2  # _ssl.ENCODING_DER
_VERSIONS: Final = {
    "TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3",
}  # fmt: skip


def tell_handshake(
    gauges: Gauges,
    connection: ssl.SSLObject,
    *,
    verified: bool,
    cipher: bool,
    now: float | None = None,
) -> None:
    """The metrics of a finished handshake.

    ``cipher`` and ``now`` (Unix time) add what only some probers tell: the cipher's name and the
    expiry of the chain that lasts longest.
    """
    # The chains are public API from Python 3.13 on; the object behind has had them since 3.10.
    inner = connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    presented = inner.get_unverified_chain() or []
    gauges.declare("probe_ssl_earliest_cert_expiry", "Unix time of the presented chain's first end")
    gauges.declare_labelled("probe_tls_version_info", "Version of TLS that was agreed upon")
    infos = [certificate.get_info() for certificate in presented]
    gauges.set("probe_ssl_earliest_cert_expiry", _first_end(infos))
    version = _VERSIONS.get(connection.version() or "", "unknown")
    gauges.set("probe_tls_version_info", 1, version=version)
    if now is not None:
        text = "Unix time of the first end in the verified chain that lasts longest"
        gauges.declare("probe_ssl_last_chain_expiry_timestamp_seconds", text)
        ends = _last_end(connection, presented, now) if verified else ZERO_TIME
        gauges.set("probe_ssl_last_chain_expiry_timestamp_seconds", ends)
    if cipher:
        gauges.declare_labelled("probe_tls_cipher_info", "Cipher that was agreed upon")
        gauges.set("probe_tls_cipher_info", 1, cipher=cipher_name(connection.cipher()))
    if presented:
        gauges.declare_labelled("probe_ssl_last_chain_info", "The target's own certificate")
        labels = _leaf(infos[0], presented[0].public_bytes(_DER))
        gauges.set("probe_ssl_last_chain_info", 1, **labels)


def cipher_name(cipher: tuple[str, str, int] | None) -> str:
    """The standard's name of a cipher that OpenSSL calls by its own."""
    name = cipher[0] if cipher else ""
    if not name or name.startswith("TLS_"):
        return name
    parts = name.replace("AES128", "AES_128").replace("AES256", "AES_256").split("-")
    exchange = [part for part in parts if part in {"ECDHE", "DHE", "RSA", "ECDSA", "PSK"}]
    rest = [part for part in parts if part not in exchange]
    if rest[-1] in {"AES_128", "AES_256"} or (rest[0].startswith("AES") and len(rest) == 2):
        rest.insert(1, "CBC")
    if rest[0] == "CHACHA20":
        rest = ["CHACHA20_POLY1305", "SHA256"]
    return f"TLS_{'_'.join(exchange or ['RSA'])}_WITH_{'_'.join(rest)}"


def _last_end(connection: ssl.SSLObject, presented: Sequence[Any], now: float) -> float:
    path = connection._sslobj.get_verified_chain() or []  # type: ignore[attr-defined]  # noqa: SLF001
    try:
        found, verified = (
            [parse(one.public_bytes(_DER)) for one in each] for each in (presented, path)
        )
    except ValueError:  # read by OpenSSL, if not by us
        return _first_end([one.get_info() for one in path])
    ends = last_end(found, verified, trusted_by(connection.context), now)
    return ZERO_TIME if ends is None else ends


def _first_end(infos: Sequence[Mapping[str, Any]]) -> float:
    ends = [ssl.cert_time_to_seconds(info["notAfter"]) for info in infos]
    return min(ends, default=ZERO_TIME)


def _leaf(info: Mapping[str, Any], der: bytes) -> dict[str, str]:
    names = [value for kind, value in info.get("subjectAltName", ()) if kind == "DNS"]
    serial = str(info["serialNumber"]).lower()
    return {
        "fingerprint_sha256": hashlib.sha256(der).hexdigest(),
        "issuer": written(info["issuer"]),
        "serialnumber": "" if serial == "00" else serial,
        "subject": written(info["subject"]),
        "subjectalternative": ",".join(names),
    }
