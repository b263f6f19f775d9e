"""A scanner that is a keyboard: USB HID, through the kernel's event devices (Documentation/input/input.rst).

    scanner -> kernel -> /dev/input/by-id/usb-...-event-kbd -> struct input_event: type, code, value, 24 bytes each

It is grabbed: nothing that it types reaches a console or another program. Keys are those of a US keyboard, which every
scanner can speak; what that has not comes as Alt and digits of the keypad (a byte, or the two of a GBK character), or
with Ctrl (Ctrl ] is GS). Enter ends a code. The driver logs no code.
"""

import errno
import fcntl
import os
import select
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from drivers.contract import Code, DriverError, Health, Host, Paper
from drivers.scans import CODE_BYTES_MAX, HALF_S, REPEAT_MS, Encoding, ScanInput, Scans, check_common

EVENT: Final = struct.Struct("llHHi")
EVENTS_MAX: Final = 170
EVIOCGRAB: Final = 0x40044590
"""_IOW('E', 0x90, int) of linux/input.h."""
READ_WAIT_S: Final = 0.5
EV_SYN, SYN_DROPPED = 0, 3
EV_KEY, UP, DOWN = 1, 0, 1

ROWS: Final = (
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (15, "\tqwertyuiop[]", "\tQWERTYUIOP{}"),
    (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (55, "*", "*"),
    (57, " ", " "),
    (71, "789-456+1230.", "789-456+1230."),
    (86, "\\", "|"),
    (98, "/", "/"),
)
"""Key codes of linux/input-event-codes.h: the first of a row, what the keys say, and what with Shift."""
PLAIN: Final = {first + at: char for first, plain, _ in ROWS for at, char in enumerate(plain)}
SHIFTED: Final = {first + at: char for first, _, shifted in ROWS for at, char in enumerate(shifted)}
KEYPAD: Final = {code: PLAIN[code] for code in range(71, 83) if PLAIN[code].isdigit()}
ENTER: Final = {28, 96}
SHIFT, CTRL, ALT = {42, 54}, {29, 97}, {56, 100}
CAPS_LOCK: Final = 58

HINTS: Final = {
    errno.ENOENT: "plug the scanner in, and compare the name with ls -l /dev/input/by-id",
    errno.EACCES: "the user that runs this must be in the group input",
    errno.EPERM: "the user that runs this must be in the group input",
    errno.EBUSY: "another program has grabbed this scanner: end it (fuser -v shows which), or correct the config",
}
NO_KEYBOARD: Final = "look whether the name is that of the scanner: ls -l /dev/input/by-id"
GONE: Final = "look at the cable of the scanner; it is opened again as soon as it is back"


@dataclass(frozen=True, slots=True)
class HidOptions:
    """One scanner."""

    device: str = field(metadata={"doc": "its event device, by a name that stays: /dev/input/by-id/usb-...-event-kbd"})
    encoding: Encoding = field(
        default="auto", metadata={"doc": "of the text in codes; auto: UTF-8, and what is none as GBK"}
    )
    repeat_ms: int = field(
        default=REPEAT_MS,
        metadata={"doc": "the same label, read again before it was away so long, is one scan; 0: never", "unit": "ms"},
    )

    def __post_init__(self) -> None:
        if not self.device:
            raise ValueError("device: found nothing, allowed is the path of an event device")
        check_common(self.encoding, self.repeat_ms)


class HidDriver:
    """Raises DriverError when the scanner is gone; `run` opens it anew."""

    Options: ClassVar[type[Any]] = HidOptions
    Input: ClassVar[type[Any]] = ScanInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  a device says more to its reader than our name for it
        options: HidOptions,
        inputs: Mapping[str, ScanInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options, self._inputs = options, inputs

    def run(self, host: Host) -> None:
        """Opens and grabs the scanner, says that each input is good, emits scans. Raises DriverError."""
        device = self._options.device
        keys = Keys(self._inputs, self._options)  # anew: half a code from before the gap is no code
        fd = _grabbed(device)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            for name in self._inputs:
                host.emit(Health(name, "good", "", time.monotonic()))
            while host.alive():
                due_s = keys.due_s()
                wait_s = READ_WAIT_S if due_s is None else due_s - time.monotonic()
                ready = poll.poll(min(max(wait_s, 0.0), READ_WAIT_S) * 1000)
                data = _read(fd, device) if ready else _still_there(fd, device)
                for reading in keys.feed(data, time.monotonic()):
                    host.emit(reading)
                self.noise += keys.take_noise()
        finally:
            os.close(fd)

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)


def _grabbed(device: str) -> int:
    """The open device, for us alone. Raises DriverError."""
    fd = -1
    try:
        fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(fd, EVIOCGRAB, 1)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise DriverError(device, _text(error), HINTS.get(error.errno or 0, NO_KEYBOARD)) from error
    return fd


def _read(fd: int, device: str) -> bytes:
    try:
        data = os.read(fd, EVENT.size * EVENTS_MAX)
    except OSError as error:
        raise DriverError(device, f"the scanner is gone ({_text(error)})", GONE) from error
    if not data:
        raise DriverError(device, "the scanner hung up", GONE)
    return data


def _still_there(fd: int, device: str) -> bytes:
    """Nothing has come; raises DriverError where the name is gone, or leads to another device."""
    try:
        same = Path(device).stat().st_rdev == os.fstat(fd).st_rdev
    except OSError as error:
        raise DriverError(device, f"the scanner is gone ({_text(error)})", GONE) from error
    if not same:
        raise DriverError(device, "this name now leads to another device", GONE)
    return b""


def _text(error: OSError) -> str:
    return error.strerror or str(error)


class Keys:
    """Events of a keyboard and the time in, readings out; b"" says that nothing came. Knows no device and no clock."""

    def __init__(self, inputs: Mapping[str, ScanInput], options: HidOptions) -> None:
        self._scans = Scans(inputs, options.encoding, options.repeat_ms)
        self._rest = b""
        self._typed = bytearray()
        self._typed_s = 0.0
        self._down: set[int] = set()
        self._caps = False
        self._number = ""
        """Digits of the keypad while Alt is down."""

    def feed(self, data: bytes, now_s: float) -> list[Code | Paper]:
        """The readings of the codes that have their Enter, in order."""
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        found: list[Code | Paper] = []
        for _, _, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind == EV_SYN and code == SYN_DROPPED:  # the kernel's queue was full: what was typed has a hole
                self._forget(noise=1)
            elif kind == EV_KEY and value in (UP, DOWN):  # 2 is a repeat of a key that is held
                found += self._key(code, value == DOWN, now_s)
        if not data:
            self._scans.tick(now_s)
            if self._typed and now_s >= self._typed_s + HALF_S:
                self._forget(noise=1)
        return found

    def due_s(self) -> float | None:
        """When `feed` has something to say although nothing comes."""
        dues = [self._scans.due_s(), self._typed_s + HALF_S if self._typed else None]
        return min((due for due in dues if due is not None), default=None)

    def take_noise(self) -> int:
        """What made no sense since the last call."""
        noise, self._scans.noise = self._scans.noise, 0
        return noise

    def _forget(self, *, noise: int) -> None:
        self._typed.clear()
        self._down.clear()
        self._number = ""
        self._scans.noise += noise

    def _key(self, code: int, down: bool, now_s: float) -> list[Code | Paper]:
        if code in SHIFT | CTRL | ALT:
            (self._down.add if down else self._down.discard)(code)
            if code in ALT and not down and self._number:
                self._by_number(now_s)
        elif not down:
            pass
        elif code == CAPS_LOCK:
            self._caps = not self._caps
        elif code in ENTER:
            return self._end(now_s)
        elif self._down & ALT and code in KEYPAD:
            self._number = (self._number + KEYPAD[code])[:6]
        elif char := (SHIFTED if self._down & SHIFT else PLAIN).get(code, ""):
            if self._caps and char.isalpha():
                char = char.swapcase()
            if self._down & CTRL:
                char = chr(ord(char) & 0x1F)
            if char in "\r\n":
                return self._end(now_s)
            self._type(char.encode(), now_s)
        return []

    def _by_number(self, now_s: float) -> None:
        """Alt and a number: a byte, or a character of GBK, which has two."""
        number, self._number = int(self._number), ""
        if number < 0x10000:
            self._type(number.to_bytes(1 if number < 0x100 else 2, "big"), now_s)

    def _type(self, text: bytes, now_s: float) -> None:
        self._typed_s = now_s
        if len(self._typed) <= CODE_BYTES_MAX:  # one more than is allowed is enough to know it for noise
            self._typed += text

    def _end(self, now_s: float) -> list[Code | Paper]:
        payload = bytes(self._typed)
        self._typed.clear()
        return self._scans.read(payload, now_s)
