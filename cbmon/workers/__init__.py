"""Processes that look at targets for the daemon, so that looking may use more than one core.

Rule: a worker knows nothing that must be kept. Schedule, breakers, metrics, store and web stay in
the daemon; a worker is told what to look at and says what it saw, so it may die at any time.
"""
