"""Services that an application calls by name, each behind a breaker.

Rule: made from the same files as :mod:`cbmon.appconfig`; knows clients, and no server.
"""

from cbmon.pool.clients import HttpResponse, RequestError
from cbmon.pool.pool import ServicePool
from cbmon.pool.service import Service

__all__ = ["HttpResponse", "RequestError", "Service", "ServicePool"]
