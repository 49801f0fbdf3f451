"""Configurations of other monitors, turned into one of cbmon's.

Rule: what is written is a configuration that loads; what could not be carried over is told, never
left out in silence.
"""
