"""A camera's side of TCP, for tests: each connection is sent what the test says. Typed bytes, none made by our code."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

JPEG = bytes.fromhex(
    "ffd8 ffe0 0010 4a464946 00 0101 00 0001 0001 00 00"  # SOI, APP0
    f"ffdb 0043 00 {'01' * 64}"  # DQT
    "ffc0 000b 08 0008 0008 01 01 11 00"  # SOF0: 8 bit, 8 x 8, one component
    f"ffc4 0014 00 01 {'00' * 15} 00"  # DHT: DC, one code
    f"ffc4 0014 10 01 {'00' * 15} 00"  # DHT: AC, one code
    "ffda 0008 01 01 00 00 3f 00 3f"  # SOS and a byte of data
    "ffd9"
)
"""Grey, 8 x 8 pixels, one component: the shortest JPEG that is whole (ITU-T T.81, annex B)."""

Script = Callable[[socket.socket, bytes], None]
"""What is done with one connection; the bytes are the head of the request."""


class CameraServer:
    """Listens on 127.0.0.1. `requests`: the head of each, in order."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/video", user: str = "") -> str:
        return f"http://{user}{'@' if user else ''}127.0.0.1:{self.port}{path}"

    def __enter__(self) -> "CameraServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(4096)):
                    return
                head += data
            self.requests.append(head)
            self._script(connection, head)


def says(*pieces: bytes, hold: bool = False) -> Script:
    """Sends these and hangs up; hold: waits until the other side does."""

    def script(connection: socket.socket, head: bytes) -> None:
        for piece in pieces:
            connection.sendall(piece)
        if hold:
            connection.recv(1)

    return script


def forever(first: bytes, then: bytes) -> Script:
    def script(connection: socket.socket, head: bytes) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(then)

    return script


MULTIPART = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def part(picture: bytes = JPEG, length: int | None = -1) -> bytes:
    """length: as the head says; -1: the true one; None: no word of it."""
    said = b"" if length is None else b"Content-Length: %d\r\n" % (len(picture) if length == -1 else length)
    return b"--frame\r\nContent-Type: image/jpeg\r\n" + said + b"\r\n" + picture + b"\r\n"
