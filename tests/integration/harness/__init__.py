"""What integration tests are made of: real servers, the real daemon, and waiting with a deadline.

Rule: everything is started by its path on a free port in a directory of its own, and ended by its
process id. What is not installed skips the test, or fails it when CI=true.
"""

from tests.integration.harness.daemon import Daemon
from tests.integration.harness.processes import Process, eventually, free_port, program
from tests.integration.harness.servers import (
    Alertmanager,
    Nginx,
    NodeExporter,
    Prometheus,
    Pushgateway,
)
from tests.integration.harness.sinks import Hooks, Targets

__all__ = [
    "Alertmanager",
    "Daemon",
    "Hooks",
    "Nginx",
    "NodeExporter",
    "Process",
    "Prometheus",
    "Pushgateway",
    "Targets",
    "eventually",
    "free_port",
    "program",
]
