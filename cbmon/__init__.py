"""cbmon: circuit breakers, and the monitoring daemon built around them."""

__version__ = "0.1.0"
