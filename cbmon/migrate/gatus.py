"""Gatus' endpoints and their conditions.

Rule: a condition that cbmon has an expectation for becomes one; every other one is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cbmon.migrate.draft import Draft, Json, read_document

_CONDITION: Final = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")
_BODY: Final = re.compile(r"\[BODY\]((?:\.|\[).+)?")
_FUNCTION: Final = re.compile(r"(len|has|any|pat)\((.*)\)")
_HOURS: Final = {"h": 1.0, "m": 1 / 60, "s": 1 / 3600}
_SCHEMES: Final[Mapping[str, str]] = {
    "http": "http", "https": "http", "tcp": "tcp", "tls": "tls", "icmp": "icmp",
    "starttls": "smtp", "ssh": "ssh", "ws": "websocket", "wss": "websocket",
}  # fmt: skip


def convert(path: Path) -> Draft:
    """The draft for a Gatus configuration; ConfigurationError for what is none."""
    document = read_document(path)
    draft = Draft(path.name)
    for endpoint in document.get("endpoints") or document.get("services") or ():
        if isinstance(endpoint, dict):
            _add(draft, endpoint)
    for key in ("alerting", "security", "external-endpoints", "remote"):
        if document.get(key):
            draft.note(key, "was not carried over; see notifications and web in docs")
    return draft


def _add(draft: Draft, endpoint: Json) -> None:
    name, url = str(endpoint.get("name", "unnamed")), str(endpoint.get("url", ""))
    scheme, _, rest = url.partition("://")
    kind = "dns" if endpoint.get("dns") else _SCHEMES.get(scheme)
    if kind is None:
        draft.note(name, f"{scheme or url} is not known to cbmon; it was left out")
        return
    client = endpoint.get("client") or {}
    options: Json = _OPTIONS.get(kind, _address)(endpoint, url, rest)
    if client.get("insecure") and kind == "http":
        options["tls"] = {"insecure_skip_verify": True}
    if client.get("ignore-redirect") and kind == "http":
        options["follow_redirects"] = False
    expect = _Expectations(draft, name, kind)
    for condition in endpoint.get("conditions") or ():
        expect.add(str(condition))
    if expect.found:
        options["expect"] = expect.found
    check: Json = {
        "name": name,
        kind: options,
        "interval": str(endpoint.get("interval", "60s")),
        "timeout": str(client.get("timeout", "10s")),
        "group": str(endpoint.get("group", "")),
    }
    if endpoint.get("enabled") is False:
        check["enabled"] = False
    if endpoint.get("alerts"):
        draft.note(name, "its alerts were not carried over; name receivers instead")
    draft.add(check)


def _http(endpoint: Json, url: str, _: str) -> Json:
    headers = {str(key): str(value) for key, value in (endpoint.get("headers") or {}).items()}
    host = next((headers.pop(key) for key in list(headers) if key.lower() == "host"), None)
    body = endpoint.get("body")
    if endpoint.get("graphql"):
        headers.setdefault("Content-Type", "application/json")
    method = str(endpoint.get("method", "GET")).upper()
    return {"url": url, "method": method, "headers": headers, "host": host, "body": body}


def _address(_: Json, __: str, rest: str) -> Json:
    return {"address": rest}


def _icmp(_: Json, __: str, rest: str) -> Json:
    return {"host": rest}


def _websocket(endpoint: Json, url: str, _: str) -> Json:
    del endpoint
    return {"url": url}


def _dns(endpoint: Json, url: str, rest: str) -> Json:
    dns = endpoint["dns"]
    server = rest or url
    if ":" not in server.rpartition("]")[2]:
        server += ":53"
    name, kind = str(dns.get("query-name", "")), str(dns.get("query-type", "A"))
    return {"server": server, "name": name, "type": kind}


_OPTIONS: Final[Mapping[str, Any]] = {
    "http": _http, "icmp": _icmp, "dns": _dns, "websocket": _websocket,
}  # fmt: skip


class _Expectations:
    """What the conditions amount to."""

    def __init__(self, draft: Draft, name: str, kind: str) -> None:
        self._draft = draft
        self._name = name
        self._kind = kind
        self.found: Json = {}

    def add(self, condition: str) -> None:
        """One condition; a note when there is nothing for it."""
        match = _CONDITION.fullmatch(condition)
        if match is None or not self._taken(match[1], match[2], match[3]):
            self._draft.note(self._name, f"the condition {condition} was not carried over")

    def _taken(self, what: str, sign: str, value: str) -> bool:
        if what == "[CONNECTED]":
            return sign == "==" and value == "true"
        if what == "[STATUS]":
            return self._kind == "http" and self._status(sign, value)
        if what == "[CERTIFICATE_EXPIRATION]":
            return sign in {">", ">="} and self._certificate(value)
        if what == "[RESPONSE_TIME]":
            return (
                sign in {"<", "<="} and value.isdigit() and self._put("max_duration", f"{value}ms")
            )
        return (
            self._dns(what, sign, value) if self._kind == "dns" else self._body(what, sign, value)
        )

    def _dns(self, what: str, sign: str, value: str) -> bool:
        if sign == "==" and what == "[DNS_RCODE]":
            return self._put("rcode", [value])
        if sign == "==" and what == "[BODY]":
            return self._put("answer", {"matches": [rf"\t{_escaped(value)}\.?$"]})
        return False

    def _put(self, key: str, value: Any) -> bool:
        self.found[key] = value
        return True

    def _certificate(self, value: str) -> bool:
        match = re.fullmatch(r"([0-9]+)([hms])", value)
        if match is None or self._kind not in {"http", "tcp", "tls"}:
            return False
        self.found["certificate_days"] = round(int(match[1]) * _HOURS[match[2]] / 24, 2)
        return True

    def _status(self, sign: str, value: str) -> bool:
        function = _FUNCTION.fullmatch(value)
        if sign == "==" and function and function[1] == "any":
            words = [word.strip() for word in function[2].split(",")]
            if not all(map(str.isdigit, words)):
                return False
            self.found["status"] = [int(word) for word in words]
            return True
        if not value.isdigit():
            return False
        number = int(value)
        ranges = {
            "==": [number],
            "<": [f"100-{number - 1}"],
            "<=": [f"100-{number}"],
            "!=": [f"100-{number - 1}", f"{number + 1}-999"],
        }
        if sign not in ranges or not 101 <= number <= 998:
            return False
        self.found["status"] = ranges[sign]
        return True

    def _body(self, what: str, sign: str, value: str) -> bool:
        function = _FUNCTION.fullmatch(what)
        if function and function[1] == "has":
            path = _path(function[2])
            return (
                path is not None and sign == "==" and self._json(path, {"exists": value == "true"})
            )
        path = _path(what)
        if path is None:
            return False
        pattern = _FUNCTION.fullmatch(value)
        if pattern and pattern[1] == "pat":
            found = f"(?s)^{_escaped(pattern[2]).replace(_escaped('*'), '.*')}$"
            key = {"==": "matches", "!=": "not_matches"}.get(sign)
            return key is not None and self._text(path, key, found)
        if pattern:
            return False
        if path == "$" and sign in {"==", "!="}:
            key = "matches" if sign == "==" else "not_matches"
            return self._text(path, key, f"^{_escaped(value)}$")
        return self._compared(path, sign, value)

    def _text(self, path: str, key: str, pattern: str) -> bool:
        if path != "$":
            return self._json(path, {key: pattern})
        self.found.setdefault("body", {}).setdefault(key, []).append(pattern)
        return True

    def _compared(self, path: str, sign: str, value: str) -> bool:
        number = _number(value)
        if sign in {"<", ">"} and number is not None:
            return self._json(path, {"below" if sign == "<" else "above": number})
        if sign not in {"==", "!="}:
            return False
        plain: Any = {"true": True, "false": False}.get(value, value if number is None else number)
        return self._json(path, {"equals" if sign == "==" else "not_equals": plain})

    def _json(self, path: str, conditions: Json) -> bool:
        places = self.found.setdefault("json", {})
        if set(places.get(path, ())) & set(conditions):
            return False
        places.setdefault(path, {}).update(conditions)
        return True


def _path(what: str) -> str | None:
    match = _BODY.fullmatch(what)
    return None if match is None else f"${match[1] or ''}"


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _escaped(text: str) -> str:
    """The text as a pattern of RE2 that matches just it."""
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII)
