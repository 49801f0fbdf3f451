"""Retry budget: how many retries all callers together may make.

Rule: retries are paid from what ordinary calls put in. While a target is down its load grows by
``ratio`` in the long run, not by the number of attempts.
"""

from __future__ import annotations

import threading

from cbmon.breaker.forking import remember
from cbmon.breaker.unique import Unique
from cbmon.resilience.checks import at_least, is_number


class RetryBudget(Unique):
    """A purse that the retries of many callers are paid from.

    Each first attempt puts in ``ratio`` (0.1: one retry for ten calls; in (0, 1]), each retry
    takes out 1; ``reserve`` is what it holds at the start and at most (an integer >= 1). Give
    the same budget to every retry that calls the same target. Threads may share it.

    Source: the retry budgets of Finagle, and "Handling Overload" in Google's SRE book, which
    limits the ratio of retries per client to 10 %.

        >>> budget = RetryBudget(ratio=0.5, reserve=1)
        >>> budget.withdraw(), budget.withdraw()
        (True, False)
        >>> for call in range(2):
        ...     budget.deposit()
        >>> budget.withdraw()
        True
    """

    __slots__ = ("__weakref__", "_balance", "_lock", "ratio", "reserve")

    def __init__(self, *, ratio: float = 0.1, reserve: int = 10) -> None:
        if not (is_number(ratio) and 0.0 < ratio <= 1.0):
            raise ValueError(f"ratio: got {ratio!r}, expected a number in (0, 1]")
        self.ratio = ratio
        self.reserve = at_least("reserve", reserve, 1)
        self._lock = threading.Lock()
        self._balance = float(self.reserve)
        remember(self)

    def _in_child(self) -> None:
        self._lock = threading.Lock()

    @property
    def balance(self) -> float:
        """How many retries could be paid now."""
        return self._balance

    def deposit(self) -> None:
        """A first attempt is made."""
        with self._lock:
            self._balance = min(self._balance + self.ratio, float(self.reserve))

    def withdraw(self) -> bool:
        """Pay for one retry; False if there is not enough left."""
        with self._lock:
            if self._balance < 1.0:
                return False
            self._balance -= 1.0
            return True
