"""The grpc prober: the standard health protocol.

Rule: the status code is told whatever it is; a target that cannot be asked counts as UNAVAILABLE,
one that is late as DEADLINE_EXCEEDED.
"""

from __future__ import annotations

import ssl
from typing import Final, cast

from cbmon.blackbox.addresses import choose
from cbmon.blackbox.certificates import tell_handshake
from cbmon.blackbox.http import target_place
from cbmon.blackbox.look import Look
from cbmon.blackbox.modules import GrpcModule, Module
from cbmon.blackbox.places import Place
from cbmon.errors import MissingExtraError
from cbmon.model import Reason
from cbmon.probes.dial import Route, Tls, dial
from cbmon.probes.failure import ProbeError
from cbmon.probes.grpc import health
from cbmon.probes.http.client import USER_AGENT

DEADLINE_EXCEEDED: Final = 4
UNKNOWN: Final = 2
UNAVAILABLE: Final = 14
_GAUGE: Final = "probe_grpc_duration_seconds"


async def probe_grpc(look: Look, module: Module) -> bool:
    """Ask the target for the health of the module's service; whether it serves."""
    gauges, options = look.gauges, module.grpc
    gauges.declare_labelled(_GAUGE, "Time of each phase")
    gauges.set(_GAUGE, 0, phase="resolve")
    gauges.declare("probe_grpc_ssl", "Whether the connection is over TLS")
    gauges.declare("probe_grpc_status_code", "Status code of the answer")
    gauges.declare_labelled("probe_grpc_healthcheck_response", "What the service says it is")
    try:
        place = target_place(look.target)
        await look.contexts.get(options.tls_config, alpn=("h2",))
        ip, took = await choose(look, options, place.host)
    except (ProbeError, OSError) as error:
        return look.trouble(error, "Error resolving address")
    gauges.set(_GAUGE, took, phase="resolve")
    clock = look.environment.clock
    begun = clock.monotonic()
    code, status = UNAVAILABLE, ""
    try:
        async with look.deadline():
            code, status = await _asked(look, options, place, ip)
    except TimeoutError as error:
        code = DEADLINE_EXCEEDED
        look.trouble(error, "can't connect grpc server")
    except (ProbeError, OSError) as error:
        look.trouble(error, "can't connect grpc server")
    except MissingExtraError as error:
        look.fail(Reason.CONFIG, str(error))
    gauges.set(_GAUGE, clock.monotonic() - begun, phase="check")
    gauges.set("probe_grpc_status_code", code)
    for name in health.STATUSES:
        told = name == status
        gauges.set("probe_grpc_healthcheck_response", told, serving_status=name)
    if code == 0 and status == "SERVING":
        return True
    text = f"the status code is {code}, the service is {status or 'unknown'}"
    return look.fail(Reason.STATUS, text)


async def _asked(look: Look, options: GrpcModule, place: Place, ip: str) -> tuple[int, str]:
    """The status code, and the service's own status when the code is 0."""
    try:
        from cbmon.probes.grpc.call import Call  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("the prober grpc", "grpc") from error

    tls = None
    if options.tls:
        context = await look.contexts.get(options.tls_config, alpn=("h2",))
        tls = Tls(context=context, name=options.tls_config.server_name or place.host)
    explicit = place.netloc.rpartition("]")[2].rpartition(":")[2].isdigit()
    port = place.port if explicit else (443 if options.tls else 80)
    headers, body = _headers(options, place), health.request(options.service)
    link = await dial(
        look.attempt,
        look.environment,
        Route(host=ip, port=port),
        lambda: Call(look.attempt, headers, body),
        tls,
    )
    try:
        answer = await link.protocol.answer()
        if tls is not None:
            look.gauges.set("probe_grpc_ssl", 1)
            connection = cast("ssl.SSLObject", link.transport.get_extra_info("ssl_object"))
            verified = not options.tls_config.insecure_skip_verify
            tell_handshake(look.gauges, connection, verified=verified, cipher=False)
    finally:
        link.transport.abort()
        look.attempt.end()
    code = answer.headers.get("grpc-status", "")
    if not code.isascii() or not code.isdigit() or int(code) > 16:
        return UNKNOWN, ""
    if code != "0":
        return int(code), ""
    found = health.status(bytes(answer.data))
    return 0, health.STATUSES[found] if found < len(health.STATUSES) else ""


def _headers(options: GrpcModule, place: Place) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "https" if options.tls else "http"),
        (":path", health.PATH),
        (":authority", place.netloc),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", f"grpc-{USER_AGENT}"),
        *((name.lower(), value) for name, values in options.metadata.items() for value in values),
    ]
