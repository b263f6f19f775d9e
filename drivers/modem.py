"""A dialogue with a modem on a serial port: one command, its lines, its final result. What comes in between is skipped.

Raises DriverError when the modem is gone or does not answer, AtError when it answers that it could not.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from drivers.at import FINAL, PROMPT, RECEIPT, Lines, message, ucs2
from drivers.contract import DriverError
from drivers.serial_port import SerialPort

ANSWER_S: Final = 5.0
SEND_S: Final = 60.0
"""Networks take up to a minute for a message."""
WAIT_S: Final = 0.5
LINES_KEPT: Final = 20
"""Of an answer: its own are few, and what comes in between has no end."""
ESCAPE: Final = b"\x1b"
"""Ends a text that was begun, unsent; to a modem that waits for no text it is nothing."""
END: Final = b"\x1a"
CHECK: Final = "look at the cable and the power of the modem, and whether `baud` is its speed"


class AtError(Exception):
    """The modem could not: `final` is what it said."""

    def __init__(self, final: str) -> None:
        super().__init__(final)
        self.final = final


class Modem:
    """An open modem. where: its port, for errors. alive: called at least once a second while it is waited for."""

    def __init__(self, port: SerialPort, where: str, alive: Callable[[], bool]) -> None:
        self._port, self._where, self._alive = port, where, alive
        self._lines = Lines()
        self._wide: bool | None = None
        """Whether it was told that texts are UCS2."""

    def reset(self) -> None:
        """Out of whatever an earlier run has begun; twice, for a modem that finds its speed by the first."""
        self._wide = None
        self._port.write(ESCAPE)
        for last in (False, True):
            try:
                self.ask("AT")
                return
            except (AtError, DriverError):
                if last:
                    raise

    def ask(self, command: str) -> list[str]:
        """What it answers before OK. Raises AtError."""
        self.listen(0)
        self._port.write(command.encode("ascii") + b"\r")
        return self._answer(ANSWER_S)

    def send(self, number: str, text: str) -> None:
        """Sends one message, and returns when the network has it. Raises AtError."""
        wide, typed = message(text)
        if wide != self._wide:
            self.ask('AT+CSCS="UCS2"' if wide else 'AT+CSCS="GSM"')
            self.ask(f"AT+CSMP=17,167,0,{8 if wide else 0}")
            self._wide = wide
        self.listen(0)
        self._port.write(f'AT+CMGS="{ucs2(number) if wide else number}"\r'.encode("ascii"))
        self._await_prompt()
        self._port.write(typed.encode("ascii") + END)
        if not any(RECEIPT.fullmatch(line) for line in self._answer(SEND_S)):
            raise AtError("OK without +CMGS")

    def listen(self, wait_s: float) -> None:
        """Takes in what nobody asked for: RING, +CMTI, +CREG."""
        self._lines.feed(self._port.read(wait_s))

    def take_noise(self) -> int:
        return self._lines.take_noise()

    def error(self, found: str, hint: str) -> DriverError:
        return DriverError(self._where, found, hint)

    def _answer(self, wait_s: float) -> list[str]:
        said: list[str] = []
        for line in self._until(wait_s, "the modem does not answer"):
            if line == "OK":
                break
            if FINAL.fullmatch(line):
                raise AtError(line)
            said = [*said, line][-LINES_KEPT:]
        return said

    def _await_prompt(self) -> None:
        try:
            for line in self._until(ANSWER_S, "the modem gives no prompt for a text"):
                if line == PROMPT:
                    return
                if FINAL.fullmatch(line):
                    raise AtError(line)
        except DriverError:
            self._port.write(ESCAPE)
            raise

    def _until(self, wait_s: float, found: str) -> Iterator[str]:
        """Lines as they come. Raises DriverError after that time, and when the box ends."""
        until_s = time.monotonic() + wait_s
        while self._alive() and (left_s := until_s - time.monotonic()) > 0:
            yield from self._lines.feed(self._port.read(min(left_s, WAIT_S)))
        raise self.error(found, CHECK)
