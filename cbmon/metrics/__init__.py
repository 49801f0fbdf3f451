"""Every metric that cbmon exports: what is counted, and how it is rendered.

Rule: names, types and helps are in :mod:`cbmon.metrics.families`; recording is in slotted records,
rendering makes the text from them. Importing :class:`BreakerCollector` needs prometheus_client
and nothing else of the daemon.
"""

from cbmon.metrics.collector import BreakerCollector
from cbmon.metrics.exposition import Exposition
from cbmon.metrics.records import ComponentRecord
from cbmon.metrics.registry import Metrics

__all__ = ["BreakerCollector", "ComponentRecord", "Exposition", "Metrics"]
