r"""An alarm receiver that speaks as the Sur-Gard MLR2 does to the computer of a central station.

    receiver -> box   5011 181234E13001003\x14         Contact ID: receiver 01, line 1, account 1234, new, event 130,
                                                       partition 01, zone 003
    receiver -> box   1011           @    \x14         heartbeat, every 30 s
    box -> receiver   \x06                             taken, within 4 s of each; or \x15: say it again

The qualifier is E (new, or opening), R (restored, or closing) or P (still present). Source: SG-MLR2-E and MLR2-DG
manuals, "Communication protocol with central station computer".

The receiver sends nothing else before it has its ACK, and repeats what has none every 4 s. So a frame is answered when
its readings are with the agent, and the same frame again 4 s later, with nothing between, is the same event.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

from drivers.contract import Health, Host, Quality, Reading
from drivers.panels import PanelPort, contact_id

READ_WAIT_S: Final = 0.5
FRAME_BYTES_MAX: Final = 64
"""Of the frames that we read the longest has 23."""
RESEND_S: Final = 4.0
RESEND_TOLERANCE_S: Final = 1.0
MISSED_HEARTBEATS: Final = 3
QUALIFIERS: Final = {"E": "1", "R": "3", "P": "6"}
END, ACK, NAK = b"\x14", b"\x06", b"\x15"

EVENT: Final = re.compile(
    rb"5[0-9A-Z]{3,5} 18(?P<account>[0-9A-F]{4})(?P<qualifier>[ERP])(?P<event>[0-9A-F]{3})"
    rb"(?P<partition>[0-9A-F]{2})(?P<zone>[0-9A-F]{3})\Z"
)
HEARTBEAT: Final = re.compile(rb"1[0-9A-Z]{3,5} +@ *\Z")


@dataclass(frozen=True, slots=True)
class SurgardOptions(PanelPort):
    """The receiver's computer port."""

    heartbeat_s: int = field(
        default=30,
        metadata={"doc": "its heartbeat, 0 to 3600; three missed are a fault; 0: it has none", "unit": "s"},
    )

    def __post_init__(self) -> None:
        PanelPort.__post_init__(self)
        if type(self.heartbeat_s) is not int or not 0 <= self.heartbeat_s <= 3600:
            raise ValueError(f"heartbeat_s: found {self.heartbeat_s!r}, allowed is 0 to 3600 s")


@dataclass(frozen=True, slots=True)
class SurgardInput:
    """One event of one account, as Contact ID names it."""

    codes: ClassVar[bool] = False

    account: str = field(metadata={"doc": "of the panel, four hexadecimal digits in quotes"})
    event: str = field(metadata={"doc": "Contact ID event code, three digits in quotes"})
    zone: int | None = field(default=None, metadata={"doc": "or user, 0 to 999; default: any"})
    partition: int | None = field(default=None, metadata={"doc": "0 to 99; default: any"})
    restores: bool = field(
        default=True, metadata={"doc": "the panel says when it is over; false: each event is a press by itself"}
    )

    def __post_init__(self) -> None:
        for key, found, digits in (("account", self.account, 4), ("event", self.event, 3)):
            if not isinstance(found, str) or not re.fullmatch(f"[0-9A-F]{{{digits}}}", found):
                raise ValueError(f"{key}: found {found!r}, allowed are {digits} digits, 0 to 9 and A to F, in quotes")
        for key, number, most in (("zone", self.zone, 999), ("partition", self.partition, 99)):
            if number is not None and (type(number) is not int or not 0 <= number <= most):
                raise ValueError(f"{key}: found {number!r}, allowed is a number from 0 to {most}")
        if type(self.restores) is not bool:
            raise ValueError(f"restores: found {self.restores!r}, allowed is true or false")


class SurgardDriver:
    """Raises DriverError when the port or the connection is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = SurgardOptions
    Input: ClassVar[type[Any]] = SurgardInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  a port says more to its reader than our name for it
        options: SurgardOptions,
        inputs: Mapping[str, SurgardInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options = options
        self._inputs = inputs

    def run(self, host: Host) -> None:
        """Opens the port, emits readings, and answers each frame after its readings. Raises DriverError."""
        with self._options.open(host.alive) as port:
            parser = SurgardParser(self._inputs, self._options.heartbeat_s, time.monotonic())
            data = b""
            while host.alive():
                for frame in parser.feed(data, time.monotonic()):
                    for reading in frame.readings:
                        host.emit(reading)
                    if frame.answer:
                        port.write(frame.answer)
                self.noise += parser.take_noise()
                data = port.read(READ_WAIT_S)

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)


class Frame(NamedTuple):
    """What a frame says, and the byte to be sent once that is with the agent; b"" where none is due."""

    readings: list[Reading]
    answer: bytes


class SurgardParser:
    """Bytes and the time in, readings and answers out. Knows no port and no clock. One for each open port."""

    def __init__(self, inputs: Mapping[str, SurgardInput], heartbeat_s: int, now_s: float) -> None:
        self._inputs = inputs
        self._silence_s = MISSED_HEARTBEATS * heartbeat_s
        self._heard_s = now_s
        self._good: bool | None = None
        self._unread = b""
        self._last = b""
        self._last_s = float("-inf")
        self._refused = b""
        self._noise = 0

    def feed(self, data: bytes, now_s: float) -> list[Frame]:
        """The frames that end in `data`, in order, and what is due by now; half a frame waits for its end."""
        *frames, rest = (self._unread + data).split(END)
        self._unread = rest[-FRAME_BYTES_MAX:]  # a frame ends at its END, and is whole in so many bytes before it
        said = [Frame(self._supervise(now_s), b"")]
        said += [self._frame(frame[-FRAME_BYTES_MAX:], now_s) for frame in frames if frame]
        return [frame for frame in said if frame.readings or frame.answer]

    def take_noise(self) -> int:
        """Frames since the last call that made no sense, or that no input is for."""
        noise, self._noise = self._noise, 0
        return noise

    def _supervise(self, now_s: float) -> list[Reading]:
        if not self._silence_s and self._good is None:
            return self._health("good", "", now_s)
        if self._silence_s and self._good is not False and now_s >= self._heard_s + self._silence_s:
            return self._health("offline", f"no heartbeat of the receiver for {self._silence_s} s", now_s)
        return []

    def _health(self, quality: Quality, reason: str, now_s: float) -> list[Reading]:
        self._good = quality == "good"
        return [Health(name, quality, reason, now_s) for name in self._inputs]

    def _frame(self, raw: bytes, now_s: float) -> Frame:
        event = EVENT.search(raw)
        found = event or HEARTBEAT.search(raw)
        if not found:
            return self._nonsense(raw)
        frame = found[0]
        self._noise += frame != raw  # noise of the line, or half a frame, stands before it
        self._refused = b""
        readings = [] if self._good else self._health("good", "", now_s)
        self._heard_s = now_s
        same_s, again = now_s - self._last_s, frame == self._last
        self._last, self._last_s = frame, now_s
        if again and same_s == 0:
            return Frame(readings, b"")  # it came before our answer: one is due, not two
        if event and not (again and abs(same_s - RESEND_S) <= RESEND_TOLERANCE_S):
            readings += self._event(event, now_s)
        return Frame(readings, ACK)

    def _nonsense(self, raw: bytes) -> Frame:
        """Asked for once more; the same again is not garbled but foreign, and would keep the receiver from going on."""
        self._noise += 1
        answer = ACK if raw == self._refused else NAK
        self._refused = raw
        return Frame([], answer)

    def _event(self, event: re.Match[bytes], now_s: float) -> list[Reading]:
        said = {key: value.decode() for key, value in event.groupdict().items()}
        readings: list[Reading] = []
        meant = False
        for name, keys in self._inputs.items():
            wanted = {"account": keys.account, "event": keys.event}
            if keys.zone is not None:
                wanted["zone"] = f"{keys.zone:03}"
            if keys.partition is not None:
                wanted["partition"] = f"{keys.partition:02}"
            if wanted.items() <= said.items():
                meant = True
                readings += contact_id(name, QUALIFIERS[said["qualifier"]], keys.restores, now_s)
        self._noise += not meant
        return readings
