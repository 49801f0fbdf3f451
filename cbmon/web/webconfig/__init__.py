"""Prometheus' web-config file, read as it is: TLS, client certificates, users, headers, rate.

Rule: what exporter-toolkit refuses is refused here, with the place of the mistake; what it takes
is taken and does the same.

Source: the documentation of prometheus/exporter-toolkit, ``docs/web-configuration.md``.
"""

from cbmon.web.webconfig.file import WebConfig, load_web_config

__all__ = ["WebConfig", "load_web_config"]
