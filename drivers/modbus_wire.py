"""The two wires of Modbus: a serial line and a TCP connection. One request, and what became of it."""

import time
from typing import Final, Protocol

from drivers.contract import DriverError
from drivers.ip_line import IpLine
from drivers.modbus_frame import SILENT, Outcome, Request, RtuReader, TcpReader, rtu, tcp
from drivers.serial_port import SerialPort

TURNAROUND_S: Final = 0.01
"""What a module takes to begin its answer, as most do."""
CHAR_BITS: Final = 10
"""8N1."""
GAP_CHARS, GAP_MIN_S = 3.5, 0.00175
"""Silence between two frames (Modbus over Serial Line V1.02, 2.5.1.1)."""
CRC_BYTES: Final = 2
TCP_HINT: Final = "look at the module's power and network, and whether another program holds its only connection"


def request_s(request: Request, baud: int | None) -> float:
    """What a request and its answer take; baud None: over TCP."""
    if baud is None:
        return TURNAROUND_S
    return TURNAROUND_S + _sent_s(len(request.body) + request.answer_bytes + 2 * CRC_BYTES, baud) + 2 * _gap_s(baud)


def _sent_s(count: int, baud: int) -> float:
    return count * CHAR_BITS / baud


def _gap_s(baud: int) -> float:
    return max(GAP_MIN_S, _sent_s(1, baud) * GAP_CHARS)


class Wire(Protocol):
    """Asks one thing after the other."""

    def ask(self, request: Request) -> Outcome:
        """Sends it and waits for its answer. Raises DriverError."""


class RtuWire:
    """On an open serial port."""

    def __init__(self, port: SerialPort, baud: int, timeout_s: float) -> None:
        self._port, self._baud, self._timeout_s = port, baud, timeout_s

    def ask(self, request: Request) -> Outcome:
        reader, frame = RtuReader(request), rtu(request)
        until_s = time.monotonic() + self._timeout_s
        while self._port.read(_gap_s(self._baud)) and time.monotonic() < until_s:
            pass  # an answer that came too late, or babble: frames begin after a silence
        self._port.write(frame)
        sent_s = _sent_s(len(frame) + request.answer_bytes + CRC_BYTES, self._baud)
        until_s = time.monotonic() + sent_s + self._timeout_s
        while (left_s := until_s - time.monotonic()) > 0:
            if outcome := reader.feed(self._port.read(left_s)):
                return outcome
        return reader.end()


class TcpWire:
    """On an open connection. where: as in the config."""

    def __init__(self, port: IpLine, where: str, timeout_s: float) -> None:
        self._port, self._where, self._timeout_s = port, where, timeout_s
        self._reader = TcpReader()
        self._transaction = 0

    def ask(self, request: Request) -> Outcome:
        """Sends it and waits for its answer. Raises DriverError."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        until_s = time.monotonic() + self._timeout_s
        self._port.write(tcp(request, self._transaction))
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                outcome = self._reader.feed(self._port.read(left_s), request, self._transaction)
            except ValueError as error:
                hint = "look whether this port speaks Modbus TCP, and not RTU over TCP"
                raise DriverError(self._where, str(error), hint) from error
            if outcome:
                return outcome
        return SILENT
