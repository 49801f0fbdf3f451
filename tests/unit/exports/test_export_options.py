"""Options that cannot work are refused at load, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from yarl import URL

from cbmon.exports import EXPORTS, export_type
from cbmon.exports.base import ExportEnvironment
from cbmon.exports.pushgateway import PushgatewayOptions, group_url
from cbmon.exports.textfile import TextfileOptions
from cbmon.exports.tls import TlsOptions


def gateway(**options: Any) -> PushgatewayOptions:
    return PushgatewayOptions.model_validate({"url": "http://127.0.0.1:9091", **options})


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_every_type_is_complete(name: str) -> None:
    kind = export_type(name)
    assert name == kind.name
    minimal: dict[str, dict[str, Any]] = {
        "textfile": {"path": "/srv/cbmon.prom"},
        "pushgateway": {"url": "http://127.0.0.1:9091"},
        "otlp": {"url": "http://127.0.0.1:4318/v1/metrics"},
        "remote_write": {"url": "http://127.0.0.1:9090/api/v1/write"},
    }
    options = kind.options.model_validate(minimal[name])
    assert kind.target(options)
    assert kind.build(options, ExportEnvironment()) is not None


def test_an_unknown_type_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        export_type("carrier-pigeon")


@pytest.mark.parametrize("path", ["/srv/cbmon.txt", "/srv/.prom", "/srv/prom"])
def test_the_collector_reads_only_files_that_end_in_prom(path: str) -> None:
    with pytest.raises(ValidationError, match=r'ends in "\.prom"'):
        TextfileOptions.model_validate({"path": path})


@pytest.mark.parametrize("prefix", ["9lives", "", "go_ ", "cbmon_check{"])
def test_what_cannot_begin_a_metric_name_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        TextfileOptions.model_validate({"path": "a.prom", "exclude": [prefix]})


@pytest.mark.parametrize(
    ("grouping", "message"),
    [
        ({"job": "x"}, "option of its own"),
        ({"component": "x"}, "overwrite"),
        ({"check": "x"}, "overwrite"),
        ({"__name__": "x"}, "overwrite"),
        ({"not-a-label": "x"}, "pattern"),
    ],
)
def test_a_grouping_label_that_would_spoil_the_metrics_is_refused(
    grouping: dict[str, str], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        gateway(grouping=grouping)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://127.0.0.1:9091/?a=b"},
        {"url": "http://127.0.0.1:9091/#a"},
        {"job": ""},
        {"method": "patch"},
        {"basic_auth": {"username": "a:b", "password": "c"}},
        {"basic_auth": {"username": "a"}},
        {"basic_auth": {"username": "a", "password": "b", "password_file": "c"}},
        {"tls": {"cert_file": "c.pem"}},
        {"tls": {"key_file": "k.pem"}},
        {"colour": "blue"},
    ],
    ids=str,
)
def test_a_gateway_that_cannot_be_pushed_to_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        gateway(**options)


def test_a_password_shows_nowhere() -> None:
    options = gateway(basic_auth={"username": "ann", "password": "hunter2"})
    assert "hunter2" not in repr(options)
    assert "hunter2" not in options.model_dump_json()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("web-1", "/instance/web-1"),
        ("a.b~c_d", "/instance/a.b~c_d"),
        ("/var/tmp", "/instance@base64/L3Zhci90bXA="),
        ("", "/instance@base64/="),
        (".", "/instance@base64/Lg=="),
        ("..", "/instance@base64/Li4="),
        ("a b", "/instance@base64/YSBi"),
        ("ä?&", "/instance@base64/w6Q_Jg=="),
    ],
)
def test_a_value_that_is_not_plain_in_a_path_goes_as_base64(value: str, path: str) -> None:
    address = group_url(gateway(grouping={"instance": value}))
    assert address.raw_path == f"/metrics/job/cbmon{path}"


def test_the_job_and_a_base_path_are_part_of_the_address() -> None:
    options = gateway(url="https://push.example.net/gate/", job="a/b")
    expected = URL("https://push.example.net/gate/metrics/job@base64/YS9i", encoded=True)
    assert group_url(options) == expected


def test_equal_options_are_equal_so_that_a_reload_leaves_them_alone() -> None:
    assert gateway(grouping={"a": "1"}) == gateway(grouping={"a": "1"})
    assert gateway(grouping={"a": "1"}) != gateway(grouping={"a": "2"})
    assert hash(TlsOptions()) == hash(TlsOptions())
    assert TextfileOptions(path=Path("/a.prom")) == TextfileOptions(path=Path("/a.prom"))
