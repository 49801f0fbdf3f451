"""Rule: no program is started that the configuration does not name, however its path is written."""

from __future__ import annotations

import pytest

from cbmon.model import Reason
from cbmon.probes import ProgramPolicy, probe_type
from cbmon.probes.failure import ProbeError

PLUGINS = ProgramPolicy(["/usr/lib/nagios/plugins/*", "/opt/checks/check_[ab]", "/srv/*/check"])


@pytest.mark.parametrize("path", ["/usr/lib/nagios/plugins/check_http", "/opt/checks/check_a"])
def test_what_is_named_may_be_started(path: str) -> None:
    PLUGINS.check(path)


@pytest.mark.parametrize(
    "path",
    [
        "/bin/sh",
        "/usr/lib/nagios/plugins",
        "/usr/lib/nagios/plugins/deeper/check_http",
        "/usr/lib/nagios/plugins/../../../../bin/sh",
        "/opt/checks/check_c",
        "/srv/../check",
        "/x/usr/lib/nagios/plugins/check_http",
        "usr/lib/nagios/plugins/check_http",
        "check_http",
        "",
    ],
)
def test_what_is_not_named_may_not(path: str) -> None:
    with pytest.raises(ProbeError) as caught:
        PLUGINS.check(path)

    assert caught.value.reason is Reason.POLICY


def test_nothing_may_be_started_by_default() -> None:
    with pytest.raises(ProbeError):
        ProgramPolicy().check("/bin/true")


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("absolute path", {"command": ["check_http"]}),
        ("absolute path", {"command": ["/usr/bin/../bin/sh"]}),
        ("at least 1 item", {"command": []}),
        ("NUL", {"command": ["/bin/true", "a\0b"]}),
        (
            "changes what a program is",
            {"command": ["/bin/true"], "environment": {"LD_PRELOAD": "x"}},
        ),
        (
            "name of an environment variable",
            {"command": ["/bin/true"], "environment": {"a b": "x"}},
        ),
        (
            "keep one",
            {"command": ["/bin/true"], "environment": {"A": "x"}, "environment_files": {"A": "/x"}},
        ),
    ],
)
def test_options_that_cannot_be_meant_are_refused(message: str, options: object) -> None:
    with pytest.raises(ValueError, match=message):
        probe_type("exec").options.model_validate(options)
