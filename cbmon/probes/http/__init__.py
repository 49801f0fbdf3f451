"""``http``: one request over a new connection, redirects followed, the answer judged.

Rule: what the target sends is counted while it comes, never gathered first: no answer can cost
more memory or time than the options allow.
"""

from __future__ import annotations

from typing import Final

from yarl import URL

from cbmon.interfaces import Probe
from cbmon.probes.domains import registered
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.http.options import HttpOptions
from cbmon.probes.http.probe import HttpProbe
from cbmon.probes.http.redacted import redacted
from cbmon.probes.kind import ProbeType


def build(options: HttpOptions, environment: ProbeEnvironment) -> Probe:
    """The probe of a check."""
    host = URL(options.url).host or ""
    return registered(HttpProbe(options, environment), options.expect.domain, host, environment)


TYPE: Final = ProbeType(
    name="http",
    options=HttpOptions,
    target=lambda options: redacted(options.url),
    build=build,
)
