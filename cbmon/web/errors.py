"""What goes wrong on the way to an answer, as the API says it.

Rule: one shape for every error: ``{"error": {"code", "message", "details"}}``. A message says
what was got, what was expected and what to do; it never holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer that is an error; ``code`` is for programs and stays as it is."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}


def bad_request(message: str, **details: Any) -> ApiError:
    """The request itself is wrong; ``details`` names the field and what it had."""
    return ApiError(400, "bad_request", message, details=details)


def not_found(message: str, **details: Any) -> ApiError:
    """What was asked for is not there."""
    return ApiError(404, "not_found", message, details=details)
