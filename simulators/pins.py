"""gpiozero's pins at the simulated board: `GPIOZERO_PIN_FACTORY=callbox-sim`, and CALLBOX_SIM_BOARD its socket."""

import json
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from gpiozero import PinFixedPull, PinInvalidFunction, PinInvalidPull, PinSetInput
from gpiozero.pins.local import LocalPiFactory, LocalPiPin

from simulators.spi import SimSPI, SimSPIShared

PI_4B = 0xC03111
ANSWER_TIMEOUT_S = 5.0


class SimPin(LocalPiPin):  # type: ignore[misc]  # gpiozero is untyped
    """A pin whose level the board knows. What the board tells comes in order, each change with its own level."""

    factory: "SimFactory"

    def __init__(self, factory: "SimFactory", info: Any) -> None:
        super().__init__(factory, info)
        self._function = "input"
        self._pull = info.pull or "floating"
        self.level = 0  # as last told by the board; of an output, as last set
        self.edges = "both"
        self.bounce = None

    def close(self) -> None:
        """Lets go of an output. The pull of an input stays: it stands for the resistor, which outlives the program."""
        self.when_changed = None
        if self._function == "output" and not self.factory.gone.is_set():
            self.factory.send({"pin": self._number, "level": None})
        self._function = "input"

    def told(self, level: int, t: float) -> None:
        """The board says that the level changed at `t`, of the clock that gives gpiozero its ticks."""
        if self._function == "input":
            self.level = level
            if self._when_changed is not None:
                self._call_when_changed(t, level)

    def _get_function(self) -> str:
        return self._function

    def _set_function(self, value: str) -> None:
        if value not in ("input", "output"):
            raise PinInvalidFunction(f"{self!r}: a function is input or output, not {value!r}")
        self._function = value
        if value == "input":
            self._set_pull(self._pull)

    def _get_state(self) -> int:
        self.factory.check()
        return self.level

    def _set_state(self, value: float) -> None:
        if self._function == "input":
            raise PinSetInput(f"cannot set the state of input {self!r}")
        self.level = int(value)
        self.factory.send({"pin": self._number, "level": self.level})

    def _get_pull(self) -> str:
        return str(self._pull)

    def _set_pull(self, value: str) -> None:
        if value not in ("up", "down", "floating"):
            raise PinInvalidPull(f"{self!r}: a pull is up, down or floating, not {value!r}")
        if self.info.pull not in ("", value):
            raise PinFixedPull(f"{self!r} has a physical pull-{self.info.pull} resistor")
        self._pull = value
        self.factory.pull(self._number, "none" if value == "floating" else value)

    def _get_bounce(self) -> None:
        return None

    def _set_bounce(self, value: float | None) -> None:
        if value is not None:
            raise ValueError(f"{self!r}: the simulated board passes every edge on; bounce is None, not {value!r}")

    def _get_edges(self) -> str:
        return "both"

    def _set_edges(self, value: str) -> None:
        if value != "both":
            raise ValueError(f"{self!r}: the simulated board passes every edge on; edges is both, not {value!r}")

    def _enable_event_detect(self) -> None:
        pass  # the board always tells

    def _disable_event_detect(self) -> None:
        pass


class SimFactory(LocalPiFactory):  # type: ignore[misc]  # gpiozero is untyped
    """The pins of one simulated board. Raises OSError when it does not answer; a pin's state does once it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.path = os.environ.get("CALLBOX_SIM_BOARD", "")
        if not self.path:
            raise OSError("CALLBOX_SIM_BOARD is not set: it names the socket of `callbox-sim board`")
        self.pin_class = SimPin
        self.gone = threading.Event()
        self._by_number: dict[int, SimPin] = {}
        self._answered = threading.Condition()
        self._pulls: dict[int, str] = {}  # that the board has confirmed
        self.converters: dict[int, list[int]] = {}
        """Levels of the channels by chip select, as last told by the board."""
        self._board = socket.socket(socket.AF_UNIX)
        try:
            self._board.connect(self.path)
        except OSError:
            self._board.close()
            raise
        self._reader = threading.Thread(target=self._read, name="sim pins", daemon=True)
        self._reader.start()

    def close(self) -> None:
        super().close()
        with self._answered:
            if not self.gone.is_set():
                self._board.shutdown(socket.SHUT_RDWR)
        self._reader.join(ANSWER_TIMEOUT_S)

    def pin(self, name: Any) -> SimPin:
        pin: SimPin = super().pin(name)
        self._by_number[pin._number] = pin
        return pin

    def check(self) -> None:
        """Raises ConnectionError when the board is gone."""
        if self.gone.is_set():
            raise ConnectionError(f"the simulated board at {self.path} is gone")

    def send(self, message: dict[str, Any]) -> None:
        """Never waits: raises OSError when the board is gone or has stopped reading."""
        self.check()
        line = json.dumps(message).encode() + b"\n"
        if self._board.send(line, socket.MSG_DONTWAIT) != len(line):
            raise ConnectionError(f"the simulated board at {self.path} has stopped reading")

    def pull(self, number: int, pull: str) -> None:
        """Sets the pull; when it returns, the pin knows its level. Raises OSError when the board does not answer."""
        with self._answered:
            self._pulls.pop(number, None)
            self._ask({"pin": number, "pull": pull}, lambda: number in self._pulls)

    def converter(self, select: int) -> None:
        """When it returns, the levels of this converter are known. Raises OSError when the board does not answer."""
        with self._answered:
            self._ask({"spi": select}, lambda: select in self.converters)

    def _ask(self, question: dict[str, Any], answered: Callable[[], bool]) -> None:
        """With the condition held, until it is answered. Raises OSError."""
        self.send(question)
        in_time = self._answered.wait_for(lambda: answered() or self.gone.is_set(), timeout=ANSWER_TIMEOUT_S)
        self.check()
        if not in_time:
            raise ConnectionError(f"the simulated board at {self.path} does not answer")

    def _get_spi_class(self, shared: bool, hardware: bool) -> type[SimSPI]:
        if not hardware:
            raise OSError("the simulated board has converters at SPI 0 alone")
        return SimSPIShared if shared else SimSPI

    def _get_revision(self) -> int:
        return PI_4B

    def _read(self) -> None:
        try:
            with self._board.makefile("rb") as lines:
                for line in lines:
                    self._told(json.loads(line))
        except (OSError, ValueError):
            pass  # a board that dies in mid line is gone like any other
        finally:
            with self._answered:
                self.gone.set()
                self._board.close()
                self._answered.notify_all()

    def _told(self, message: dict[str, Any]) -> None:
        match message:
            case {"pin": int(number), "level": int(level), "pull": str(pull)}:
                self._by_number[number].level = level  # here, in the order in which the board told it
                with self._answered:
                    self._pulls[number] = pull
                    self._answered.notify_all()
            case {"pin": int(number), "level": int(level), "t": float(t)} if number in self._by_number:
                self._by_number[number].told(level, t)
            case {"spi": int(select), "levels": list(levels)}:
                with self._answered:
                    self.converters[select] = levels
                    self._answered.notify_all()
            case {"spi": int(select), "channel": int(channel), "level": int(level)} if select in self.converters:
                self.converters[select][channel] = level
