"""blackbox_exporter's modules, with the targets that Prometheus probes by them.

Rule: a check for each target of each module; a module without targets becomes a check that is off
and has to be given one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cbmon.blackbox.client import TlsConfig
from cbmon.blackbox.file import load_modules
from cbmon.blackbox.modules import (
    DnsModule,
    FamilyOptions,
    HttpModule,
    Module,
    QueryResponse,
    RecordRules,
    TcpModule,
)
from cbmon.config.units import format_duration
from cbmon.migrate.draft import Draft, Json, read_document

SOMEWHERE: Final = "target.example.net"
"""Stands for the target that nobody named."""
Note = Callable[[str], None]


def convert(path: Path, prometheus: Path | None = None) -> Draft:
    """The draft for a module file; ``prometheus`` is a Prometheus configuration with targets.

    ConfigError or ConfigurationError for a file that cannot be used.
    """
    file = load_modules(path)
    draft = Draft(path.name)
    targets = _targets(read_document(prometheus)) if prometheus else {}
    for name, module in file.modules.items():
        found = targets.pop(name, [])
        for target, interval in found:
            _add(draft, name, module, target, interval)
        if not found:
            draft.note(name, "no target was named; the check is off until it has one")
            _add(draft, name, module, "", "")
    for name in targets:
        draft.note(name, "Prometheus probes by this module, but the file does not have it")
    return draft


def _add(draft: Draft, name: str, module: Module, target: str, interval: str) -> None:
    kind = module.prober
    if kind not in _KINDS:
        draft.note(name, f'the prober "{kind}" has no check of its own')
        return
    options = _KINDS[kind](module, target, lambda text: draft.note(name, text))
    if options is None:
        return
    check: Json = {
        "name": f"{name} {target.partition('://')[2] or target}".strip(),
        kind: options,
        "group": name,
    }
    if module.timeout > 0:
        check["timeout"] = format_duration(module.timeout)
        check["interval"] = interval or format_duration(max(30.0, module.timeout))
    elif interval:
        check["interval"] = interval
    if not target:
        check["enabled"] = False
    draft.add(check)


def _http(module: Module, target: str, note: Note) -> Json | None:
    options = module.http
    url = target or SOMEWHERE
    if not url.startswith(("http://", "https://")):
        url = f"http://{url}"
    for key in ("oauth2", "proxy_url", "http_headers", "fail_if_body_json_matches_cel",
                "fail_if_body_json_not_matches_cel", "valid_http_versions"):  # fmt: skip
        if getattr(options, key):
            note(f"{key} was not carried over")
    authorization = options.authorized_by
    headers = {key: value for key, value in options.headers.items() if key.lower() != "host"}
    for key in [key for key in headers if key.lower() == "accept-encoding"]:
        del headers[key]
    bearer: Json = {}
    if authorization is not None:
        if authorization.type.lower() != "bearer":
            note(f"authorization of type {authorization.type} was not carried over")
        else:
            bearer = {
                "bearer_token": _secret(authorization.credentials),
                "bearer_token_file": _path(authorization.credentials_file),
            }
    host = next((value for key, value in options.headers.items() if key.lower() == "host"), None)
    packed = options.compression.lower()
    return {
        "url": url,
        "method": options.method,
        "headers": headers,
        "host": host,
        "body": options.body or None,
        "body_file": _path(options.body_file),
        "basic_auth": _basic(options),
        **bearer,
        "follow_redirects": None if options.follows else False,
        "compression": [packed] if packed in {"gzip", "deflate"} else None,
        "max_body_size": options.body_size_limit or None,
        "family": _family(options),
        "tls": _tls(options.tls_config),
        "expect": _http_expect(options, note),
    }


def _http_expect(options: HttpModule, note: Note) -> Json:
    headers: dict[str, dict[str, str]] = {"matches": {}, "not_matches": {}}
    for key, rules in (
        ("not_matches", options.fail_if_header_matches),
        ("matches", options.fail_if_header_not_matches),
    ):
        for rule in rules:
            if rule.header in headers[key]:
                note(f"a second pattern for the header {rule.header} was not carried over")
            elif key == "matches" and rule.allow_missing:
                note(f"the header {rule.header} may be missing; its pattern was not carried over")
            else:
                headers[key][rule.header] = rule.regexp.pattern
    return {
        "status": list(options.valid_status_codes),
        "body": {
            "matches": [one.pattern for one in options.fail_if_body_not_matches_regexp],
            "not_matches": [one.pattern for one in options.fail_if_body_matches_regexp],
        },
        "headers": headers,
        "tls": True if options.fail_if_not_ssl else (False if options.fail_if_ssl else None),
    }


def _tcp(module: Module, target: str, note: Note) -> Json | None:
    options = module.tcp
    steps = [one for step in options.query_response for one in _steps(step, note)]
    begins = options.tls or any("starttls" in step for step in steps)
    return {
        "address": target or f"{SOMEWHERE}:80",
        "family": _family(options),
        "source_address": options.source_ip_address or None,
        **({"tls": _tls(options.tls_config) or _NO_TLS_OPTIONS} if begins else {}),
        "dialogue": steps,
        **_tls_note(options, note),
    }


_NO_TLS_OPTIONS: Final = {"insecure_skip_verify": False}


def _tls_note(options: TcpModule, note: Note) -> Json:
    if options.tls and any(step.starttls for step in options.query_response):
        note("TLS twice is not possible; the second was not carried over")
    return {}


def _steps(step: QueryResponse, note: Note) -> Iterable[Json]:
    if step.expect is not None:
        yield {"expect": step.expect.pattern}
    if step.expect_bytes:
        data = step.expect_bytes.encode(errors="surrogateescape")
        yield {"expect_hex": data.hex(" ")}
    if step.labels:
        note("the labels of probe_expect_info were not carried over")
    if step.send:
        data = f"{step.send}\n".encode(errors="surrogateescape")
        text = _references(f"{step.send}\n")
        yield {"send": text} if data.isascii() else {"send_hex": data.hex(" ")}
    if step.starttls:
        yield {"starttls": True}


def _references(text: str) -> str:
    for number in range(1, 10):
        text = text.replace(f"${{{number}}}", f"${number}")
    return text


def _dns(module: Module, target: str, note: Note) -> Json | None:
    options = module.dns
    if options is None:
        note("there is no query_name")
        return None
    server = target or SOMEWHERE
    secure = options.dns_over_tls
    bare = server.rpartition("]")[2] if "]" in server else server
    if ":" not in bare:
        server += ":853" if secure else ":53"
    return {
        "server": server,
        "name": options.query_name,
        "type": options.query_type or "ANY",
        "class": options.query_class or "IN",
        "transport": "tls" if secure else options.transport_protocol,
        "recursion": None if options.recursion_desired else False,
        "family": _family(options),
        "source_address": options.source_ip_address or None,
        "tls": _tls(options.tls_config) if secure else None,
        "expect": _dns_expect(options, note),
    }


def _dns_expect(options: DnsModule, note: Note) -> Json:
    sections = {
        "answer": options.validate_answer_rrs,
        "authority": options.validate_authority_rrs,
        "additional": options.validate_additional_rrs,
    }
    return {
        "rcode": list(options.valid_rcodes or ()),
        "min_answers": 0 if options.valid_rcodes else None,
        **{name: _records(rules, note) for name, rules in sections.items()},
    }


def _records(rules: RecordRules, note: Note) -> Json:
    if rules.fail_if_all_match_regexp or rules.fail_if_not_matches_regexp:
        note("patterns that every record must match were carried over as: one record must")
    matches = [*rules.fail_if_not_matches_regexp, *rules.fail_if_all_match_regexp]
    some = rules.fail_if_none_matches_regexp
    if some:
        matches.append("|".join(f"(?:{one})" for one in some))
    return {"matches": matches, "not_matches": list(rules.fail_if_matches_regexp)}


def _icmp(module: Module, target: str, note: Note) -> Json | None:
    del note
    options = module.icmp
    return {
        "host": target or SOMEWHERE,
        "family": _family(options),
        "source_address": options.source_ip_address or None,
        "ttl": options.ttl if options.ttl not in {0, 64} else None,
        "size": options.payload_size + 8 if options.payload_size >= 16 else None,
        "dont_fragment": True if options.dont_fragment else None,
    }


def _grpc(module: Module, target: str, note: Note) -> Json | None:
    options = module.grpc
    address = (target or SOMEWHERE).removeprefix("http://").removeprefix("https://")
    if ":" not in address.rpartition("]")[2]:
        address += ":443" if options.tls else ":80"
    if any(len(values) > 1 for values in options.metadata.values()):
        note("of metadata with several values only the first was carried over")
    return {
        "address": address,
        "service": options.service or None,
        "metadata": {key.lower(): values[0] for key, values in options.metadata.items() if values},
        "family": _family(options),
        **({"tls": _tls(options.tls_config) or _NO_TLS_OPTIONS} if options.tls else {}),
    }


_KINDS: Final[Mapping[str, Callable[[Module, str, Note], Json | None]]] = {
    "http": _http, "tcp": _tcp, "dns": _dns, "icmp": _icmp, "grpc": _grpc,
}  # fmt: skip


def _family(options: FamilyOptions) -> str:
    version = "ipv6" if options.preferred_ip_protocol in {"ip6", ""} else "ipv4"
    return f"prefer_{version}" if options.ip_protocol_fallback else version


def _tls(config: TlsConfig) -> Json:
    versions = {"TLS10": "TLS1.0", "TLS11": "TLS1.1", "TLS12": "TLS1.2", "TLS13": "TLS1.3"}
    return {
        "ca_file": _path(config.ca_file),
        "cert_file": _path(config.cert_file),
        "key_file": _path(config.key_file),
        "server_name": config.server_name or None,
        "insecure_skip_verify": True if config.insecure_skip_verify else None,
        "min_version": versions[config.min_version] if config.min_version else None,
    }


def _basic(options: HttpModule) -> Json | None:
    found = options.basic_auth
    if found is None:
        return None
    return {
        "username": found.username,
        "password": _secret(found.password),
        "password_file": _path(found.password_file),
    }


def _secret(value: Any) -> str | None:
    return value.reveal() if value else None


def _path(value: Path | None) -> str | None:
    return None if value is None else str(value)


# --- Prometheus ---------------------------------------------------------------------------


def _targets(document: Json) -> dict[str, list[tuple[str, str]]]:
    """Targets and intervals by module, as far as they stand in the configuration itself."""
    usual = str((document.get("global") or {}).get("scrape_interval", "1m"))
    found: dict[str, list[tuple[str, str]]] = {}
    for job in document.get("scrape_configs") or ():
        if not isinstance(job, dict) or job.get("metrics_path") != "/probe":
            continue
        interval = str(job.get("scrape_interval", usual))
        modules = (job.get("params") or {}).get("module") or ["http_2xx"]
        for group in job.get("static_configs") or ():
            for target in group.get("targets") or ():
                found.setdefault(str(modules[0]), []).append((str(target), interval))
    return found
