"""What drivers of alarm panels and receivers share: where one is, and what its Contact ID events are for an input."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, get_args

from drivers.contract import Edge, Reading
from drivers.ip_line import IpLine, address
from drivers.serial_port import Parity, SerialPort

HINT: Final = "look at the device's power and network, and whether another program holds its only connection"


@dataclass(frozen=True, slots=True)
class PanelPort:
    """One of port and tcp."""

    port: str | None = field(
        default=None, metadata={"doc": "the serial device, best by a name that stays: /dev/serial/by-id/..."}
    )
    tcp: str | None = field(default=None, metadata={"doc": "HOST:PORT of it on the network, instead of a port"})
    baud: int = field(default=9600, metadata={"doc": "speed of the port", "unit": "bit/s"})
    parity: Parity = field(default="none", metadata={"doc": "of the port; none is 8N1, even is 7E1"})

    def __post_init__(self) -> None:
        if bool(self.port) == bool(self.tcp):
            raise ValueError(f"port: found {self.port!r} with tcp {self.tcp!r}, allowed is one of the two")
        if self.tcp:
            address(self.tcp)
        if type(self.baud) is not int or not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"baud: found {self.baud!r}, allowed is a speed from 50 to 4000000 bit/s")
        if self.parity not in get_args(Parity):
            raise ValueError(f"parity: found {self.parity!r}, allowed is one of {', '.join(get_args(Parity))}")

    def open(self, alive: Callable[[], bool]) -> SerialPort | IpLine:
        """To be used as a context manager. alive: as of `IpLine`. Raises DriverError."""
        if self.tcp:
            return IpLine(self.tcp, alive, HINT)
        return SerialPort(str(self.port), self.baud, self.parity)


def contact_id(name: str, qualifier: str, restores: bool, now_s: float) -> list[Reading]:
    """What an event (ANSI/SIA DC-05) is for an input.

    qualifier: 1 new or opened, 3 restored or closed, 6 still present, of which nobody knows since when it is so.
    restores: the panel says when it is over; without it each new event is a press by itself.
    """
    if not restores:
        return [Edge(name, active, now_s, settled=True) for active in (True, False)] if qualifier == "1" else []
    if qualifier == "6":
        return [Edge(name, True, now_s, initial=True)]
    return [Edge(name, qualifier == "1", now_s, settled=True)]
