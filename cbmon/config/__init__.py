"""The daemon's configuration: read, checked and resolved into one frozen value.

Rule: all or nothing. Either every option of every file is right, or every problem is told with
its place and nothing changes.
"""
