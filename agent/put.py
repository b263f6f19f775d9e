"""One file by HTTPS PUT to an address that central named: with the standard library, in a thread of its own.

    PutFile -> connect, TLS -> head, pieces of the file -> answer -> PutDone, always, once

The address is a credential (a pre-signed one of S3 holds its signature in the query): no text here shows more of it
than host and port, and no redirect is followed. The receiver's certificate must be one that the system trusts.
"""

import io
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from agent import threads
from agent.media_mail import PutDone, PutFile

PIECE_BYTES: Final = 16_384
PIECE_BYTES_MIN: Final = 1_024
SEND_BUFFER_BYTES: Final = 65_536
"""The kernel takes no more than about this ahead of the line: what a pause cannot call back, and an alarm waits for."""
CONNECT_S: Final = 10.0
PIECE_S: Final = 20.0
"""A receiver that does not take a piece within this has stalled."""
ANSWER_S: Final = 30.0
"""From the last byte to the whole head of the answer, however its bytes drip."""


class Put:
    """A PUT, begun at once. `hold` and `close` may be called at any time and return at once."""

    def __init__(
        self, request: PutFile, folder: Path, media_kbps: int | None, answer: Callable[[PutDone], None]
    ) -> None:
        """folder: of the files. answer: called once, in the thread of the PUT; must never block."""
        self._name, self._url, self._file = request.sha256, urlsplit(request.url), folder / request.sha256
        self._rate = None if media_kbps is None else media_kbps * 125
        self._answer = answer
        self._go, self._closing = threading.Event(), threading.Event()
        self._go.set()
        self._socket: socket.socket | None = None
        self._thread = threads.start(self._run, "put")

    def hold(self, held: bool) -> None:
        """Between two pieces it waits while held; the receiver may lose its patience, and then it has failed."""
        if held:
            self._go.clear()
        else:
            self._go.set()

    def close(self) -> None:
        """Ends it where it is. What the receiver has of the file is less than was announced, and no object there."""
        self._closing.set()
        self._go.set()
        if (wire := self._socket) is not None:
            with suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)  # below TLS, which another thread uses

    def join(self, timeout_s: float) -> bool:
        """Whether its thread has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # ---- its own thread

    def _run(self) -> None:
        gone = expired = False
        reason = ""
        try:
            with self._file.open("rb") as file:
                status = self._send(file, os.fstat(file.fileno()).st_size)
            expired = status == 403
            if not 200 <= status < 300:
                reason = f"{self._where} answers with HTTP status {status}{_HINTS.get(status, '')}"
        except _GoneError as error:
            reason, gone = str(error), True
        except FileNotFoundError:
            reason, gone = "the file is not there", True
        except Exception as error:  # noqa: BLE001  whatever ends this thread, the box hears of it
            reason = "the box ends" if self._closing.is_set() else f"{self._where}: {_told(error)}"
        self._answer(PutDone(self._name, reason, expired, gone))

    @property
    def _where(self) -> str:
        return self._url.netloc.rpartition("@")[2]

    def _send(self, file: io.BufferedReader, size: int) -> int:
        """The HTTP status that answers. Raises OSError, HTTPException, _GoneError."""
        with closing(self._connect()) as wire:
            wire.setblocking(False)
            poller = select.poll()
            poller.register(wire, select.POLLIN | select.POLLOUT)
            due_s, early = 0.0, _push(wire, poller, self._head(size))
            for piece in self._pieces(file, size):
                self._wait(due_s)
                try:
                    early = early or _push(wire, poller, piece)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                    break  # it may have said why
                if early:
                    break
                if self._rate:
                    due_s = max(due_s, time.monotonic()) + len(piece) / self._rate
            else:
                return _status(wire, early)
            if (status := _status(wire, early)) < 300:
                raise HTTPException(f"status {status} before it had the whole file")
            return status

    def _connect(self) -> socket.socket:
        host, port = self._url.hostname or "", self._url.port or (443 if self._url.scheme == "https" else 80)
        wire = socket.create_connection((host, port), CONNECT_S)
        try:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if self._url.scheme == "https":
                wire = ssl.create_default_context().wrap_socket(wire, server_hostname=host)
            self._socket = wire
            if self._closing.is_set():
                raise _EndedError
        except BaseException:
            wire.close()
            raise
        return wire

    def _head(self, size: int) -> bytes:
        """What S3 needs and no more: a header that is not in the signature of an address may be refused."""
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        return f"PUT {target} HTTP/1.1\r\nHost: {self._where}\r\nContent-Length: {size}\r\n\r\n".encode("ascii")

    def _pieces(self, file: io.BufferedReader, size: int) -> Iterator[bytes]:
        """The file; its last piece only where its SHA-256 is its name, so that no wrong object comes to be."""
        most = PIECE_BYTES if self._rate is None else max(PIECE_BYTES_MIN, min(PIECE_BYTES, self._rate // 2))
        digest, left = sha256(), size
        while left:
            try:
                piece = file.read(min(left, most))
            except OSError as error:
                raise _UnreadError(f"the file cannot be read: {error.strerror}") from None
            digest.update(piece)
            left -= len(piece)
            if not piece or (not left and digest.hexdigest() != self._name):
                break
            yield piece
        else:
            if size:
                return
        raise _GoneError("its bytes were changed on the disk")

    def _wait(self, due_s: float) -> None:
        """Until the rate and whoever holds it let the next piece go. Raises _EndedError."""
        self._closing.wait(max(0.0, due_s - time.monotonic()))
        self._go.wait()
        if self._closing.is_set():
            raise _EndedError


class _GoneError(Exception):
    """The file can never go."""


class _UnreadError(Exception):
    """The disk does not read."""


class _EndedError(Exception):
    """`close` was called."""


class _Answer(io.RawIOBase):
    """The receiver's bytes until `until_s`. HTTPResponse takes it for a socket."""

    def __init__(self, wire: socket.socket, early: bytes) -> None:
        self._wire, self._early, self._until_s = wire, early, time.monotonic() + ANSWER_S

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._early:
            taken, self._early = self._early[: len(buffer)], self._early[len(buffer) :]
            buffer[: len(taken)] = taken
            return len(taken)
        if (left_s := self._until_s - time.monotonic()) <= 0:
            raise TimeoutError
        self._wire.settimeout(left_s)
        return self._wire.recv_into(buffer)


def _push(wire: socket.socket, poller: "select.poll", data: bytes) -> bytes:
    """Sends all of it, or as far as the receiver listens: what it says meanwhile. Raises OSError.

    TLS may have something to say of itself, as tickets, which is nothing here.
    """
    until_s, rest = time.monotonic() + PIECE_S, memoryview(data)
    while rest:
        if not poller.poll(max(0.0, until_s - time.monotonic()) * 1_000):
            raise TimeoutError
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            if early := wire.recv(4_096):
                return early
            raise ConnectionResetError
        with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            rest = rest[wire.send(rest) :]
    return b""


def _status(wire: socket.socket, early: bytes) -> int:
    """Of the final answer. Raises OSError, HTTPException."""
    response = HTTPResponse(_Answer(wire, early), method="PUT")  # type: ignore[arg-type]  # it only calls makefile
    response.begin()
    return response.status


_ELSEWHERE: Final = ", and sends us elsewhere, which is not followed: central must name the address that takes the file"
_HINTS: Final = dict.fromkeys((301, 302, 303, 307, 308), _ELSEWHERE) | {
    403: ": the address has expired, or is not signed for this",
    404: ": no such bucket or folder is there",
    413: ": it takes no file of this size",
    507: ": its disk is full",
}


def _told(error: Exception) -> str:
    """What was found and what to do next."""
    match error:
        case TimeoutError():
            return "it does not take the file, or does not answer, in time; check the way there"
        case socket.gaierror():
            return "no host of this name is known; check evidence.put, and the DNS of this site"
        case ssl.SSLCertVerificationError():
            reason = error.verify_message.rstrip(".")
            return f"its certificate is not trusted ({reason}); add its CA to those of the system, or set the clock"
        case ssl.SSLError():
            return f"TLS failed ({error.reason or 'the connection broke'}); check that the port speaks TLS"
        case ConnectionRefusedError():
            return "nobody listens there; check host and port, and that the store runs"
        case ConnectionError():
            return "it hung up in the middle; see its log"
        case HTTPException() | ValueError():
            return f"what answers is no HTTP, or ends in the middle ({str(error)[:80]!r}); check host and port"
        case _UnreadError():
            return str(error)
        case OSError():
            return f"{error.strerror or 'the connection broke'}; it is tried again"
    return f"{type(error).__name__}; this should not happen: report it with the log"
