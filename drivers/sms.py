"""Text messages by a modem on a serial port, for alarms alone: the last way out.

A report counts once the network has taken it for one of the numbers (`+CMGS: n`); for the others it is tried a few
times more. A PIN that the SIM has refused is never tried again, also after a restart: the third wrong one locks it.
"""

import hashlib
import os
import re
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from drivers.at import AT_HOME, DENIED, REGISTERED, explain, is_final
from drivers.contract import DriverError, PathHost, Report
from drivers.modem import AtError, Modem
from drivers.serial_port import SerialPort

REGISTER_S: Final = 60.0
LOOK_S: Final = 60.0
"""Without a message the modem is asked so often whether it has a network."""
WAIT_S: Final = 0.5
NUMBER_TRIES: Final = 3
"""Of one number for one report, when another number has it already."""
HOUR_S: Final = 3600.0
SETTINGS: Final = ("ATE0", "AT+CMEE=1", "AT+CMGF=1", 'AT+CSCS="GSM"')
"""No echo, errors by number, messages as text, texts in the alphabet of GSM."""


@dataclass(frozen=True, slots=True)
class SmsOptions:
    """Text messages by a modem."""

    port: str = field(metadata={"doc": "serial device of the modem, best by a name that stays: /dev/serial/by-id/..."})
    to: tuple[str, ...] = field(metadata={"doc": "numbers with their country, as +8613800000000, 1 to 10 of them"})
    baud: int = field(default=115200, metadata={"doc": "speed, always 8N1", "unit": "bit/s"})
    pin_file: Path | None = field(default=None, metadata={"doc": "file that holds the SIM's PIN; default: it has none"})
    per_hour: int = field(default=20, metadata={"doc": "messages in an hour at most, 1 to 1000; the others wait"})

    def __post_init__(self) -> None:
        if not self.port:
            raise ValueError("port: found nothing, allowed is the path of a serial device")
        if not 1 <= len(self.to) <= 10:
            raise ValueError(f"to: found {len(self.to)} numbers, allowed are 1 to 10")
        for number in self.to:
            if not re.fullmatch(r"\+[1-9]\d{6,14}", number, re.ASCII):
                raise ValueError(f"to: found {number!r}, allowed are numbers with their country, as +8613800000000")
        if type(self.baud) is not int or not 50 <= self.baud <= 4_000_000:
            raise ValueError(f"baud: found {self.baud!r}, allowed is a speed from 50 to 4000000 bit/s")
        if type(self.per_hour) is not int or not len(self.to) <= self.per_hour <= 1000:
            raise ValueError(f"per_hour: found {self.per_hour!r}, allowed are {len(self.to)} (one a number) to 1000")


class SmsPath:
    """Raises DriverError when the modem is gone, silent or without a network; `run` opens it anew."""

    Options: ClassVar[type[Any]] = SmsOptions
    classes: ClassVar[frozenset[Literal["alarm", "trouble"]]] = frozenset({"alarm"})

    def __init__(self, name: str, options: SmsOptions) -> None:  # noqa: ARG002  a port says more to its reader
        self.noise = 0
        self._options = options
        self._sent_s: deque[float] = deque()
        self._seq = 0
        self._done: dict[str, str] = {}
        """Of report `_seq`: numbers that have it (""), and those that never will, with the reason."""
        self._tries = 0

    def run(self, host: PathHost) -> None:
        """Opens the modem, waits for its network, sends what there is. Raises DriverError."""
        with SerialPort(self._options.port, self._options.baud) as port:
            modem = Modem(port, self._options.port, host.alive)
            try:
                self._converse(modem, host)
            except AtError as error:
                raise self._error(explain(error.final), "it is tried again") from error
            finally:
                self.noise += modem.take_noise()

    def _converse(self, modem: Modem, host: PathHost) -> None:
        modem.reset()
        for setting in SETTINGS:
            modem.ask(setting)
        self._unlock(modem, host)
        self._await_network(modem, host)
        look_s = time.monotonic() + LOOK_S
        while host.alive():
            if time.monotonic() >= look_s:
                self._await_network(modem, host)
                look_s = time.monotonic() + LOOK_S
            elif self._restraint_s() > 0:
                modem.listen(WAIT_S)
            elif (report := host.next(WAIT_S)) is not None:
                self._report(report, modem, host)
            else:
                modem.listen(0)

    def _restraint_s(self) -> float:
        """How long the next report has to wait, so that an hour has no more than `per_hour` messages."""
        now_s = time.monotonic()
        while self._sent_s and self._sent_s[0] <= now_s - HOUR_S:
            self._sent_s.popleft()
        over = len(self._sent_s) + len(self._options.to) - self._options.per_hour
        return self._sent_s[over - 1] + HOUR_S - now_s if over > 0 else 0.0

    def _unlock(self, modem: Modem, host: PathHost) -> None:
        said = [line.removeprefix("+CPIN:").strip() for line in modem.ask("AT+CPIN?") if line.startswith("+CPIN:")]
        if said == ["READY"]:
            return
        if said != ["SIM PIN"]:
            raise self._error(f"the SIM is locked ({', '.join(said) or 'no answer'})", "unlock it in a phone")
        if (file := self._options.pin_file) is None:
            raise self._error(
                "the SIM wants its PIN", "name a file that holds it, `pin_file`, or take the PIN off the SIM"
            )
        pin, right = _pin(file), f"put the right one into {file}: the third wrong one locks the SIM"
        mark = hashlib.sha256(f"{self._options.port} {pin}".encode()).hexdigest()[:16]
        if host.memory() == mark:
            raise self._error("the SIM has refused this PIN, and it is not tried again", right)
        host.remember(mark)  # before it is tried: whatever comes in between, it is not tried twice
        try:
            modem.ask(f'AT+CPIN="{pin}"')
        except AtError as error:
            raise self._error(f"the SIM has refused its PIN: {explain(error.final)}", right) from error
        host.remember("")

    def _await_network(self, modem: Modem, host: PathHost) -> None:
        """Until it is registered; a modem takes half a minute for that. Raises DriverError."""
        until_s = time.monotonic() + REGISTER_S
        while host.alive():
            states = _states(modem)
            if any(state in AT_HOME for state in states):
                host.good()
                return
            if states and all(state == DENIED for state in states):
                raise self._error("the network refuses this SIM", "ask its operator whether it is active")
            if time.monotonic() >= until_s:
                raise self._error("no network", "check the antenna and the place, and whether the SIM is active")
            modem.listen(WAIT_S)

    def _report(self, report: Report, modem: Modem, host: PathHost) -> None:
        if report.seq != self._seq:
            self._seq, self._done, self._tries = report.seq, {}, 0
        self._tries += 1
        failed = ""
        for number in self._options.to:
            if number in self._done:
                continue
            try:
                modem.send(number, report.text)
            except AtError as error:
                if is_final(error.final):
                    self._done[number] = f"{number}: {explain(error.final)}"
                else:
                    failed = explain(error.final)
                continue
            self._done[number] = ""
            self._sent_s.append(time.monotonic())
        sent = "" in self._done.values()
        if failed and not (sent and self._tries >= NUMBER_TRIES):
            raise self._error(failed, "it is tried again")
        host.good()
        if sent:
            host.delivered(report.seq)
        else:
            host.refused(report.seq, "; ".join(self._done.values()))

    def _error(self, found: str, hint: str) -> DriverError:
        return DriverError(self._options.port, found, hint)


def _pin(file: Path) -> str:
    """Raises DriverError."""
    try:
        pin = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        found = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no PIN in it"
        raise DriverError(str(file), found, "the config names this file: see that callbox may read it") from error
    if not re.fullmatch(r"\d{4,8}", pin):
        raise DriverError(str(file), "no PIN in it", "a PIN has 4 to 8 digits")
    return pin


def _states(modem: Modem) -> list[str]:
    """How it is registered, in the older networks and in the newer ones; a modem may know one question alone."""
    states: list[str] = []
    for command in ("AT+CREG?", "AT+CEREG?"):
        with suppress(AtError):
            states += [found[1] for line in modem.ask(command) if (found := REGISTERED.fullmatch(line))]
    return states
