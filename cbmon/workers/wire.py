"""What the daemon and a worker say to each other: frames on a stream, and what is in them.

Rule: the daemon pickles, because a check's options are objects and secrets among them, and only a
worker reads it. A worker answers in marshal's plain values, which make no object but text,
numbers and containers of them.

A frame is its length (4 bytes, big-endian), one byte that says what it is, and its content.
"""

from __future__ import annotations

import copyreg
import io
import marshal
import pickle
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple

from cbmon.config.fields import Options, Regex, Secret
from cbmon.model import Phases, Reason, Result
from cbmon.probes.run import Plan

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one frame; more is a broken stream."""
_HEAD: Final = 5


class Kind(IntEnum):
    """What a frame is."""

    SETTINGS = 1
    """To the worker, first: :class:`Settings`."""
    DEFINE = 2
    """To the worker: checks as it is to carry them out from now on."""
    FORGET = 3
    """To the worker: numbers of checks that there are no more."""
    ORDER = 4
    """To the worker: runs to begin."""
    CANCEL = 5
    """To the worker: numbers of runs of which nobody wants to know the end."""
    PING = 6
    """To the worker: say how you are."""
    END = 7
    """To the worker: stop."""
    READY = 8
    """From the worker, first: it takes orders."""
    RESULTS = 9
    """From the worker: runs that have ended."""
    PONG = 10
    """From the worker: :class:`Health`."""


class BrokenStreamError(Exception):
    """What came is not what the other side would have written."""


class Frames:
    """Takes a stream apart."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """The frames that are complete with these bytes. Raises BrokenStreamError."""
        data = self._rest + data if self._rest else data
        begin, end = 0, len(data)
        self._rest = b""
        while end - begin >= _HEAD:
            size = int.from_bytes(data[begin : begin + 4])
            if size > LARGEST:
                raise BrokenStreamError(f"a frame of {size} bytes")
            after = begin + _HEAD + size
            if after > end:
                break
            try:
                kind = Kind(data[begin + 4])
            except ValueError as error:
                raise BrokenStreamError(str(error)) from error
            yield kind, data[begin + _HEAD : after]
            begin = after
        self._rest = data[begin:]


def frame(kind: Kind, content: bytes = b"") -> bytes:
    """One frame."""
    return len(content).to_bytes(4) + bytes((kind,)) + content


# --- to the worker -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker needs to know before its first check."""

    number: int
    log_level: str
    log_format: str


class Definition(NamedTuple):
    """A check as a worker carries it out. ``timeout`` is that of one look, in seconds."""

    number: int
    kind: str
    options: Options
    timeout: float
    plan: Plan


def pickled(value: object) -> bytes:
    """Settings or definitions, with the secrets in them."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCTIONS
    pickler.dump(value)
    return file.getvalue()


def unpickled(content: bytes) -> Any:
    """What the daemon has pickled. For a worker only: it trusts what it reads."""
    return pickle.loads(content)  # noqa: S301 - it comes from the process that started this one


def _secret(secret: Secret) -> tuple[type[Secret], tuple[str]]:
    return Secret, (secret.reveal(),)


def _regex(regex: Regex) -> tuple[type[Regex], tuple[str]]:
    return Regex, (regex.pattern,)


_REDUCTIONS: Final[dict[type, Any]] = {**copyreg.dispatch_table, Secret: _secret, Regex: _regex}
"""How to pickle what must not be pickled anywhere else, or cannot be."""


def numbers(values: Iterable[int]) -> bytes:
    """Numbers of checks and runs, below 2**32. An order is two: the run's, then the check's."""
    return array("I", values).tobytes()


def read_numbers(content: bytes) -> list[int]:
    """What :func:`numbers` has written."""
    found = array("I")
    found.frombytes(content)
    return found.tolist()


# --- from the worker ---------------------------------------------------------------------------

Row = tuple[Any, ...]
"""A result on its way: numbers of run and check, then the fields that it has."""


def row(run: int, check: int, result: Result, *, facts: bool) -> Row:
    """A result as it travels; without ``facts`` they are those of the check's row before."""
    return (
        run,
        check,
        result.duration,
        *result.phases,
        None if result.reason is None else result.reason.value,
        result.error,
        result.certificate_expiry,
        result.domain_expiry,
        result.facts if facts else None,
    )


def results(rows: list[Row]) -> bytes:
    """Rows as bytes. Facts are made plain first where they are not."""
    try:
        return marshal.dumps(rows)
    except ValueError:
        return marshal.dumps([plain(each) for each in rows])


def read_results(content: bytes) -> list[Row]:
    """What :func:`results` has written. Raises BrokenStreamError."""
    try:
        rows = marshal.loads(content)  # noqa: S302 - from the process that this one started
    except (ValueError, EOFError, TypeError) as error:
        raise BrokenStreamError(str(error)) from error
    if not isinstance(rows, list):
        raise BrokenStreamError("results that are no list")
    return rows


def result_of(row: Row, facts: Mapping[str, Any]) -> Result:
    """The result in a row; ``facts`` are those of the row before, for one that has none."""
    (
        _run, _check, duration, resolve, connect, tls, processing, transfer,
        reason, error, certificate_expiry, domain_expiry, own,
    ) = row  # fmt: skip
    return Result(
        ok=reason is None,
        duration=duration,
        reason=None if reason is None else Reason(reason),
        error=error,
        phases=Phases(resolve, connect, tls, processing, transfer),
        certificate_expiry=certificate_expiry,
        domain_expiry=domain_expiry,
        facts=facts if own is None else own,
    )


def plain(value: Any) -> Any:
    """The same in plain types: what is text by nature as text, numbers as numbers."""
    if value is None or type(value) in {str, int, float, bool, bytes}:
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [plain(each) for each in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, bool | int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


class Health(NamedTuple):
    """How a worker is."""

    cpu: float
    """Seconds of processor time that it has used."""
    resident: int
    """Bytes of memory."""
    descriptors: int
    """Open files."""

    def encode(self) -> bytes:
        """As the content of a PONG."""
        return marshal.dumps(tuple(self))

    @classmethod
    def decode(cls, content: bytes) -> Health:
        """From the content of a PONG. Raises BrokenStreamError."""
        try:
            return cls(*marshal.loads(content))  # noqa: S302 - see read_results
        except (ValueError, EOFError, TypeError) as error:
            raise BrokenStreamError(str(error)) from error
