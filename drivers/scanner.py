r"""A scanner on a serial port: bar codes, QR codes, and the zone of documents.

    scanner -> box    4006381333931\r        a code ends in CR, LF, CR LF or ETX (a leading STX belongs to the frame)
    scanner -> box    4006381333931          or, where `end_ms` is set, by a pause, and by that alone
    scanner -> box    ]C1010400638133393\r   with the AIM identifier of its symbology, where the scanner sends it
    scanner -> box    P<UTO...\rL898...\r    a zone in two or three lines, or in one block

What is longer than CODE_BYTES_MAX, cannot be decoded or has no end is counted as noise. The driver logs no code.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from drivers.contract import Code, Health, Host, Paper
from drivers.scans import CODE_BYTES_MAX, HALF_S, REPEAT_MS, Encoding, ScanInput, Scans, check_common
from drivers.serial_port import SerialPort

READ_WAIT_S: Final = 0.5
END: Final = re.compile(rb"[\r\n\x03]")  # in no encoding here is one of them a part of a character
STX: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class ScannerOptions:
    """The serial port of one scanner."""

    port: str = field(metadata={"doc": "the device, best by a name that stays: /dev/serial/by-id/..."})
    baud: int = field(default=9600, metadata={"doc": "speed, always 8N1", "unit": "bit/s"})
    encoding: Encoding = field(
        default="auto", metadata={"doc": "of the text in codes; auto: UTF-8, and what is none as GBK"}
    )
    repeat_ms: int = field(
        default=REPEAT_MS,
        metadata={"doc": "the same label, read again before it was away so long, is one scan; 0: never", "unit": "ms"},
    )
    end_ms: int = field(
        default=0,
        metadata={
            "doc": "a pause that ends a code, of a scanner without a terminator; 0: the terminator",
            "unit": "ms",
        },
    )

    def __post_init__(self) -> None:
        if not self.port:
            raise ValueError("port: found nothing, allowed is the path of a serial device")
        if type(self.baud) is not int or not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"baud: found {self.baud!r}, allowed is a speed from 50 to 4000000 bit/s")
        check_common(self.encoding, self.repeat_ms)
        if type(self.end_ms) is not int or (self.end_ms and not 20 <= self.end_ms <= 2000):
            raise ValueError(f"end_ms: found {self.end_ms!r}, allowed is 20 to 2000 ms, or 0 for none")


class ScannerDriver:
    """Raises DriverError when the port is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = ScannerOptions
    Input: ClassVar[type[Any]] = ScanInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  a port says more to its reader than our name for it
        options: ScannerOptions,
        inputs: Mapping[str, ScanInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options, self._inputs = options, inputs

    def run(self, host: Host) -> None:
        """Opens the port, says that each input is good, emits scans. Raises DriverError."""
        parser = ScannerParser(self._inputs, self._options)  # anew: half a code from before the gap is no code
        with SerialPort(self._options.port, self._options.baud) as port:
            for name in self._inputs:
                host.emit(Health(name, "good", "", time.monotonic()))
            while host.alive():
                due_s = parser.due_s()
                wait_s = READ_WAIT_S if due_s is None else due_s - time.monotonic()
                data = port.read(min(max(wait_s, 0.0), READ_WAIT_S))
                for reading in parser.feed(data, time.monotonic()):
                    host.emit(reading)
                self.noise += parser.take_noise()

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)


class ScannerParser:
    """Bytes and the time in, readings out; b"" says that nothing came until `now_s`. Knows no port and no clock."""

    def __init__(self, inputs: Mapping[str, ScanInput], options: ScannerOptions) -> None:
        self._scans = Scans(inputs, options.encoding, options.repeat_ms)
        self._by_pause, self._pause_s = options.end_ms > 0, options.end_ms / 1000 or HALF_S
        self._unread = b""
        self._unread_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[Code | Paper]:
        """The readings of the codes that have their end, in order."""
        if data:
            self._unread, self._unread_s = self._unread + data, now_s
        payloads: list[bytes] = []
        if not self._by_pause:
            *payloads, self._unread = END.split(self._unread)
        self._unread = self._unread[: CODE_BYTES_MAX + 8]  # more than is allowed is enough to know it for noise
        if self._unread and not data and now_s >= self._unread_s + self._pause_s:  # a silence that was seen
            payloads, self._unread = [self._unread.strip(b"\r\n\x03")] if self._by_pause else [], b""
            self._scans.noise += not self._by_pause
        found = [reading for each in payloads for reading in self._scans.read(each.removeprefix(STX), now_s)]
        if not data:
            self._scans.tick(now_s)
        return found

    def due_s(self) -> float | None:
        """When `feed` has something to say although nothing comes."""
        dues = [self._scans.due_s(), self._unread_s + self._pause_s if self._unread else None]
        return min((due for due in dues if due is not None), default=None)

    def take_noise(self) -> int:
        """What made no sense since the last call."""
        noise, self._scans.noise = self._scans.noise, 0
        return noise
