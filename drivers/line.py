r"""A panel or scanner on a serial port that sends a line of text for each press or scan.

    panel -> box    B2:1\r\n    a line ends in CR, LF or both; patterns see it without the end

The patterns come from the config; the lines come from the world and are bounded. An empty line is nothing. A line that
matches no pattern, is longer than LINE_BYTES_MAX or cannot be decoded is counted as noise. The driver logs no line.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from drivers.contract import Code, Edge, Health, Host, Reading
from drivers.serial_port import SerialPort

LINE_BYTES_MAX = 1024
READ_WAIT_S = 0.5
LINE_END = re.compile(rb"[\r\n]")

Encoding = Literal["utf-8", "gbk", "latin-1"]  # in all three a CR or LF byte is never part of a character


@dataclass(frozen=True, slots=True)
class LineOptions:
    """The serial port of one panel."""

    port: str = field(metadata={"doc": "the device, best by a name that stays: /dev/serial/by-id/..."})
    baud: int = field(default=9600, metadata={"doc": "speed, always 8N1", "unit": "bit/s"})
    encoding: Encoding = field(default="utf-8", metadata={"doc": "of the text in the lines"})

    def __post_init__(self) -> None:
        if not self.port:
            raise ValueError("port: found nothing, allowed is the path of a serial device")
        if type(self.baud) is not int or not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"baud: found {self.baud!r}, allowed is a speed from 50 to 4000000 bit/s")
        if self.encoding not in get_args(Encoding):
            raise ValueError(f"encoding: found {self.encoding!r}, allowed is one of {', '.join(get_args(Encoding))}")


@dataclass(frozen=True, slots=True)
class LineInput:
    """What one button or scanner sends. Patterns are Python's, searched anywhere in the line: anchor them."""

    pressed: str = field(
        metadata={"doc": "pattern of the line of a press; with a group (?P<code>...) each line is a scan of that code"}
    )
    released: str | None = field(
        default=None, metadata={"doc": "pattern of the line of a release; without it a press is a pulse"}
    )

    def __post_init__(self) -> None:
        pressed = _pattern("pressed", self.pressed)
        if self.released is not None:
            _pattern("released", self.released)
            if "code" in pressed.groupindex:
                raise ValueError(f"released: found {self.released!r}, allowed is none: a scan is never released")

    @property
    def codes(self) -> bool:
        """Whether it is a scanner's input."""
        return "code" in re.compile(self.pressed).groupindex


class LineDriver:
    """Raises DriverError when the port is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = LineOptions
    Input: ClassVar[type[Any]] = LineInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  a port says more to its reader than our name for it
        options: LineOptions,
        inputs: Mapping[str, LineInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options = options
        self._inputs = inputs

    def run(self, host: Host) -> None:
        """Opens the port, says that each input is good, emits readings. Raises DriverError."""
        parser = LineParser(self._inputs, self._options.encoding)  # anew: half a line from before the gap is no line
        with SerialPort(self._options.port, self._options.baud) as port:
            for name in self._inputs:
                host.emit(Health(name, "good", "", time.monotonic()))
            while host.alive():
                for reading in parser.feed(port.read(READ_WAIT_S), time.monotonic()):
                    host.emit(reading)
                self.noise += parser.take_noise()

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)


class LineParser:
    """Bytes and the time in, readings out. Knows no port and no clock."""

    def __init__(self, inputs: Mapping[str, LineInput], encoding: Encoding) -> None:
        self._patterns = [
            (name, re.compile(keys.pressed), re.compile(keys.released) if keys.released is not None else None)
            for name, keys in inputs.items()
        ]
        self._encoding = encoding
        self._unread = b""
        self._noise = 0

    def feed(self, data: bytes, now_s: float) -> list[Reading]:
        """The readings of the lines that end in `data`, in order; half a line waits for its end."""
        *lines, rest = LINE_END.split(self._unread + data)
        self._unread = rest[: LINE_BYTES_MAX + 1]  # one more than allowed is enough to know a line for noise at its end
        return [reading for line in lines if line for reading in self._line(line, now_s)]

    def take_noise(self) -> int:
        """Lines that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _line(self, line: bytes, now_s: float) -> list[Reading]:
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError:
            text = None
        readings: list[Reading] = []
        if text is not None and len(line) <= LINE_BYTES_MAX:
            for name, pressed, released in self._patterns:
                readings += _readings(name, pressed, released, text, now_s)
        self._noise += not readings
        return readings


def _readings(
    name: str, pressed: re.Pattern[str], released: re.Pattern[str] | None, text: str, now_s: float
) -> list[Reading]:
    """A code is passed on as it came: a control character may be data, as GS is between the fields of a GS1 code.

    Whoever shows or logs one escapes it.
    """
    if match := pressed.search(text):
        if "code" in pressed.groupindex:
            return [Code(name, match["code"], now_s)] if match["code"] else []
        press = Edge(name, True, now_s, settled=True)
        return [press] if released else [press, Edge(name, False, now_s, settled=True)]
    if released and released.search(text):
        return [Edge(name, False, now_s, settled=True)]
    return []


def _pattern(key: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key}: found {pattern!r}, which is no regular expression: {error}") from error
