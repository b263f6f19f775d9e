"""A TCP or UDP socket to one address, that is there or raises DriverError."""

import contextlib
import errno
import ipaddress
import os
import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from drivers.contract import DriverError

CONNECT_S: Final = 5.0
NAME_S: Final = 15.0
"""A name that nobody has found by then."""
WAIT_S: Final = 0.5
READ_BYTES: Final = 4096

HINTS: Final = {
    errno.ECONNREFUSED: "nothing listens there: check host and port, and that the other side runs",
    errno.EHOSTUNREACH: "no way there: check cable, modem and routes",
    errno.ENETUNREACH: "no network: check cable, modem and routes",
    errno.ETIMEDOUT: "no answer: check the way there and the firewall",
    errno.ECONNRESET: "the other side hung up: see its log",
    errno.EPIPE: "the other side hung up: see its log",
}
CHECK: Final = "check the way there, and that the other side runs"


class IpLine:
    """An open socket to tcp://HOST:PORT or udp://HOST:PORT. Raises DriverError, also from `send` and `receive`."""

    def __init__(self, address: str, alive: Callable[[], bool]) -> None:
        """alive: called at least once a second while a name is looked up, which may take long."""
        self._address = address
        parts = urlsplit(address)
        kind = socket.SOCK_STREAM if parts.scheme == "tcp" else socket.SOCK_DGRAM
        family, where = self._find(parts.hostname or "", parts.port or 0, kind, alive)
        self._socket = socket.socket(family, kind)
        try:
            self._socket.settimeout(CONNECT_S)
            self._socket.connect(where)
            if kind == socket.SOCK_STREAM:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            self._socket.close()
            raise self._error(error) from error
        self.stream = kind == socket.SOCK_STREAM
        self._poll = select.poll()  # not select(): it fails from descriptor 1,024 on
        self._poll.register(self._socket, select.POLLIN)

    def _find(self, host: str, port: int, kind: socket.SocketKind, alive: Callable[[], bool]) -> tuple[Any, Any]:
        """Family and address. A name is looked up beside us: the system's resolver may take half a minute."""
        with contextlib.suppress(ValueError):
            return (socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET), (host, port)
        found: queue.SimpleQueue[tuple[Any, Any] | OSError] = queue.SimpleQueue()

        def look() -> None:
            try:
                family, *_, where = socket.getaddrinfo(host, port, type=kind)[0]
                found.put((family, where))
            except OSError as error:
                found.put(error)

        threading.Thread(target=look, name="resolver", daemon=True).start()
        for _ in range(int(NAME_S / WAIT_S)):
            with contextlib.suppress(queue.Empty):
                if isinstance(answer := found.get(timeout=WAIT_S), OSError):
                    raise DriverError(
                        self._address, f"the name was not found ({answer.strerror})", "check name and DNS"
                    )
                return answer
            if not alive():
                break
        raise DriverError(self._address, "the name was not found in time", "check name and DNS")

    def send(self, data: bytes) -> None:
        """All of it, in one call: the other side may read no more than what comes at once."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._error(error) from error

    def receive(self, wait_s: float) -> bytes:
        """What has come, at most READ_BYTES; b"" when nothing has by then. Raises DriverError when it hung up."""
        try:
            if not self._poll.poll(wait_s * 1000):
                return b""
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            raise self._error(error) from error
        if not data and self.stream:
            raise DriverError(self._address, "the other side hung up", "see its log; it is called again")
        return data

    def close(self) -> None:
        self._socket.close()

    def _error(self, error: OSError) -> DriverError:
        found = os.strerror(error.errno) if error.errno else str(error)
        return DriverError(self._address, found, HINTS.get(error.errno or 0, CHECK))
