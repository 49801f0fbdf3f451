"""Results of runs over time: how they are gathered, packed and summed up.

Rule: pure. The caller gives the time; the database is :mod:`cbmon.store`'s business.
"""
