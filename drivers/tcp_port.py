"""A service of this machine or its network that speaks over TCP, or DriverError. The door to the socket."""

import socket
from typing import Final, Self

from drivers.contract import DriverError

CONNECT_S: Final = 3.0
READ_BYTES: Final = 4096


def address(tcp: str) -> tuple[str, int]:
    """`host:port`, an IPv6 address in brackets. Raises ValueError with what is allowed."""
    host, _, port = tcp.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536) or any(map(str.isspace, tcp)):
        raise ValueError(f"tcp: found {tcp!r}, allowed is HOST:PORT, as 127.0.0.1:2947")
    return host, int(port)


class TcpPort:
    """One connection. Use it as a context manager. Raises DriverError when it cannot be made, and once it is gone.

    hint: for the person on site, what to look at when nobody is there.
    """

    def __init__(self, tcp: str, hint: str) -> None:
        self._tcp, self._hint = tcp, hint
        try:
            self._socket = socket.create_connection(address(tcp), CONNECT_S)
        except OSError as error:
            raise self.gone(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        """All of it, within CONNECT_S."""
        try:
            self._socket.settimeout(CONNECT_S)
            self._socket.sendall(data)
        except OSError as error:
            raise self.gone(error) from error

    def read(self, wait_s: float) -> bytes:
        """What has come, at most READ_BYTES; waits for the first byte no longer than `wait_s`, then b""."""
        try:
            self._socket.settimeout(max(wait_s, 0.001))  # 0 would mean: do not wait, and raise
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self.gone(error) from error
        if not data:
            raise self.gone("it hung up")
        return data

    def gone(self, found: object) -> DriverError:
        """The error for its reader."""
        return DriverError(self._tcp, getattr(found, "strerror", None) or str(found), self._hint)
