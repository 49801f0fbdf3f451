"""The daemon's errors.

Rule: an error says where, what was got, what was expected and the next step; lower case, no
full stop, no secret. The engine's own errors live in :mod:`cbmon.breaker`.
"""

from __future__ import annotations


class CbmonError(Exception):
    """Base class of the errors that the daemon raises for a person to read."""


class ConfigurationError(CbmonError):
    """A configuration cannot be used; ``str()`` lists every problem, one a line."""


class StoreError(CbmonError):
    """The store could not be opened, read or written."""


class UnstorableError(StoreError):
    """The store refuses this content for what it is; trying again cannot help."""


class LockedError(CbmonError):
    """Another daemon already uses the data directory."""


class StartupError(CbmonError):
    """A step of the start failed; the message names the step and what to do."""


class MissingExtraError(CbmonError):
    """A feature needs an optional package; the message names the extra that brings it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs a package that is not installed; "
            f"install it with: pip install 'cbmon[{extra}]'"
        )
        self.feature = feature
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.feature, self.extra)
