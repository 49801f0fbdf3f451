"""What a library user puts around a call besides a breaker: retry, bulkhead, timeout, fallback.

Rule: knows :mod:`cbmon.breaker` and the standard library, nothing else of cbmon.
"""

from cbmon.resilience.backoff import Backoff
from cbmon.resilience.budget import RetryBudget
from cbmon.resilience.bulkhead import Bulkhead, BulkheadRegistry
from cbmon.resilience.errors import BulkheadFullError
from cbmon.resilience.fallback import Fallback
from cbmon.resilience.layer import Layer, Wrapper, compose
from cbmon.resilience.looks import query_answers, url_answers
from cbmon.resilience.recovery import Recovery, RecoveryCheck, ThreadRecoveryCheck
from cbmon.resilience.retrying import Retry, RetryEvent, RetrySettings, retry
from cbmon.resilience.timeout import Timeout

__all__ = [
    "Backoff",
    "Bulkhead",
    "BulkheadFullError",
    "BulkheadRegistry",
    "Fallback",
    "Layer",
    "Recovery",
    "RecoveryCheck",
    "Retry",
    "RetryBudget",
    "RetryEvent",
    "RetrySettings",
    "ThreadRecoveryCheck",
    "Timeout",
    "Wrapper",
    "compose",
    "query_answers",
    "retry",
    "url_answers",
]
