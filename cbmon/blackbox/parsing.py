"""Answers in HTTP/1 as Go's client reads them.

Rule: bytes in, a head and pieces of a body out; ValueError for what Go does not take either. What
it takes is taken: bare line feeds, a status without words, headers over several lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

MOST_INTERIM: Final = 5
LONGEST_CHUNK_LINE: Final = 4096
LONGEST_TRAILER: Final = 4096
"""Bytes of all trailers of an answer with the empty line after them, as in Go."""
_BLANKS: Final = b" \t"
_DIGITS: Final = frozenset(b"0123456789")
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
Header = tuple[str, str]


@dataclass(slots=True)
class Head:
    """The head of an answer. ``length`` is -1 when only the end tells it."""

    status: int = 0
    version: str = ""
    headers: list[Header] = field(default_factory=list)
    """Names in lower case; bytes that are no UTF-8 are ``surrogateescape``d."""
    length: int = 0
    bodyless: bool = False

    def values(self, name: str) -> list[str]:
        """Every value of a header."""
        wanted = name.lower()
        return [value for key, value in self.headers if key == wanted]

    def first(self, name: str) -> str:
        """The first value of a header, or an empty text."""
        return next(iter(self.values(name)), "")


class Parser:
    """One answer to a request with ``method``; ``on_body`` gets the pieces of its body."""

    def __init__(self, method: str, on_body: Callable[[bytes], None]) -> None:
        self.head = Head()
        self.has_head = self.complete = False
        self._method = method
        self._on_body = on_body
        self._rest = bytearray()
        """What came and is not understood yet; up to ``_seen`` there is no line feed in it."""
        self._seen = 0
        self._step: Callable[[], bool] = self._status_line
        self._lines: list[bytearray] = []
        self._left = 0
        self._interim = 0
        self._until_close = False
        self._pieces: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """A part of the answer; what follows it is left."""
        self._rest += data
        try:
            while self._rest and not self.complete and self._step():
                pass
        finally:
            if self._pieces:
                self._on_body(b"".join(self._pieces))
                self._pieces.clear()

    def end(self) -> bool:
        """Nothing more comes; whether the answer is whole."""
        self.complete = self.complete or (self.has_head and self._until_close)
        return self.complete

    # --- the head -----------------------------------------------------------------------------

    def _status_line(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self.head.version, self.head.status = status_line(line)
        self._step = self._header_line
        return True

    def _header_line(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            take_header_line(self._lines, line)
            return True
        self.head.headers = [one for one in map(_header, self._lines) if one[0]]
        self._lines = []
        if 100 <= self.head.status < 200 and self.head.status != 101:
            self._pass_over()
        else:
            self._begin_body()
        return True

    def _pass_over(self) -> None:
        self._interim += 1
        if self._interim > MOST_INTERIM:
            raise ValueError("too many 1xx informational responses")
        self.head = Head()
        self._step = self._status_line

    def _begin_body(self) -> None:
        head = self.head
        chunked = _chunked(head)
        head.length, head.bodyless = framing(self._method, head, chunked=chunked)
        head.headers = _told(head, chunked=chunked)
        self.has_head = True
        if head.bodyless or head.length == 0:
            self.complete = True
        elif chunked:
            self._step = self._chunk_line
        elif head.length > 0:
            self._left, self._step = head.length, self._measured
        else:
            self._until_close, self._step = True, self._unmeasured

    # --- the body -----------------------------------------------------------------------------

    def _measured(self) -> bool:
        self._take()
        self.complete = not self._left
        return True

    def _unmeasured(self) -> bool:
        self._left = len(self._rest)
        self._take()
        return True

    def _chunk_line(self) -> bool:
        line = self._line()
        if len(self._rest if line is None else line) + 2 > LONGEST_CHUNK_LINE:
            raise ValueError("header line too long")
        if line is None:
            return False
        self._left = _chunk_size(line)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        self._take()
        if not self._left:
            self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        if len(self._rest) < 2:
            return False
        if self._rest[:2] != b"\r\n":
            raise ValueError("malformed chunked encoding")
        self._skip(2)
        self._step = self._chunk_line
        return True

    def _trailer(self) -> bool:
        if self._rest[:2] == b"\r\n":
            self.complete = True
            return True
        end = self._rest.find(b"\r\n\r\n", 0, LONGEST_TRAILER)
        if end < 0:
            if len(self._rest) >= LONGEST_TRAILER:
                raise ValueError("suspiciously long trailer")
            return False
        for line in bytes(self._rest[:end]).split(b"\n"):
            if line in {b"", b"\r"}:
                break
            take_header_line(self._lines, line.removesuffix(b"\r"))
        self.complete = True
        return True

    # --- bytes --------------------------------------------------------------------------------

    def _line(self) -> bytes | None:
        """The next line without its end; None while it is not there."""
        end = self._rest.find(b"\n", self._seen)
        if end < 0:
            self._seen = len(self._rest)
            return None
        line = bytes(self._rest[:end])
        self._skip(end + 1)
        return line.removesuffix(b"\r")

    def _take(self) -> None:
        """As many of the next ``_left`` bytes as there are belong to the body."""
        piece = bytes(self._rest[: self._left])
        self._left -= len(piece)
        self._skip(len(piece))
        self._pieces.append(piece)

    def _skip(self, count: int) -> None:
        del self._rest[:count]
        self._seen = 0


def status_line(line: bytes) -> tuple[str, int]:
    """Version and status; ValueError for what is no line of an answer."""
    proto, space, rest = line.partition(b" ")
    code = rest.lstrip(b" ").partition(b" ")[0]
    if not space:
        raise ValueError("malformed HTTP response")
    if len(code) != 3 or not _DIGITS.issuperset(code.removeprefix(b"+")):
        raise ValueError("malformed HTTP status code")
    name, digits = proto[:5], proto[5:6] + proto[7:]
    if name != b"HTTP/" or len(proto) != 8 or proto[6:7] != b"." or not _DIGITS.issuperset(digits):
        raise ValueError("malformed HTTP version")
    return proto.decode(), int(code)


def take_header_line(lines: list[bytearray], line: bytes) -> None:
    """Add a line to the headers, or to the one before it; ValueError for what is neither."""
    text = line.strip(_BLANKS)
    if line[0] in _BLANKS:
        if not lines:
            raise ValueError("malformed header: the first one begins with a space")
        lines[-1] += b" " + text
    elif b":" in text:
        lines.append(bytearray(text))
    else:
        raise ValueError("malformed header: no colon in a line")


def framing(method: str, head: Head, *, chunked: bool) -> tuple[int, bool]:
    """The length as Go's client tells it, and whether no body follows; ValueError."""
    given = [value.strip() for value in head.values("content-length")]
    if chunked:
        given = []
    if len(set(given)) > 1:
        raise ValueError("more than one Content-Length")
    if method == "HEAD":
        return _length(given), True
    if head.status in {204, 304} or head.status == 101:
        return 0, True
    return _length(given), False


def _length(given: Sequence[str]) -> int:
    text = given[0] if given else ""
    if not text:
        return -1
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()) or len(digits) > 19 or int(digits) >= 1 << 63:
        raise ValueError("bad Content-Length")
    return int(digits)


def _chunked(head: Head) -> bool:
    codings = head.values("transfer-encoding")
    if not codings or head.version == "HTTP/1.0":
        return False
    if len(codings) > 1 or codings[0].strip().lower() != "chunked":
        raise ValueError("unsupported transfer encoding")
    return True


def _told(head: Head, *, chunked: bool) -> list[Header]:
    """The headers without those that say how the answer comes, which Go keeps to itself."""
    gone = {"transfer-encoding"} | ({"content-length", "trailer"} if chunked else set())
    tokens = {
        token.strip().lower() for one in head.values("connection") for token in one.split(",")
    }
    if "close" in tokens and head.version != "HTTP/1.0":
        gone.add("connection")
    return [one for one in head.headers if one[0] not in gone]


def _chunk_size(line: bytes) -> int:
    digits = line.rstrip(b" \t\r").partition(b";")[0]
    if not digits or len(digits) > 16 or not _HEX.issuperset(digits):
        raise ValueError("invalid chunk length")
    return int(digits, 16)


def _header(line: bytearray) -> Header:
    name, _, value = line.partition(b":")
    key = name.decode(errors="surrogateescape").lower()
    return key, value.lstrip(_BLANKS).decode(errors="surrogateescape")
