"""Grafana's dashboards, rendered from a configuration, and the files that provision them.

Rule: built as data, never as text, so that no template language meets another. The same
configuration and version give the same bytes.
"""

from cbmon.dashboards.render import DASHBOARDS, render, shared, written

__all__ = ["DASHBOARDS", "render", "shared", "written"]
