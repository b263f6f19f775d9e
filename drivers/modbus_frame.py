"""Modbus frames over serial lines (RTU) and TCP: requests out, answers in. Pure.

    RTU   unit, function, data, checksum (CRC-16, low byte first)
    TCP   transaction (2 bytes), 0, 0, length (2), unit, function, data

Source: Modbus Application Protocol V1.1b3, Modbus over Serial Line V1.02, Messaging on TCP/IP V1.0b.

An answer is believed only if it is the whole answer to what was asked. What is none is told apart, as far as its bytes
allow, because each fault has a cure of its own.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

Table = Literal["discrete", "coil", "input", "holding"]
READ: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WRITE_COIL: Final = 5
ON: Final = 0xFF00
FAILED: Final = 0x80
"""Added to the function in the answer of a module that refuses."""
FRAME_BYTES_MAX: Final = 256
MBAP_BYTES: Final = 6
PDU_BYTES_MAX: Final = 254
"""On TCP, with the unit."""

EXCEPTIONS: Final = {
    1: "illegal function: this module does not know this table",
    2: "illegal address: this module has no such channel",
    3: "illegal value",
    4: "the module is broken",
    6: "the module is busy",
    10: "the gateway has no path to this unit",
    11: "behind the gateway nothing answers",
}


@dataclass(frozen=True, slots=True)
class Request:
    """value: how many bits or registers are read from `address` on, or what is written to it."""

    unit: int
    function: int
    address: int
    value: int

    @property
    def body(self) -> bytes:
        """What is the same on both wires."""
        return struct.pack(">BBHH", self.unit, self.function, self.address, self.value)

    @property
    def data_bytes(self) -> int:
        """Of the values in the answer to a read."""
        return (self.value + 7) // 8 if self.function <= READ["discrete"] else 2 * self.value

    @property
    def answer_head(self) -> bytes:
        """With what the right answer begins; that to a write is nothing else."""
        return self.body if self.function == WRITE_COIL else bytes((self.unit, self.function, self.data_bytes))

    @property
    def answer_bytes(self) -> int:
        """Of the right answer, without frame."""
        return len(self.body) if self.function == WRITE_COIL else 3 + self.data_bytes


@dataclass(frozen=True, slots=True)
class Values:
    """What was asked for: bits or registers, in order; of a write nothing."""

    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The module has understood, and will not: a Modbus exception."""

    code: int

    @property
    def reason(self) -> str:
        return f"exception {self.code}, {EXCEPTIONS.get(self.code, 'see the manual of the module')}"


@dataclass(frozen=True, slots=True)
class Missed:
    """There was no answer. noise: something came all the same."""

    reason: str
    noise: bool = True


Outcome = Values | Refused | Missed

SILENT: Final = Missed("nothing answers: check its power, its unit number and baud rate, and A and B", noise=False)
ECHO: Final = Missed("our own request came back: check the echo setting of the adapter")
GARBAGE: Final = Missed("bytes came that are no answer: check A and B, and the baud rate")
BAD_CRC: Final = Missed("bad CRC: check the cable, its termination and the baud rate")


def foreign(unit: int) -> Missed:
    """Another module answered."""
    return Missed(
        f"unit {unit} answered: check for two modules with one number, a slow one (timeout_ms), a second master"
    )


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


CRC_TABLE: Final = tuple(map(_crc_of, range(256)))


def crc(data: bytes) -> int:
    """CRC-16, reflected polynomial 0xA001, from 0xFFFF; of a frame with its right checksum it is 0."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ CRC_TABLE[(value ^ byte) & 0xFF]
    return value


def rtu(request: Request) -> bytes:
    """The request as sent on a serial line."""
    return request.body + crc(request.body).to_bytes(2, "little")


def tcp(request: Request, transaction: int) -> bytes:
    """The request as sent over TCP; transaction: 0 to 65535."""
    return struct.pack(">HHH", transaction, 0, len(request.body)) + request.body


class RtuReader:
    """What comes after one request on a serial line. Bounded: past FRAME_BYTES_MAX nothing more is looked at."""

    def __init__(self, request: Request) -> None:
        self._request, self._own = request, rtu(request)
        self._data = b""
        self._tried: dict[bytes, int] = {}
        """Up to where there is no frame of each head, however much comes: babble costs each byte once."""

    def feed(self, data: bytes) -> Outcome | None:
        """The answer, as soon as it is whole, wherever it begins: a line without bias resistors puts a byte before it.

        After our own request nothing is believed: where it comes back, nobody could tell it from the answer to a write.
        """
        self._data = (self._data + data)[:FRAME_BYTES_MAX]
        request = self._request
        if self._echoed:
            return None
        if frame := self._frame(request.answer_head, request.answer_bytes + 2):
            return Values(_values(request, frame[3:-2]))
        if refusal := self._frame(bytes((request.unit, request.function | FAILED)), 5):
            return Refused(refusal[2])
        return None

    def end(self) -> Missed:
        """Nothing more came in time: what it was that came."""
        data, request = self._data, self._request
        if not data:
            return SILENT
        if self._echoed:
            return ECHO
        if data[0] == request.unit and data[1:2] in (bytes((request.function,)), bytes((request.function | FAILED,))):
            return BAD_CRC
        return foreign(data[0]) if len(data) >= 5 and crc(data) == 0 and data[0] != request.unit else GARBAGE

    @property
    def _echoed(self) -> bool:
        return self._request.function != WRITE_COIL and self._data.startswith(self._own)

    def _frame(self, head: bytes, length: int) -> bytes | None:
        at = self._data.find(head, self._tried.get(head, 0))
        while 0 <= at <= len(self._data) - length:
            frame = self._data[at : at + length]
            if crc(frame) == 0:
                return frame
            at = self._data.find(head, at + 1)
        self._tried[head] = at if at >= 0 else max(0, len(self._data) - len(head) + 1)
        return None


class TcpReader:
    """What comes on one TCP connection. An answer to an older request came too late, and is skipped."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes, request: Request, transaction: int) -> Outcome | None:
        """The answer, as soon as it is whole. Raises ValueError at bytes that are no Modbus: no later ones are either.

        data: at most some kilobytes at once; kept of it is less than one frame.
        """
        self._data += data
        while len(self._data) > MBAP_BYTES:
            number, protocol, length = struct.unpack_from(">HHH", self._data)
            if protocol or not 3 <= length <= PDU_BYTES_MAX:
                raise ValueError(f"bytes came that are no Modbus TCP: {self._data[:MBAP_BYTES].hex(' ')}")
            if len(self._data) < MBAP_BYTES + length:
                break
            body, self._data = self._data[MBAP_BYTES : MBAP_BYTES + length], self._data[MBAP_BYTES + length :]
            if number == transaction:
                return _judged(request, body)
        return None


def _judged(request: Request, body: bytes) -> Outcome:
    if body[0] != request.unit:
        return foreign(body[0])
    if body == request.body and request.function != WRITE_COIL:
        return ECHO
    if body.startswith(request.answer_head) and len(body) == request.answer_bytes:
        return Values(_values(request, body[3:]))
    if body[1] == request.function | FAILED and len(body) == 3:
        return Refused(body[2])
    return GARBAGE


def _values(request: Request, data: bytes) -> tuple[int, ...]:
    """data: of a read, after the count of its bytes."""
    if request.function == WRITE_COIL:
        return ()
    if request.function <= READ["discrete"]:
        return tuple(data[n // 8] >> n % 8 & 1 for n in range(request.value))
    return struct.unpack(f">{request.value}H", data)
