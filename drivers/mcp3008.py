"""Supervised contacts with end-of-line resistors at an MCP3008, a converter of 8 channels and 10 bit, through gpiozero.

Each channel is measured every 10 ms. What a voltage means follows from the resistors (`drivers/eol.py`), and what is a
fault and what a press from how long it stands (`drivers/supervised.py`). Changes are raw: debounce is the agent's.
"""

import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event
from typing import Any, ClassVar, Literal

from gpiozero import MCP3008, SPISoftwareFallback

from drivers.contract import Edge, Health, Host
from drivers.eol import Window, states
from drivers.pin_factory import pin_errors, pin_factory
from drivers.supervised import Supervised

PERIOD_S = 0.01
"""A press of 50 ms is measured four times at least, and reads as 40 ms: a debounce of 20 ms does not eat it."""
FULL_SCALE = 1023
OHM_MAX = 1_000_000


def _check(key: str, found: object, low: int, high: int) -> None:
    if type(found) is not int or not low <= found <= high:
        raise ValueError(f"{key}: found {found!r}, allowed is a whole number from {low} to {high}")


@dataclass(frozen=True, slots=True)
class Mcp3008Options:
    """One converter at SPI 0."""

    select: int = field(default=0, metadata={"doc": "chip select of SPI 0: 0 (CE0, pin 8) or 1 (CE1, pin 7)"})

    def __post_init__(self) -> None:
        _check("select", self.select, 0, 1)


@dataclass(frozen=True, slots=True)
class Mcp3008Input:
    """One contact with its resistors."""

    codes: ClassVar[bool] = False

    channel: int = field(metadata={"doc": "of the converter, 0 to 7"})
    pullup_ohm: int = field(metadata={"doc": "resistor from the channel to the supply", "unit": "ohm"})
    eol_ohm: int = field(metadata={"doc": "resistor at the end of the line, at rest alone", "unit": "ohm"})
    contact_ohm: int | None = field(
        default=None,
        metadata={"doc": "resistor of the contact; none: one of the two faults counts as a press", "unit": "ohm"},
    )
    normally: Literal["open", "closed"] = field(default="open", metadata={"doc": "the contact at rest"})

    def __post_init__(self) -> None:
        _check("channel", self.channel, 0, 7)
        _check("pullup_ohm", self.pullup_ohm, 1, OHM_MAX)
        _check("eol_ohm", self.eol_ohm, 1, OHM_MAX)
        if self.contact_ohm is not None:
            _check("contact_ohm", self.contact_ohm, 1, OHM_MAX)
        if self.normally not in ("open", "closed"):
            raise ValueError(f"normally: found {self.normally!r}, allowed is one of open, closed")
        states(self.normally, self.pullup_ohm, self.eol_ohm, self.contact_ohm)


class Mcp3008Driver:
    """Raises DriverError when the SPI is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = Mcp3008Options
    Input: ClassVar[type[Any]] = Mcp3008Input
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,
        options: Mcp3008Options,
        inputs: Mapping[str, Mcp3008Input],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0  # a voltage always makes sense
        self._where = f"{name} SPI 0.{options.select}"
        self._select = options.select
        self._inputs = inputs

    def run(self, host: Host) -> None:
        """Opens the converter, emits what each contact is, then each change. Raises DriverError."""
        pause = Event()
        with pin_errors(self._where), pin_factory() as factory, ExitStack() as stack:
            contacts = [
                (self._open(key.channel, factory, stack), Line(name, key)) for name, key in self._inputs.items()
            ]
            while host.alive():
                began_s = time.monotonic()
                for channel, line in contacts:
                    for reading in line.measured(channel.raw_value, time.monotonic()):
                        host.emit(reading)
                pause.wait(max(0.0, began_s + PERIOD_S - time.monotonic()))

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)

    def _open(self, channel: int, factory: Any, stack: ExitStack) -> Any:
        with warnings.catch_warnings():
            # By itself gpiozero would move bits by hand, too slowly, where the system has no SPI.
            warnings.simplefilter("error", SPISoftwareFallback)
            device = MCP3008(channel, port=0, device=self._select, pin_factory=factory)
        stack.callback(device.close)
        return device


class Line:
    """One contact: measurements in, readings out. Knows no converter and no clock."""

    def __init__(self, name: str, key: Mcp3008Input) -> None:
        self._window = Window(states(key.normally, key.pullup_ohm, key.eol_ohm, key.contact_ohm))
        self._supervised = Supervised(name)

    def measured(self, raw: int, now_s: float) -> list[Edge | Health]:
        """raw: 0 to FULL_SCALE."""
        return self._supervised.read(self._window.read(raw / FULL_SCALE), now_s)
