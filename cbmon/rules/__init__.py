"""Alert rules, their tests, Alertmanager's part and runbooks, rendered from a configuration.

Rule: the same configuration and version give the same bytes. What comes from the configuration
is quoted for every language it passes through; nothing else of it reaches a file.
"""

from cbmon.rules.files import RUNBOOKS, runbook, templates
from cbmon.rules.render import MARK, render, rule_file

__all__ = ["MARK", "RUNBOOKS", "render", "rule_file", "runbook", "templates"]
