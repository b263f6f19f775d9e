"""Modules with contacts, counters and relays on a Modbus bus: RTU on a serial line, or TCP.

    box -> module   01 02 00 00 00 08 79 CC    eight discrete inputs of unit 1, from the first on
    module -> box   01 02 01 01 60 48          the first one is on

What is asked when is drivers/modbus_bus.py, what the bytes mean drivers/modbus_frame.py, how they get there
drivers/modbus_wire.py. No library is used: those that
there are tell a wrong checksum, a foreign answer, an echo and silence apart no more than by "no response".
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any, ClassVar, Final, Literal, get_args

from drivers.contract import DriverError, Host
from drivers.ip_line import IpLine, address
from drivers.modbus_bus import Bus, Point, Sensor
from drivers.modbus_frame import SILENT, Request, Table
from drivers.modbus_wire import TCP_HINT, RtuWire, TcpWire, Wire, request_s
from drivers.serial_port import SerialPort

ROUND_MAX_S: Final = 0.2
"""A press of 400 ms (EN 50131-1 8.9.1) is seen twice."""


def _check_int(key: str, found: object, least: int, most: int, what: str) -> None:
    if type(found) is not int or not least <= found <= most:
        raise ValueError(f"{key}: found {found!r}, allowed is {what} from {least} to {most}")


def _check_unit(unit: object) -> None:
    _check_int("unit", unit, 1, 247, "the number of a module")


def _check_channel(channel: object) -> None:
    _check_int("channel", channel, 1, 65536, "a number")


@dataclass(frozen=True, slots=True)
class ModbusOptions:
    """One bus, with all of its modules: port for a serial line, or tcp."""

    port: str | None = field(
        default=None, metadata={"doc": "the serial device, best by a name that stays: /dev/serial/by-id/..."}
    )
    tcp: str | None = field(default=None, metadata={"doc": "HOST:PORT of a module or gateway, instead of port"})
    baud: int = field(default=9600, metadata={"doc": "speed of the serial line, always 8N1", "unit": "bit/s"})
    unit: int = field(default=1, metadata={"doc": "number of the module, 1 to 247, where an entry names none"})
    timeout_ms: int = field(
        default=100, metadata={"doc": "how long a module may take to begin its answer, 20 to 300", "unit": "ms"}
    )

    def __post_init__(self) -> None:
        if bool(self.port) == bool(self.tcp):
            raise ValueError("found both port and tcp, or none; allowed is one of them")
        if self.tcp:
            address(self.tcp)
        _check_int("baud", self.baud, 1200, 1_000_000, "a speed in bit/s")
        _check_unit(self.unit)
        _check_int("timeout_ms", self.timeout_ms, 20, 300, "a number of ms")


@dataclass(frozen=True, slots=True)
class ModbusInput:
    """A contact, or a counter of presses."""

    codes: ClassVar[bool] = False

    channel: int = field(metadata={"doc": "counts from 1: channel 3 is address 2"})
    unit: int | None = field(default=None, metadata={"doc": "number of the module; default: the driver's"})
    table: Table = field(
        default="discrete",
        metadata={
            "doc": "where it is read: discrete (function 2) or coil (1); or input (4) or holding (3): there the module"
            " counts presses, 16 bit, and none between two looks is missed"
        },
    )
    normally: Literal["open", "closed"] = field(default="open", metadata={"doc": "the contact at rest"})

    def __post_init__(self) -> None:
        _check_channel(self.channel)
        if self.unit is not None:
            _check_unit(self.unit)
        if self.table not in get_args(Table):
            raise ValueError(f"table: found {self.table!r}, allowed is one of {', '.join(get_args(Table))}")
        if self.normally not in ("open", "closed"):
            raise ValueError(f"normally: found {self.normally!r}, allowed is one of open, closed")
        if self.counter and self.normally == "closed":
            raise ValueError("normally: found 'closed', allowed is only open: a count has no rest")

    @property
    def counter(self) -> bool:
        """Whether its value is a count."""
        return self.table in ("input", "holding")


@dataclass(frozen=True, slots=True)
class ModbusOutput:
    """A relay: a coil."""

    channel: int = field(metadata={"doc": "counts from 1: channel 3 is address 2"})
    unit: int | None = field(default=None, metadata={"doc": "number of the module; default: the driver's"})

    def __post_init__(self) -> None:
        _check_channel(self.channel)
        if self.unit is not None:
            _check_unit(self.unit)


class ModbusDriver:
    """Raises DriverError when the port or connection is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = ModbusOptions
    Input: ClassVar[type[Any]] = ModbusInput
    Output: ClassVar[type[Any] | None] = ModbusOutput

    def __init__(
        self,
        name: str,  # noqa: ARG002  a port says more to its reader than our name for it
        options: ModbusOptions,
        inputs: Mapping[str, ModbusInput],
        outputs: Mapping[str, ModbusOutput],
    ) -> None:
        self.noise = 0
        self._options = options
        contacts = {id: Point(key.unit or options.unit, key.table, key.channel - 1) for id, key in inputs.items()}
        coils = {id: Point(key.unit or options.unit, "coil", key.channel - 1) for id, key in outputs.items()}
        _check_once(contacts)
        _check_once(coils)
        self._bus = Bus(
            {
                id: (point, Sensor(id, closed=inputs[id].normally == "closed", counter=inputs[id].counter))
                for id, point in contacts.items()
            },
            coils,
        )
        _check_round(options, self._bus.longest_round)
        self._wished = Event()

    def run(self, host: Host) -> None:
        """Opens the wire, emits how each input is, then what changes. Raises DriverError.

        Wishes that are still to be written when it ends are written first, and those that cannot be are an error.
        """
        self._bus.restart()
        with self._open(host) as wire:
            while host.alive():
                now_s = time.monotonic()
                if request := self._bus.next(now_s):
                    self._ask(wire, request, host)
                else:
                    self._wished.wait(self._bus.wait_s(now_s))
                    self._wished.clear()
            while request := self._bus.next_write(blindly=True):
                self._ask(wire, request, host)
        if unwritten := self._bus.unwritten:
            where = self._options.tcp or str(self._options.port)
            raise DriverError(
                where, f"not switched: {', '.join(unwritten)}", "look at these relays, and at their module"
            )

    def set(self, output: str, on: bool) -> None:
        """Switches a relay between the next two requests, or when its module is back. Raises KeyError."""
        self._bus.wish(output, on)
        self._wished.set()

    def _ask(self, wire: Wire, request: Request, host: Host) -> None:
        """A TCP connection on which nobody answers may be dead at its other end: another one is tried."""
        outcome = wire.ask(request)
        for reading in self._bus.told(outcome, time.monotonic()):
            host.emit(reading)
        self.noise += self._bus.take_noise()
        if self._options.tcp and self._bus.dead and outcome is SILENT:
            raise DriverError(self._options.tcp, "connected, and no module answers", SILENT.reason)

    @contextmanager
    def _open(self, host: Host) -> Iterator[Wire]:
        timeout_s = self._options.timeout_ms / 1000
        if self._options.tcp:
            with IpLine(self._options.tcp, host.alive, TCP_HINT) as port:
                yield TcpWire(port, self._options.tcp, timeout_s)
        else:
            with SerialPort(str(self._options.port), self._options.baud) as line:
                yield RtuWire(line, self._options.baud, timeout_s)


def _check_once(points: Mapping[str, Point]) -> None:
    first: dict[Point, str] = {}
    for id, point in points.items():
        if (other := first.setdefault(point, id)) != id:
            raise ValueError(
                f"found channel {point.address + 1} of unit {point.unit} ({point.table}) for both {other} and {id};"
                " allowed is one each"
            )


def _check_round(options: ModbusOptions, requests: list[Request]) -> None:
    took_s = sum(request_s(request, None if options.tcp else options.baud) for request in requests)
    if took_s > ROUND_MAX_S:
        speed = "over TCP" if options.tcp else f"at {options.baud} bit/s"
        raise ValueError(
            f"found {len(requests)} requests for one look at all inputs, {took_s * 1000:.0f} ms {speed}; allowed are"
            f" {ROUND_MAX_S * 1000:.0f} ms, so that a press of 400 ms is seen twice: raise the baud rate, hang some"
            " modules on a second bus, or use channels that stand side by side"
        )
