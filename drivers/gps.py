r"""A satellite receiver (GPS, BeiDou, Galileo, GLONASS) on a serial port: NMEA 0183 as fixes.

    receiver -> box   $GNRMC,...*hh\r\n   and so on, once a second or more; the box only listens

What is offline, and what is no more than a place that is not known, stands in drivers/nmea.py.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from drivers.contract import Host
from drivers.nmea import NmeaParser
from drivers.serial_port import SerialPort

READ_WAIT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class GpsOptions:
    """The serial port of one receiver."""

    port: str = field(metadata={"doc": "the device, best by a name that stays: /dev/serial/by-id/..."})
    baud: int = field(default=9600, metadata={"doc": "speed, always 8N1; older receivers have 4800", "unit": "bit/s"})

    def __post_init__(self) -> None:
        if not self.port:
            raise ValueError("port: found nothing, allowed is the path of a serial device")
        if type(self.baud) is not int or not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"baud: found {self.baud!r}, allowed is a speed from 50 to 4000000 bit/s")


@dataclass(frozen=True, slots=True)
class PositionInput:
    """The receiver as an input of kind position; it has no keys of its own."""

    codes: ClassVar[bool] = False
    fixes: ClassVar[bool] = True


class GpsDriver:
    """Raises DriverError when the port is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = GpsOptions
    Input: ClassVar[type[Any]] = PositionInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  a port says more to its reader than our name for it
        options: GpsOptions,
        inputs: Mapping[str, PositionInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options = options
        self._inputs = list(inputs)

    def run(self, host: Host) -> None:
        """Opens the port, emits fixes, and whether the receiver speaks. Raises DriverError."""
        parser = NmeaParser(self._inputs)  # anew: half a line from before the gap is no line
        with SerialPort(self._options.port, self._options.baud) as port:
            while host.alive():
                for reading in parser.feed(port.read(READ_WAIT_S), time.monotonic()):
                    host.emit(reading)
                self.noise += parser.take_noise()

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)
