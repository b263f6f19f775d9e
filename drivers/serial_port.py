"""A serial port that is there or raises DriverError. The door to pyserial."""

import errno
import os
import select
import termios
from pathlib import Path
from typing import Literal, Self

import serial

from drivers.contract import DriverError

Parity = Literal["none", "even"]

READ_BYTES = 4096

HINTS = {
    errno.ENOENT: "plug the device in, and compare the name with ls -l /dev/serial/by-id",
    errno.EACCES: "the user that runs this must be in the group of the device (mostly dialout)",
    errno.EPERM: "the user that runs this must be in the group of the device (mostly dialout)",
    errno.EAGAIN: "another program has this port: end it (fuser -v shows which), or correct the config",
    errno.EBUSY: "another program has this port: end it (fuser -v shows which), or correct the config",
}
NO_SERIAL_PORT = "look whether the name is that of a serial device: ls -l /dev/serial/by-id"
GONE = "look at the cable and the power of the device; it is opened again as soon as it is back"


class SerialPort:
    """An open port, locked for us alone. Use it as a context manager.

    path: of the device, or a link to it. parity: none is 8N1, even is 7E1. Bytes that came before it was opened are
    dropped.
    Raises DriverError when it cannot be opened, and from every read and write once it is gone.
    """

    def __init__(self, path: str, baud: int, parity: Parity = "none") -> None:
        self._path = path
        bits, letter = (8, "N") if parity == "none" else (7, "E")
        try:
            self._serial = serial.Serial(path, baud, bits, letter, exclusive=True, timeout=0)
        except (OSError, ValueError, termios.error) as error:
            number = error.errno if isinstance(error, OSError) else None
            raise DriverError(path, _text(error), HINTS.get(number or 0, NO_SERIAL_PORT)) from error
        self._fd = self._serial.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._serial.close()

    def read(self, wait_s: float) -> bytes:
        """What has come, at most READ_BYTES; waits for the first byte no longer than `wait_s`, then b""."""
        try:
            if not self._poll.poll(wait_s * 1000):
                self._check_device()
                return b""
            data = os.read(self._fd, READ_BYTES)
        except OSError as error:
            raise DriverError(self._path, f"the port is gone ({_text(error)})", GONE) from error
        if not data:  # readable without a byte: it hung up
            raise DriverError(self._path, "the port hung up", GONE)
        return data

    def write(self, data: bytes) -> None:
        """Sends `data`, at most some hundred bytes: what the port does not take at once it never will."""
        try:
            sent = os.write(self._fd, data)
        except OSError as error:
            raise DriverError(self._path, f"the port is gone ({_text(error)})", GONE) from error
        if sent < len(data):
            raise DriverError(self._path, f"the port took {sent} of {len(data)} bytes", GONE)

    def _check_device(self) -> None:
        """Some adapters stay silent when they are pulled out; then the name is gone, or leads to another device."""
        if Path(self._path).stat().st_rdev != os.fstat(self._fd).st_rdev:
            raise DriverError(self._path, "this name now leads to another device", GONE)


def _text(error: Exception) -> str:
    """pyserial repeats path and errno in its own text; the system's words are enough."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else str(error)
