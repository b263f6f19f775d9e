"""A TCP or UDP socket to one address, that is there or raises DriverError. The door to the socket."""

import contextlib
import errno
import ipaddress
import os
import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any, Final, Self
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


def address(tcp: str) -> tuple[str, int]:
    """`host:port`, an IPv6 address in brackets. Raises ValueError with what is allowed."""
    host, _, port = tcp.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536) or any(map(str.isspace, tcp)):
        raise ValueError(f"tcp: found {tcp!r}, allowed is HOST:PORT, as 127.0.0.1:2947")
    return host, int(port)


class IpLine:
    """An open socket to HOST:PORT, tcp://HOST:PORT or udp://HOST:PORT; a context manager. Raises DriverError, also
    from `read` and `write`.
    """

    def __init__(self, address: str, alive: Callable[[], bool], hint: str = "") -> None:
        """alive: called at least once a second while a name is looked up, which may take long: longer than a watchdog
        waits. hint: for the person on site, instead of what the system's error hints at.
        """
        self._address, self._hint = address, hint
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
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
            raise self.gone(error) from error
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
            except UnicodeError:  # a part of more than 63 characters, or none between two dots
                found.put(socket.gaierror(socket.EAI_NONAME, "no host can have it"))

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """All of it, in one call: the other side may read no more than what comes at once."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self.gone(error) from error

    def read(self, wait_s: float) -> bytes:
        """What has come, at most READ_BYTES; b"" when nothing has by then. Raises DriverError when it hung up."""
        try:
            if not self._poll.poll(wait_s * 1000):
                return b""
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            raise self.gone(error) from error
        if not data and self.stream:
            raise self.gone("the other side hung up")
        return data

    def close(self) -> None:
        self._socket.close()

    def gone(self, found: OSError | str) -> DriverError:
        """The error for its reader."""
        number = found.errno if isinstance(found, OSError) else None
        told = os.strerror(number) if number else str(found)
        return DriverError(self._address, told, self._hint or HINTS.get(number or 0, CHECK))
