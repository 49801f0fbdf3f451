"""The two things of OpenSSL that a web-config file asks for and Python's ssl does not offer.

Rule: asked of the very library that Python's ssl is bound to, on the context that it made, and
only after that library has confirmed what we think the context is; otherwise refused. ctypes is
imported when it is needed: it makes executable memory, which a hardened unit forbids.

Sources: SSL_CTX_set1_groups_list(3), SSL_CTX_set_cert_verify_callback(3); CPython's
``Modules/_ssl.c``, where an SSLContext begins with its ``SSL_CTX *``.
"""

from __future__ import annotations

import _ssl
import ssl
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

_GET_MIN_VERSION: Final = 130
_SET_GROUPS_LIST: Final = 92


class UnsupportedError(Exception):
    """This Python cannot do it; the message says so."""


def set_groups(context: ssl.SSLContext, groups: Sequence[str]) -> None:
    """Allow these curves only, in this order; UnsupportedError."""
    library, pointer = _library(), _pointer(context)
    names = ":".join(groups).encode()
    if library.SSL_CTX_ctrl(pointer, _SET_GROUPS_LIST, 0, names) != 1:
        raise UnsupportedError(f"this OpenSSL does not take the curves {', '.join(groups)}")


def accept_any_certificate(context: ssl.SSLContext) -> None:
    """Ask for client certificates without verifying what comes; UnsupportedError."""
    _library().SSL_CTX_set_cert_verify_callback(_pointer(context), _accepting(), None)


@cache
def _library() -> Any:
    try:
        import ctypes  # noqa: PLC0415 - see above

        library = ctypes.CDLL(_ssl.__file__)
        control = library.SSL_CTX_ctrl
        verify = library.SSL_CTX_set_cert_verify_callback
    except (AttributeError, ImportError, MemoryError, OSError, TypeError) as error:
        raise UnsupportedError("this Python's OpenSSL is out of reach") from error
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    control.restype = ctypes.c_long
    verify.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    verify.restype = None
    return library


@cache
def _accepting() -> Any:
    """A C function that accepts whatever certificate; it has to live as long as the process."""
    import ctypes  # noqa: PLC0415 - see above

    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    try:
        return kind(lambda _store, _argument: 1)
    except MemoryError as error:
        raise UnsupportedError(
            "needs executable memory, which MemoryDenyWriteExecute= of the unit forbids"
        ) from error


def _pointer(context: ssl.SSLContext) -> Any:
    """The ``SSL_CTX *`` of a context: what follows the object's head."""
    if sys.implementation.name != "cpython" or not hasattr(_ssl, "_SSLContext"):
        raise UnsupportedError("only CPython tells where OpenSSL's context is")
    library = _library()
    import ctypes  # noqa: PLC0415 - see above

    found = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = context.minimum_version
    said = library.SSL_CTX_ctrl(found, _GET_MIN_VERSION, 0, None)
    if said != (0 if expected is ssl.TLSVersion.MINIMUM_SUPPORTED else int(expected)):
        raise UnsupportedError("OpenSSL's context is not where it is expected")
    return found
