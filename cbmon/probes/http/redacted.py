"""URLs as they may be shown.

Rule: user, password, fragment and the values of query parameters that look like credentials
never reach a fact, an error or a label.
"""

from __future__ import annotations

import re
from typing import Final

from yarl import URL

_CREDENTIAL: Final = re.compile(
    r"(?i)auth|token|secret|passw|pwd|passphrase|credential|session|signature|cookie"
    r"|(?:^|[-_.])(?:key|sig|code|pass)(?:$|[-_.])|apikey|accesskey"
)
HIDDEN: Final = "<secret>"
_LONGEST: Final = 500


def is_credential(name: str) -> bool:
    """Whether a header or query parameter of that name probably holds a credential."""
    return _CREDENTIAL.search(name) is not None


def redacted(url: URL | str) -> str:
    """The URL, fit to be shown."""
    try:
        parsed = URL(url)
        bare = parsed.with_user(None) if parsed.absolute else parsed
    except ValueError:
        return "(an unreadable URL)"
    base, _, query = str(bare.with_fragment(None)).partition("?")
    text = f"{base}?{'&'.join(map(_shown, query.split('&')))}" if query else base
    if isinstance(url, str) and text == url:
        text = url  # not a second one for each of thousands of checks
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _shown(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and is_credential(name) else pair
