"""A policy and the fields that replace some of its own, as constructors take them.

Rule: a field that was given and does nothing under the kind is a warning, never silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

from cbmon.breaker.arguments import refuse_type
from cbmon.breaker.errors import BreakerWarning
from cbmon.breaker.policy import BreakerPolicy
from cbmon.breaker.validation import ignored_fields

_DEFAULT: Final = BreakerPolicy()


def check_policy(policy: object, field: str = "policy") -> None:
    """TypeError for what is no policy."""
    if not isinstance(policy, BreakerPolicy):
        hint = "; give a single field by its name" if isinstance(policy, str | dict) else ""
        refuse_type(field, policy, f"a BreakerPolicy{hint}")


def merged(
    policy: BreakerPolicy | None, fields: Mapping[str, Any], *, stacklevel: int = 3
) -> BreakerPolicy:
    """``policy`` (None: the defaults) with some fields replaced.

    TypeError for a field that there is not, ValueError for a bad value. ``stacklevel`` is where
    a warning points to: 3 is the caller of who calls this.
    """
    base = _DEFAULT if policy is None else policy
    check_policy(base)
    if not fields:
        return base
    made = base.replace(**fields)
    for name, why in ignored_fields(made.kind).items():
        if name in fields and getattr(made, name) != getattr(base, name):
            text = f"{name}={fields[name]!r} has no effect, because {why}"
            warnings.warn(text, BreakerWarning, stacklevel=stacklevel)
    return made
