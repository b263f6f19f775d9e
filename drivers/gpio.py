"""Contacts and lamps on the GPIO pins of the board, through gpiozero.

Edges are raw: debounce is the agent's, since each gpiozero back end does it in its own way. The level in an edge is the
one that came with it, never a later read, and its time the back end's own, so that a press of 1 ms is two edges, and
one that is told late is as long as it was. Only a contact that changes faster than any contact can is told in fewer
edges (`drivers/storm.py`); the others are counted in `noise`.

The back end is lgpio; the environment variable GPIOZERO_PIN_FACTORY names another.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, ClassVar, Literal

from gpiozero import InputDevice, OutputDevice

from drivers.contract import Edge, Host
from drivers.pin_factory import pin_errors, pin_factory
from drivers.storm import Storm
from drivers.supervised import Supervised, Wire

PIN_MAX = 53
LOOK_S = 0.5
"""How often every pin is read: finds a chip that is gone, and an edge that the kernel dropped in a storm."""

READS_MAX, READ_S = 5, 0.001
"""Both clocks are read within a millisecond, in so many tries."""
LATE_MAX_S = 10.0
"""A back end whose times are older than this, or not yet, has another clock: the edge was seen when it was told."""

POLES: dict[tuple[bool, bool], Wire] = {
    (False, True): "idle",
    (True, False): "active",
    (False, False): "open",
    (True, True): "short",
}
"""What a form C contact reads as, by which of its poles is closed: normally open, normally closed."""


def _check_pin(pin: object, key: str = "pin") -> None:
    if type(pin) is not int or not 0 <= pin <= PIN_MAX:
        raise ValueError(f"{key}: found {pin!r}, allowed is a BCM number from 0 to {PIN_MAX}")


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
    pin_nc: int | None = field(
        default=None,
        metadata={
            "doc": "of a form C contact: BCM number of its normally closed pole, and pin is the normally open one"
        },
    )

    def __post_init__(self) -> None:
        _check_pin(self.pin)
        _check_choice("normally", self.normally, ("open", "closed"))
        _check_choice("pull", self.pull, ("up", "down", "none"))
        if self.pin_nc is None:
            return
        _check_pin(self.pin_nc, "pin_nc")
        if self.pin_nc == self.pin:
            raise ValueError(f"pin_nc: found {self.pin_nc}, allowed is another pin than that of the other pole")
        if self.normally != "open":
            raise ValueError(f"normally: found {self.normally!r}, allowed is only open beside pin_nc, which is closed")

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
        self._write_error: Exception | None = None
        self._stir = Event()
        """Something is due before the next look, or a write has failed."""

    def run(self, host: Host) -> None:
        """Claims the pins, emits their levels, then edges. Raises DriverError; all pins are let go on every way out."""
        with pin_errors(self._name), pin_factory() as factory, ExitStack() as stack:
            self._write_error = None
            contacts = self._open_inputs(factory, stack, host)
            self._open_outputs(factory, stack)
            while host.alive():
                dues = [due_s - time.monotonic() for contact in contacts if (due_s := contact.due_s()) is not None]
                self._stir.wait(max(0.0, min([LOOK_S, *dues])))
                self._stir.clear()
                if self._write_error is not None:
                    raise self._write_error
                for contact in contacts:
                    contact.look()
                    self.noise += contact.take_folded()
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
                    self._stir.set()

    def _open_outputs(self, factory: Any, stack: ExitStack) -> None:
        stack.callback(self._close_outputs)
        with self._output_lock:
            for name, key in self._outputs.items():
                with pin_errors(f"{self._name} pin {key.pin}"):
                    self._lamps[name] = OutputDevice(
                        key.pin,
                        active_high=key.active == "high",
                        initial_value=self._wishes[name],
                        pin_factory=factory,
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

    def _open_inputs(self, factory: Any, stack: ExitStack, host: Host) -> "list[_Contact]":
        contacts = []
        for name, key in self._inputs.items():
            pull_up = {"up": True, "down": False, "none": None}[key.pull]
            pins = []
            for number in (key.pin, key.pin_nc):
                if number is not None:
                    with pin_errors(f"{self._name} pin {number}"):
                        device = InputDevice(
                            number,
                            pull_up=pull_up,
                            active_state=None if key.pull != "none" else True,
                            pin_factory=factory,
                        )
                        stack.callback(device.close)
                        pins.append(device.pin)
            with pin_errors(f"{self._name} pin {key.pin}"):
                contacts.append(_Contact(name, key.active_level, pins, factory, host, self._stir.set))
        return contacts


def seen(factory: Any, ticks: float) -> float:
    """The monotonic second of an edge that the back end saw at `ticks` of its clock; now, where that cannot be.

    Never before it: our clock is read after the back end's, and both again where the thread lost the processor between
    the two, which would make the edge as much younger.
    """
    for _ in range(READS_MAX):
        before_s, now_ticks, now_s = time.monotonic(), factory.ticks(), time.monotonic()
        if now_s - before_s < READ_S:
            break
    age_s = factory.ticks_diff(now_ticks, ticks)
    return now_s - age_s if 0 <= age_s < LATE_MAX_S else now_s


class _Contact:
    """One input at one pin, or a form C contact at two. Each change of a pin counts once, whoever saw it first.

    A look reads the state after some of the edges whose callbacks are still to come. Where it differs from the last one
    known, the first of those callbacks then repeats it and is dropped; so the number of edges stays right.
    """

    def __init__(
        self,
        name: str,
        active_level: bool,
        pins: Sequence[Any],
        factory: Any,
        host: Host,
        stir: Callable[[], None],
    ) -> None:
        """pins: the contact's, or the normally open pole's and the normally closed one's. stir: look at `due_s`."""
        self._active_level, self._pins, self._factory = active_level, pins, factory
        self._emit, self._stir = host.emit, stir
        self._lock = Lock()
        self._poles = [False] * len(pins)
        """Whether each is at the level of an alarm; the normally closed one has it at rest."""
        self._supervised, self._storm = Supervised(name), Storm(name)
        self._changed_s = 0.0
        self.look()  # before the edges are enabled: the level at the start comes first
        for pin, changed in zip(pins, (self._changed, self._nc_changed), strict=False):
            pin.bounce = None
            pin.edges = "both"
            pin.when_changed = changed  # gpiozero holds it weakly
        self.look()  # a change before they were enabled

    def look(self) -> None:
        """Reads the pins, and says what is due."""
        with self._lock:
            now_s = time.monotonic()
            for edge in self._storm.tick(now_s):
                self._emit(edge)
            poles = [bool(pin.state) == self._active_level for pin in self._pins]
            if poles != self._poles:
                self._poles, self._changed_s = poles, now_s
            self._read(now_s)

    def due_s(self) -> float | None:
        """When to look again."""
        dues = [due_s for due_s in (self._supervised.due_s(), self._storm.due_s()) if due_s is not None]
        return min(dues, default=None)

    def take_folded(self) -> int:
        """Changes since the last call that were too many to be edges of their own."""
        with self._lock:
            return self._storm.take_folded()

    def _changed(self, ticks: float, state: int) -> None:
        self._edge(0, ticks, state)

    def _nc_changed(self, ticks: float, state: int) -> None:
        self._edge(1, ticks, state)

    def _edge(self, pole: int, ticks: float, state: int) -> None:
        seen_s = seen(self._factory, ticks)
        with self._lock:
            active = bool(state) == self._active_level
            if active != self._poles[pole]:
                self._poles[pole], self._changed_s = active, max(seen_s, self._changed_s)
                quiet = self.due_s() is None
                self._read(self._changed_s)
                if quiet and self.due_s() is not None:
                    self._stir()

    def _read(self, seen_s: float) -> None:
        wire = POLES[self._poles[0], self._poles[1] if len(self._poles) > 1 else not self._poles[0]]
        for reading in self._supervised.read(wire, seen_s):
            for each in self._storm.edge(reading) if isinstance(reading, Edge) else [reading]:
                self._emit(each)
