"""How reports to a daemon look and travel; :mod:`cbmon.report` is what programs use.

Rule: the standard library and the engine, nothing of the daemon.
"""
