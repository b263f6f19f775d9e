"""Contacts and lamps on the GPIO pins of the board, through gpiozero.

Edges are raw: debounce is the agent's, since each gpiozero back end does it in its own way. The level in an edge is the
one that came with it, never a later read, so that a press of 1 ms is two edges.

The back end is lgpio; the environment variable GPIOZERO_PIN_FACTORY names another. One process has one of them.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any, ClassVar, Literal

from gpiozero import Device, InputDevice, OutputDevice

from drivers.contract import DriverError, Edge, Host

PIN_MAX = 53
LOOK_S = 0.5
"""How often every pin is read: finds a chip that is gone, and an edge that the kernel dropped in a storm."""

PI_REVISION = Path("/sys/firmware/devicetree/base/system/linux,revision")
PI_4B = 0xC03111
"""Stands in for a board that is no Raspberry Pi: gpiozero wants one, for the names of pins 0 to 27 of chip 0."""


def _check_pin(pin: object) -> None:
    if type(pin) is not int or not 0 <= pin <= PIN_MAX:
        raise ValueError(f"pin: found {pin!r}, allowed is a BCM number from 0 to {PIN_MAX}")


def _check_choice(key: str, found: object, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise ValueError(f"{key}: found {found!r}, allowed is one of {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class GpioOptions:
    """A GPIO driver has no keys of its own."""


@dataclass(frozen=True, slots=True)
class GpioInput:
    """A contact between a pin and ground (pull up) or 3.3 V (pull down)."""

    codes: ClassVar[bool] = False

    pin: int = field(metadata={"doc": "BCM number of the pin, 0 to 53"})
    normally: Literal["open", "closed"] = field(default="open", metadata={"doc": "the contact at rest"})
    pull: Literal["up", "down", "none"] = field(
        default="up", metadata={"doc": "resistor in the chip; none: there is one outside, to 3.3 V"}
    )

    def __post_init__(self) -> None:
        _check_pin(self.pin)
        _check_choice("normally", self.normally, ("open", "closed"))
        _check_choice("pull", self.pull, ("up", "down", "none"))

    @property
    def active_level(self) -> bool:
        """The level of the pin, True is high, that means alarm."""
        return (self.pull == "down") == (self.normally == "open")


@dataclass(frozen=True, slots=True)
class GpioOutput:
    """A lamp, buzzer or relay at a pin."""

    pin: int = field(metadata={"doc": "BCM number of the pin, 0 to 53"})
    active: Literal["high", "low"] = field(default="high", metadata={"doc": "the level that switches it on"})

    def __post_init__(self) -> None:
        _check_pin(self.pin)
        _check_choice("active", self.active, ("high", "low"))


class GpioDriver:
    """Raises DriverError when the chip is gone or a pin cannot be had; `run` can be called again."""

    Options: ClassVar[type[Any]] = GpioOptions
    Input: ClassVar[type[Any]] = GpioInput
    Output: ClassVar[type[Any] | None] = GpioOutput

    def __init__(
        self,
        name: str,
        options: GpioOptions,  # noqa: ARG002  it has no keys
        inputs: Mapping[str, GpioInput],
        outputs: Mapping[str, GpioOutput],
    ) -> None:
        self.noise = 0  # a level always makes sense
        self._name = name
        self._inputs = inputs
        self._outputs = outputs
        # Not the contacts' lock: under that one `emit` may wait for the thread that calls `set` to empty the mailbox.
        self._output_lock = Lock()
        self._wishes = dict.fromkeys(outputs, False)
        self._lamps: dict[str, OutputDevice] = {}
        self._write_failed = Event()
        self._write_error = Exception()

    def run(self, host: Host) -> None:
        """Claims the pins, emits their levels, then edges. Raises DriverError; all pins are let go on every way out."""
        with _pin_errors(self._name), ExitStack() as stack:
            stack.callback(_close_factory)
            _open_factory()
            self._write_failed.clear()
            contacts = self._open_inputs(stack, host)
            self._open_outputs(stack)
            while host.alive():
                if self._write_failed.wait(LOOK_S):
                    raise self._write_error
                for contact in contacts:
                    contact.look()
                self._look_at_outputs()

    def set(self, output: str, on: bool) -> None:
        """Drives an output, or keeps the wish until the pins are claimed. Raises KeyError for an unknown output."""
        with self._output_lock:
            if output not in self._wishes:
                raise KeyError(output)
            self._wishes[output] = on
            if lamp := self._lamps.get(output):
                try:
                    lamp.value = on
                except Exception as error:  # noqa: BLE001  a back end's own; `run` reports it and starts anew with the wish
                    self._write_error = error
                    self._write_failed.set()

    def _open_outputs(self, stack: ExitStack) -> None:
        stack.callback(self._close_outputs)
        with self._output_lock:
            for name, key in self._outputs.items():
                with _pin_errors(f"{self._name} pin {key.pin}"):
                    self._lamps[name] = OutputDevice(
                        key.pin, active_high=key.active == "high", initial_value=self._wishes[name]
                    )

    def _close_outputs(self) -> None:
        with self._output_lock:
            lamps, self._lamps = self._lamps, {}
        for lamp in lamps.values():
            lamp.close()

    def _look_at_outputs(self) -> None:
        with self._output_lock:
            for lamp in self._lamps.values():
                _ = lamp.value

    def _open_inputs(self, stack: ExitStack, host: Host) -> "list[_Contact]":
        contacts = []
        for name, key in self._inputs.items():
            with _pin_errors(f"{self._name} pin {key.pin}"):
                pull_up = {"up": True, "down": False, "none": None}[key.pull]
                device = InputDevice(key.pin, pull_up=pull_up, active_state=None if key.pull != "none" else True)
                stack.callback(device.close)
                contacts.append(_Contact(name, key.active_level, device.pin, host))
        return contacts


class _Contact:
    """One input. Each change is emitted once, whether the callback or a look at the pin saw it first.

    A look reads the state after some of the edges whose callbacks are still to come. Where it differs from the last one
    emitted, the first of those callbacks then repeats it and is dropped; so the number of edges stays right.
    """

    def __init__(self, name: str, active_level: bool, pin: Any, host: Host) -> None:
        self._name, self._active_level, self._pin, self._emit = name, active_level, pin, host.emit
        self._lock = Lock()
        self._active: bool | None = None
        self.look()  # before the edges are enabled: the level at the start comes first
        pin.bounce = None
        pin.edges = "both"
        pin.when_changed = self._changed  # gpiozero holds it weakly
        self.look()  # a change before they were enabled

    def look(self) -> None:
        with self._lock:
            self._level(bool(self._pin.state), time.monotonic())

    def _changed(self, _ticks: object, state: int) -> None:
        seen_s = time.monotonic()
        with self._lock:
            self._level(bool(state), seen_s)

    def _level(self, level: bool, seen_s: float) -> None:
        active = level == self._active_level
        if active != self._active:
            initial, self._active = self._active is None, active
            self._emit(Edge(self._name, active, seen_s, initial))


@contextmanager
def _pin_errors(where: str) -> Iterator[None]:
    """Each back end has exceptions of its own: whatever they raise in here is a DriverError."""
    try:
        yield
    except DriverError:
        raise
    except Exception as error:
        raise DriverError(where, f"{type(error).__name__}: {error}", _hint(error)) from error


def _hint(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "install the back end (pip install callbox[gpio]), or correct GPIOZERO_PIN_FACTORY"
    hints = {
        "GPIOPinInUse": "another input or output has this pin: correct the config",
        "PinInvalidPin": "this board has no such pin: correct the config (BCM numbers, not positions on the header)",
        "PinFixedPull": "a resistor on the board pulls this pin: set `pull` to that, or use another pin",
    }
    if hint := hints.get(type(error).__name__):
        return hint
    if factory := os.environ.get("GPIOZERO_PIN_FACTORY"):
        return f"look at what GPIOZERO_PIN_FACTORY={factory} needs; without that variable lgpio is used"
    return "see that the chip is there and readable (ls -l /dev/gpiochip*, group gpio) and its pins free (gpioinfo)"


def _open_factory() -> None:
    """lgpio or an error: by itself gpiozero would fall back to ever worse back ends, with no more than a warning."""
    if "GPIOZERO_PIN_FACTORY" in os.environ:
        Device.ensure_pin_factory()
    elif Device.pin_factory is None:
        Device.pin_factory = _lgpio_factory()


def _close_factory() -> None:
    factory, Device.pin_factory = Device.pin_factory, None
    if factory is not None:
        # gpiozero shares these among all factories of the process. Our devices are closed; left in here is a pin of
        # a dead chip that could not be, or a device that failed half made, and neither may meet the next opening.
        factory.pins.clear()
        factory._reservations.clear()
        factory.close()


def _lgpio_factory() -> Any:
    """gpiozero's lgpio factory, also for boards that are no Pi, and under ProcSubset=pid, which hides the revision."""
    from gpiozero.pins.lgpio import LGPIOFactory

    class ChipFactory(LGPIOFactory):  # type: ignore[misc]  # gpiozero is untyped
        def _get_revision(self) -> int:
            try:
                return int.from_bytes(PI_REVISION.read_bytes()[:4], "big")
            except OSError:
                return PI_4B

    return ChipFactory()
