r"""A modem that sends text messages, as a pty. It prints the messages that it has "sent", a line each: NUMBER TEXT.

Faults, by `--fault` or on stdin as `!fault NAME`, until `!good`:

    nopin       the SIM wants a PIN, and takes 1234
    wrongpin    it wants one and takes none; after the third it wants its PUK
    nonetwork   it searches for one, and refuses messages (+CMS ERROR: 331)
    noprompt    AT+CMGS is not answered by a prompt
    urc         RING, +CMTI and +CREG come before every answer
    slow        every answer waits for a second
    errorN      a message is refused with +CMS ERROR: N
    garbage     random bytes come before every answer
    dies        it falls silent at the next AT+CMGS, until it is plugged in anew

Further commands on stdin: `!unplug` and `!plug`; any other line is said by the modem as it is.
"""

import argparse
import os
import random
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from agent.text import t
from simulators.line import LinePanel
from simulators.process import until_stopped

FAULT = re.compile(r"nopin|wrongpin|nonetwork|noprompt|urc|slow|error\d{1,3}|garbage|dies")
FAULTS = "nopin, wrongpin, nonetwork, noprompt, urc, slow, errorN, garbage, dies"
PIN = "1234"
PIN_TRIES = 3
SLOW_S = 1.0
URCS = b'\r\nRING\r\n\r\n+CMTI: "SM",3\r\n\r\n+CREG: 1\r\n'


class Modem(LinePanel):
    """A modem on a pty, in a thread of its own. `sent`: number and text of each message."""

    def __init__(
        self, link: Path | None = None, faults: Iterable[str] = (), tell: Callable[[str, str], None] | None = None
    ) -> None:
        """tell: called with each message, in the modem's thread."""
        self.faults = set(faults)
        self.sent: list[tuple[str, str]] = []
        self.pins: list[str] = []
        """All that were tried."""
        self.asked: list[str] = []
        """All commands."""
        self._tell = tell
        self._wide, self._to, self._messages = False, "", 0
        self._unlocked = False
        self._ended = threading.Event()
        super().__init__(link)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        super().close()

    def plug(self) -> None:
        """A modem that is plugged in has forgotten everything."""
        self._wide, self._to, self._unread, self._dead = False, "", b"", False
        super().plug()

    def _run(self) -> None:
        while not self._ended.is_set():
            ends = self._ends
            if ends is None:
                self._ended.wait(0.05)
                continue
            with suppress(OSError, ValueError):  # pulled out a moment ago
                if select.select([ends[0]], [], [], 0.05)[0]:
                    self._heard(os.read(ends[0], 4096))

    def _heard(self, data: bytes) -> None:
        self._unread += data
        while True:
            end = re.search(rb"[\x1a\x1b]" if self._to else rb"[\r\x1b]", self._unread)
            if end is None:
                return
            line, self._unread = self._unread[: end.start()], self._unread[end.end() :]
            if end[0] == b"\x1b":
                self._to = ""
            elif self._to:
                self._text(line)
            elif line.strip():
                self._command(line.decode("ascii", "replace").strip())

    def _command(self, command: str) -> None:
        self.asked.append(command)
        name, _, value = command.partition("=")
        locked = not self._unlocked and bool({"nopin", "wrongpin"} & self.faults)
        if command == "AT+CPIN?":
            puk = len(self.pins) >= PIN_TRIES and "wrongpin" in self.faults
            self._answer(f"+CPIN: {'SIM PUK' if puk else 'SIM PIN' if locked else 'READY'}", "OK")
        elif name == "AT+CPIN":
            self.pins.append(value.strip('"'))
            self._unlocked = self.pins[-1] == PIN and "wrongpin" not in self.faults
            self._answer("OK" if self._unlocked else "+CME ERROR: 16")
        elif command in ("AT+CREG?", "AT+CEREG?"):
            state = 2 if "nonetwork" in self.faults else 1
            self._answer(f"{command[2:-1]}: 0,{state}", "OK")
        elif name == "AT+CSCS":
            self._wide = value == '"UCS2"'
            self._answer("OK")
        elif name == "AT+CMGS" and (locked or "nonetwork" in self.faults):
            self._answer(f"+CMS ERROR: {311 if locked else 331}")
        elif name == "AT+CMGS":
            self._prompt(value.strip('"'))
        elif command == "AT" or name in ("ATE0", "AT+CMEE", "AT+CMGF", "AT+CSMP"):
            self._answer("OK")
        else:
            self._answer("ERROR")

    def _prompt(self, number: str) -> None:
        self._dead |= "dies" in self.faults
        if "noprompt" not in self.faults:
            self._to = self._decoded(number)
            self._say(b"\r\n> ")

    def _text(self, text: bytes) -> None:
        number, self._to = self._to, ""
        error = next((fault.removeprefix("error") for fault in self.faults if fault.startswith("error")), "")
        if error:
            self._answer(f"+CMS ERROR: {error}")
            return
        self._messages += 1
        self.sent.append((number, self._decoded(text.decode("ascii", "replace"))))
        if self._tell is not None:
            self._tell(*self.sent[-1])
        self._answer(f"+CMGS: {self._messages}", "", "OK")

    def _decoded(self, typed: str) -> str:
        return bytes.fromhex(typed).decode("utf-16-be") if self._wide else typed

    def _answer(self, *lines: str) -> None:
        if "slow" in self.faults:
            self._ended.wait(SLOW_S)
        if "garbage" in self.faults:
            self._say(random.randbytes(40) + b"\r\n")
        if "urc" in self.faults:
            self._say(URCS)
        self._say(b"".join(b"\r\n%b\r\n" % line.encode() for line in lines if line))

    def _say(self, data: bytes) -> None:
        if not self._dead:
            self.send(data)


def obey(modem: Modem, line: str) -> str:
    """Does one line of stdin; what is to be printed about it."""
    word, _, rest = line.partition(" ")
    match word:
        case "!unplug":
            modem.unplug()
            return t("sim.line.unplugged")
        case "!plug":
            modem.plug()
            return modem.path
        case "!good":
            modem.faults.clear()
        case "!fault" if FAULT.fullmatch(rest):
            modem.faults.add(rest)
        case _ if word.startswith("!"):
            return t("sim.line.unknown", found=line, allowed=f"!fault {{{FAULTS}}}, !good, !unplug, !plug")
        case _:
            modem.send(b"\r\n%b\r\n" % line.encode())
    return t("sim.modem.faults", faults=", ".join(sorted(modem.faults)) or "-")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim modem`."""
    parser = commands.add_parser("modem", help=t("sim.help.modem"), description=t("sim.modem.about"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.add_argument("--fault", action="append", default=[], type=_fault, metavar="NAME", help=FAULTS)
    parser.set_defaults(func=_run)


def _fault(text: str) -> str:
    if not FAULT.fullmatch(text):
        raise argparse.ArgumentTypeError(FAULTS)
    return text


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        modem = Modem(args.link, args.fault, lambda number, text: print(number, text, flush=True))
    except OSError as error:
        print(t("sim.line.failed", found=error), file=sys.stderr)
        return 1
    with modem, suppress(KeyboardInterrupt):
        print(modem.path, flush=True)
        for line in sys.stdin:
            print(obey(modem, line.rstrip("\n")), flush=True)
        until_stopped()
    return 0
