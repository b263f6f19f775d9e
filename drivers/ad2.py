r"""An intrusion panel (Ademco Vista, DSC) through an AlarmDecoder AD2USB, AD2PI, AD2SERIAL or a ser2sock.

    AD2 -> box   lines as in `drivers/ad2_text.py`, ended by CR LF
    box -> AD2   V\r     "which version are you?", when it was silent for a while: it answers !VER:...

What was not seen to change is no press: after each opening, and when the device begins anew, levels are only found.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, get_args

from drivers import ad2_text
from drivers.ad2_text import Begins, Bit, Board, Keypad, Lrr, Message, Rf
from drivers.ad2_zones import Zones
from drivers.contract import Edge, Health, Host, Reading
from drivers.panels import PanelPort, contact_id

READ_WAIT_S: Final = 0.5
LINE_BYTES_MAX: Final = 256
ASK_S: Final = 30.0
SILENT_S: Final = 45.0
OFF_S: Final = 30.0
"""A bit of the keypads is off when it was so for this long: panels let bits flicker while they show several things."""
LINE_END: Final = re.compile(rb"[\r\n]")
CHANNEL: Final = re.compile("[0-9]{1,2},[0-9]{1,2}")
MEANT: Final = ("zone", "rf", "relay", "expander", "cid", "bit")
TOGETHER: Final = ({"rf", "bit"}, {"cid", "zone"})


@dataclass(frozen=True, slots=True)
class Ad2Options(PanelPort):
    """The AlarmDecoder's port."""

    baud: int = field(default=115200, metadata={"doc": "speed of the port", "unit": "bit/s"})


@dataclass(frozen=True, slots=True)
class Ad2Input:
    """One thing that the panel tells: a zone, a radio sensor, a channel, a report, a bit of the keypads."""

    codes: ClassVar[bool] = False

    zone: int | None = field(default=None, metadata={"doc": "as the keypads show it, 1 to 999; with cid: or user"})
    rf: str | None = field(default=None, metadata={"doc": "serial number of a radio sensor, seven digits in quotes"})
    loop: int | None = field(default=None, metadata={"doc": "of the radio sensor, 1 to 4"})
    relay: str | None = field(default=None, metadata={"doc": "ADDRESS,CHANNEL of a relay board"})
    expander: str | None = field(default=None, metadata={"doc": "ADDRESS,CHANNEL of a zone expander"})
    cid: int | None = field(default=None, metadata={"doc": "Contact ID event code of a report to the radio"})
    bit: Bit | None = field(
        default=None,
        metadata={"doc": "of the keypads: alarm, fire, ac, battery, check; with rf: battery, the sensor's"},
    )
    partition: int | None = field(default=None, metadata={"doc": "of the report, 0 to 9; default: any"})
    restores: bool = field(
        default=True, metadata={"doc": "the report says when it is over; false: each is a press by itself"}
    )

    def __post_init__(self) -> None:
        meant = {key for key in MEANT if getattr(self, key) is not None}
        if len(meant) != 1 and meant not in TOGETHER:
            raise ValueError(
                f"zone: found {' and '.join(sorted(meant)) or 'none'}, allowed is one of {', '.join(MEANT)};"
                " bit: battery also with rf, zone also with cid"
            )
        if (self.loop is None) == (meant == {"rf"}):
            raise ValueError(f"loop: found {self.loop!r}, allowed is 1 to 4 with rf alone")
        if "cid" not in meant and (self.partition is not None or self.restores is not True):
            raise ValueError("partition, restores: found without cid, allowed only with it")
        if meant == {"rf", "bit"} and self.bit != "battery":
            raise ValueError(f"bit: found {self.bit!r}, allowed with rf is battery")
        if self.bit is not None and self.bit not in get_args(Bit):
            raise ValueError(f"bit: found {self.bit!r}, allowed is one of {', '.join(get_args(Bit))}")
        if self.rf is not None and not re.fullmatch("[0-9]{7}", str(self.rf)):
            raise ValueError(f"rf: found {self.rf!r}, allowed are seven digits in quotes")
        for key, text in (("relay", self.relay), ("expander", self.expander)):
            if text is not None and not CHANNEL.fullmatch(str(text)):
                raise ValueError(f'{key}: found {text!r}, allowed is ADDRESS,CHANNEL, as "12,1"')
        lowest = 0 if self.cid is not None else 1
        for key, number, least, most in (
            ("zone", self.zone, lowest, 999),
            ("loop", self.loop, 1, 4),
            ("cid", self.cid, 100, 999),
            ("partition", self.partition, 0, 9),
        ):
            if number is not None and (type(number) is not int or not least <= number <= most):
                raise ValueError(f"{key}: found {number!r}, allowed is a number from {least} to {most}")
        if type(self.restores) is not bool:
            raise ValueError(f"restores: found {self.restores!r}, allowed is true or false")


class Ad2Driver:
    """Raises DriverError when the port or the connection is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = Ad2Options
    Input: ClassVar[type[Any]] = Ad2Input
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  a port says more to its reader than our name for it
        options: Ad2Options,
        inputs: Mapping[str, Ad2Input],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options = options
        self._inputs = inputs

    def run(self, host: Host) -> None:
        """Opens the port, asks whether the device is there, emits readings. Raises DriverError."""
        with self._options.open(host.alive) as port:
            parser = Ad2Parser(self._inputs, time.monotonic())
            while host.alive():
                if question := parser.question(time.monotonic()):
                    port.write(question)
                for reading in parser.feed(port.read(READ_WAIT_S), time.monotonic()):
                    host.emit(reading)
                self.noise += parser.take_noise()

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)


class Ad2Parser:
    """Bytes and the time in, readings out. Knows no port and no clock. One for each open port."""

    def __init__(self, inputs: Mapping[str, Ad2Input], now_s: float) -> None:
        self._inputs = inputs
        self._unread = b""
        self._noise = 0
        self._good: bool | None = None
        self._heard_s, self._asked_s = now_s, float("-inf")
        self._forget()

    def _forget(self) -> None:
        self._zones = Zones(keys.zone for keys in self._inputs.values() if keys.zone is not None and keys.cid is None)
        self._bits: dict[str, bool] = {}
        self._on_s: dict[str, float] = {}

    def feed(self, data: bytes, now_s: float) -> list[Reading]:
        """The readings of the lines that end in `data`, and what is due by now; half a line waits for its end."""
        *lines, rest = LINE_END.split(self._unread + data)
        self._unread = rest[: LINE_BYTES_MAX + 1]
        readings = [reading for line in lines if line.strip(b"\0") for reading in self._line(line, now_s)]
        if self._good is not False and now_s >= self._heard_s + SILENT_S:
            self._good = False
            why = f"the AlarmDecoder is silent for {SILENT_S:.0f} s, and does not say its version when asked"
            readings += [Health(name, "offline", why, now_s) for name in self._inputs]
        return readings

    def question(self, now_s: float) -> bytes:
        """What the device is to be asked now, b"" where nothing."""
        quiet_since_s = max(self._asked_s, self._heard_s) if self._good else self._asked_s
        if now_s < quiet_since_s + ASK_S:
            return b""
        self._asked_s = now_s
        return b"V\r"

    def take_noise(self) -> int:
        """Lines that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _line(self, line: bytes, now_s: float) -> Iterator[Reading]:
        message = ad2_text.read(line) if len(line) <= LINE_BYTES_MAX else None
        if message is None:
            self._noise += 1
            return
        self._heard_s = now_s
        if not self._good:
            self._good = True
            self._forget()
            for name in self._inputs:
                yield Health(name, "good", "", now_s)
        yield from self._message(message, now_s)

    def _message(self, message: Message, now_s: float) -> Iterator[Reading]:
        match message:
            case Keypad():
                yield from self._keypad(message, now_s)
            case Rf():
                for name, keys in self._inputs.items():
                    if keys.rf == message.serial:
                        active = message.battery if keys.loop is None else message.loop(keys.loop)
                        told = message.supervision
                        yield Edge(name, active, now_s, initial=told, settled=not told)
            case Board(kind, address, channel, value):
                for name, keys in self._inputs.items():
                    wanted: str | None = getattr(keys, kind)
                    if wanted and [*map(int, wanted.split(","))] == [address, channel]:
                        if value == 2:
                            yield Health(name, "open", f"the panel says trouble of channel {wanted}", now_s)
                        else:
                            yield Edge(name, value == 1, now_s, settled=True)
            case Lrr(event, qualifier, zone, partition):
                for name, keys in self._inputs.items():
                    if keys.cid == event and keys.zone in (None, zone) and keys.partition in (None, partition):
                        yield from contact_id(name, qualifier, keys.restores, now_s)
            case Begins():
                self._forget()

    def _keypad(self, keypad: Keypad, now_s: float) -> Iterator[Reading]:
        for zone, state, found in self._zones.see(keypad, now_s):
            for name, keys in self._inputs.items():
                if keys.zone == zone and keys.cid is None:
                    if state == "check":
                        yield Health(name, "open", f"the panel shows CHECK {zone:02}", now_s)
                    else:
                        yield Edge(name, state == "fault", now_s, initial=found, settled=not found)
        for name, keys in self._inputs.items():
            if keys.bit is not None and keys.rf is None:
                yield from self._bit(name, keypad.bit(keys.bit), now_s)

    def _bit(self, name: str, on: bool, now_s: float) -> Iterator[Reading]:
        was = self._bits.get(name)
        if on:
            self._on_s[name] = now_s
        elif was and now_s < self._on_s[name] + OFF_S:
            return
        if on != was:
            self._bits[name] = on
            yield Edge(name, on, now_s, initial=was is None, settled=was is not None)
