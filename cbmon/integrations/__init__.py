"""Breakers inside the libraries that applications call others with.

Rule: one small module for each client, importable only where its client is installed, else
:class:`~cbmon.errors.MissingExtraError` names the extra. What a breaker raises through a client
is also that client's own kind of error, so that existing ``except`` clauses hold.
"""

from cbmon.integrations.protecting import protect

__all__ = ["protect"]
