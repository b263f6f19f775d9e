"""A receiver of PUTs, for tests: each connection is served as the test says, over TLS where it has a certificate."""

import queue
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.media_mail import PutDone, PutFile
from agent.put import Put

DEADLINE_S = 20.0
Script = Callable[[socket.socket, "Request"], None]
"""What is done with one connection once the head has come."""


class Request:
    """head: with its empty line. body: what has come of it."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := wire.recv(65_536)):
                raise ConnectionError("no whole head")
            data += more
            if data[0] == 0x16:
                raise ConnectionError("a TLS handshake")
        head, _, body = data.partition(b"\r\n\r\n")
        self.head, self.body = head + b"\r\n\r\n", bytearray(body)
        found = re.search(rb"Content-Length: (\d+)", head)
        self.size = int(found[1]) if found else 0

    def read(self, size: int) -> None:
        """Until so many bytes of the body are here, or the other side has ended."""
        while len(self.body) < size and (more := self._wire.recv(65_536)):
            self.body += more

    def read_until_quiet(self, quiet_s: float) -> None:
        """Until nothing has come for so long."""
        self._wire.settimeout(quiet_s)
        with suppress(TimeoutError):
            self.read(self.size)
        self._wire.settimeout(None)


class PutServer:
    """Listens on localhost. `requests`: each one, in order."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.ended = threading.Event()
        """A connection has been served to its end."""
        self._script, self._tls = script, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # it holds less than a file of megabytes
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}/bucket/x?X-Amz-Signature=secret"

    def __enter__(self) -> "PutServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self._open:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                wire, _ = self._listener.accept()
                self._open.append(wire)
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: socket.socket) -> None:
        with suppress(OSError), wire:
            if self._tls:
                wire = self._tls.wrap_socket(wire, server_side=True)
                self._open.append(wire)
            request = Request(wire)
            self.requests.append(request)
            self._script(wire, request)
            wire.close()
        self.ended.set()


def takes(status: str = "200 OK") -> Script:
    """Takes the file whole and answers so."""

    def script(wire: socket.socket, request: Request) -> None:
        request.read(request.size)
        wire.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    return script


def reset(wire: socket.socket) -> None:
    """Hangs up with a RST."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


class Putting:
    """A PUT of `url`, and what becomes of it."""

    def __init__(self, folder: Path, name: str, url: str, media_kbps: int | None = None) -> None:
        self._said: queue.SimpleQueue[PutDone] = queue.SimpleQueue()
        self.put = Put(PutFile(name, url), folder, media_kbps, self._said.put)

    def done(self) -> PutDone:
        """Its end; told once, and with no word of the address's credential."""
        said = self._said.get(timeout=DEADLINE_S)
        assert self.put.join(DEADLINE_S)
        assert self._said.empty()
        assert "secret" not in said.reason and "/bucket" not in said.reason
        return said
