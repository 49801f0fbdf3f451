"""Recorded results replayed through other breaker settings: pages avoided against delay.

Rule: the engine that runs is the engine; a history is data and nothing else.
"""

from cbmon.simulation.replay import Replay, Sample, Span, outages, replay
from cbmon.simulation.sources import HistoryError, from_file, from_prometheus

__all__ = [
    "HistoryError",
    "Replay",
    "Sample",
    "Span",
    "from_file",
    "from_prometheus",
    "outages",
    "replay",
]
