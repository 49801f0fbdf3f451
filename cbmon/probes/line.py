"""Connections of probes: what probes need of an asyncio transport, for a part of its cost.

Rule: who aborts is told nothing more; every other end is told once, by ``connection_lost``. What
arrives is handed over in the callback that reads it. What the target has said before it hung up
is heard, even when nothing can be sent to it any more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from errno import EALREADY, EINPROGRESS
from typing import Any, Final

from cbmon.probes.poll import READ, WRITE, Watcher
from cbmon.probes.steps import Bell

AT_ONCE: Final = 32 * 1024
"""Bytes that are read in one turn."""
CLOSED: Final = -1
_ON_ITS_WAY: Final = frozenset({EINPROGRESS, EALREADY})
_STREAM: Final = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)


class Line(asyncio.Transport):
    """One connection over TCP or a Unix socket, in the clear or over TLS."""

    __slots__ = (
        "_bell", "_descriptor", "_error", "_events", "_halved", "_paused", "_protocol", "_sealed",
        "_socket", "_unsent", "_watcher",
    )  # fmt: skip

    def __init__(self, watcher: Watcher, family: socket.AddressFamily) -> None:
        self._watcher = watcher
        self._protocol: asyncio.Protocol | None = None
        self._bell: Bell | None = None
        """Of the one who waits for the connection or for TLS."""
        self._sealed: _Sealed | None = None
        self._unsent = b""
        self._error: OSError | None = None
        """What kept something from being sent."""
        self._paused = self._halved = False
        self._events = 0
        self._socket = socket.SocketType(family, _STREAM)  # without what socket.socket adds
        self._descriptor = self._socket.fileno()

    # --- for who dials -------------------------------------------------------------------

    def connect(self, address: Any, source: str | None = None) -> bool:
        """Begin to connect; whether it is done. OSError, then nothing is left open."""
        try:
            if source is not None:
                self._socket.bind((source, 0))
            code = self._socket.connect_ex(address)
            if code == EINPROGRESS:  # on the loopback it is through by now
                code = self._socket.connect_ex(address)
        except BaseException:
            self.abort()
            raise
        return self._is_connected(code)

    async def connected(self, address: Any) -> None:
        """Wait until it is. OSError; whatever is raised, nothing is left open."""
        self._bell = bell = Bell()
        self._want(WRITE)
        try:
            await bell
            while not self._is_connected(self._socket.connect_ex(address)):
                await bell
        except BaseException:
            self.abort()
            raise
        self._bell = None

    def _is_connected(self, code: int) -> bool:
        """What the system says of it; OSError when it never will be."""
        if code and code not in _ON_ITS_WAY:
            self.abort()
            raise OSError(code, os.strerror(code))
        return not code

    async def secure(self, context: ssl.SSLContext, name: str) -> ssl.SSLObject:
        """Shake hands; whoever spoke here before hears nothing more. Raises OSError."""
        self._protocol = None
        sealed = self._sealed = _Sealed(context, name)
        bell = self._bell = Bell()
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._want(READ)
        try:
            while not sealed.shaken():
                self._send(sealed.outgoing.read())
                if self._halved:
                    raise self._error or ConnectionAbortedError
                await bell
        finally:
            self._bell = None
            self._send(sealed.outgoing.read())  # the rest of the handshake, or why it failed
        return sealed.plain

    def begin(self, protocol: asyncio.Protocol) -> None:
        """Speak through ``protocol`` from now on."""
        self._protocol = protocol
        self._want(READ)
        protocol.connection_made(self)
        if self._sealed is not None and self._sealed.waits():
            self._hear()

    # --- for who speaks ------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; what cannot be sent now is sent later."""
        if self._descriptor == CLOSED:
            return
        if self._sealed is None:
            self._send(bytes(data))
        else:
            self._sealed.say(bytes(data))
            self._send(self._sealed.outgoing.read())

    def abort(self) -> None:
        """Hang up at once."""
        if self._descriptor == CLOSED:
            return
        if self._events:
            self._watcher.forget(self._descriptor)
            self._events = 0
        self._descriptor = CLOSED
        self._protocol = None
        self._socket.close()

    close = abort

    def is_closing(self) -> bool:
        """Whether nothing more can be said."""
        return self._descriptor == CLOSED or self._error is not None

    def pause_reading(self) -> None:
        """Leave what comes to the kernel."""
        self._paused = True
        self._want(self._events & ~READ)

    def resume_reading(self) -> None:
        """End :meth:`pause_reading`."""
        if not self._paused or self._descriptor == CLOSED:
            return
        self._paused = False
        if not self._halved:
            self._want(self._events | READ)
        if self._sealed is not None:
            asyncio.get_running_loop().call_soon(self._hear)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``ssl_object`` and ``sslcontext`` over TLS, and ``socket``."""
        found: dict[str, Callable[[], Any]] = {"socket": lambda: self._socket}
        if (sealed := self._sealed) is not None:
            found["ssl_object"] = lambda: sealed.plain
            found["sslcontext"] = lambda: sealed.plain.context
        return found[name]() if name in found else default

    # --- from the watcher ----------------------------------------------------------------

    def ready(self, events: int) -> None:
        """Something came, or there is room again, or it is over."""
        if self._bell is not None and self._sealed is None:  # it is connected, or it is not
            self._bell.ring()
            return
        if events & WRITE:
            self._flush()
        if events & ~WRITE and self._events & READ:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if not data:
            self._half()
        elif self._sealed is not None:
            self._sealed.incoming.write(data)
            self._hear()
        elif self._protocol is not None:
            self._protocol.data_received(data)

    def _hear(self) -> None:
        """Hand over what can be read of what came sealed."""
        sealed = self._sealed
        if self._bell is not None:
            self._bell.ring()
        if sealed is None or self._bell is not None:
            return
        try:
            while self._protocol is not None and not self._paused:
                data = sealed.plain.read(AT_ONCE)
                if not data:  # a farewell
                    self._half()
                    return
                self._protocol.data_received(data)
        except ssl.SSLWantReadError:
            if self._descriptor != CLOSED:
                sealed.say(b"")
                self._send(sealed.outgoing.read())
        except ssl.SSLError as error:
            self._end(error)

    def _half(self) -> None:
        """The target has said all; keep what remains only if the protocol wants that."""
        self._halved = True
        self._want(self._events & ~READ)
        if self._bell is not None:
            self._bell.ring()
        elif self._protocol is not None and not self._protocol.eof_received():
            self._end(self._error)

    def _end(self, error: OSError | None) -> None:
        """It is over: tell who waits, or who speaks."""
        self._halved = True
        self._error = error
        protocol, bell = self._protocol, self._bell
        self.abort()
        if bell is not None:
            bell.ring()
        elif protocol is not None:
            protocol.connection_lost(error)

    # --- sending -------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if not data or self._descriptor == CLOSED or self._error is not None:
            return
        if self._unsent:
            self._unsent += data
            return
        self._unsent = data
        self._flush()

    def _flush(self) -> None:
        """Send what is not sent yet, and wait for room if that is too much."""
        data = self._unsent
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:  # what it has said, and how it ended, is still to be read
            self._error, sent = error, len(data)
        self._unsent = data = data[sent:]
        if data or self._events & WRITE:
            self._want(self._events | WRITE if data else self._events & ~WRITE)

    def _want(self, events: int) -> None:
        """Be told of these."""
        if events == self._events:
            return
        if not events:
            self._watcher.forget(self._descriptor)
        elif not self._events:
            self._watcher.watch(self._descriptor, events, self)
        else:
            self._watcher.change(self._descriptor, events)
        self._events = events


class _Sealed:
    """TLS between two buffers."""

    __slots__ = ("_unsaid", "incoming", "outgoing", "plain")

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.plain = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._unsaid = b""

    def shaken(self) -> bool:
        """Go on with the handshake; whether it is done. Raises ssl.SSLError."""
        try:
            self.plain.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def waits(self) -> bool:
        """Whether something that came was not read yet."""
        return bool(self.incoming.pending or self.plain.pending())

    def say(self, data: bytes) -> None:
        """Seal; while the target wants to shake hands again, what is to be said waits."""
        data = self._unsaid + data
        self._unsaid = b""
        while data:
            try:
                data = data[self.plain.write(data) :]
            except ssl.SSLWantReadError:
                self._unsaid, data = data, b""
