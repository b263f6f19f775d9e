r"""An alarm panel on a serial port, as a pty: it speaks into the cable whether somebody listens or not.

Lines on stdin are sent with CR LF; \r, \n, \\ and \xNN in them stand for these bytes. Commands:

    !half TEXT    sends without an end
    !noise N      sends N random bytes
    !unplug       pulls the cable: the port is gone, and so is the link
    !plug         puts it back: a new port behind the same link
"""

import argparse
import os
import pty
import random
import re
import select
import signal
import sys
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from agent.text import t
from simulators.process import until_stopped

SEND_TIMEOUT_S = 1.0
RECEIVE_BYTES = 4096
ESCAPE = re.compile(rb"\\(r|n|\\|x[0-9A-Fa-f]{2})")
NAMED = {b"r": b"\r", b"n": b"\n", b"\\": b"\\"}


class LinePanel:
    """A panel on a pty, plugged in from the start. Raises OSError when no pty is left or `link` cannot be made.

    link: a name that stays over unplug and plug, as udev's /dev/serial/by-id does; a link of that name is replaced.
    """

    def __init__(self, link: Path | None = None) -> None:
        self.link = link
        self._ends: tuple[int, int] | None = None
        self._pty = ""
        self.plug()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """What stands as `port` in the config: the link, or without one the pty of this moment."""
        return str(self.link or self._pty)

    def plug(self) -> None:
        """A new port appears. Does nothing while it is plugged in."""
        if self._ends:
            return
        panel, box = pty.openpty()
        tty.setraw(box)  # else the kernel would echo what the panel says back to it
        os.set_blocking(panel, False)
        self._ends, self._pty = (panel, box), os.ttyname(box)
        if self.link:
            if self.link.is_symlink():
                self.link.unlink()
            self.link.symlink_to(self._pty)

    def unplug(self) -> None:
        """The port vanishes; who has it open sees it hang up. Does nothing while it is unplugged."""
        if not self._ends:
            return
        if self.link:
            self.link.unlink(missing_ok=True)
        for end in self._ends:
            os.close(end)
        self._ends = None

    def close(self) -> None:
        """The same as unplug."""
        self.unplug()

    def send(self, data: bytes) -> int:
        """How many bytes went out: none while unplugged; those that nobody reads within SEND_TIMEOUT_S are lost."""
        sent = 0
        while self._ends and sent < len(data) and select.select([], [self._ends[0]], [], SEND_TIMEOUT_S)[1]:
            with suppress(BlockingIOError):  # there was less room than select thought
                sent += os.write(self._ends[0], data[sent:])
        return sent

    def receive(self, wait_s: float) -> bytes:
        """What the box sent; waits for it no longer than `wait_s`, then b"", as while unplugged."""
        if not self._ends or not select.select([self._ends[0]], [], [], wait_s)[0]:
            return b""
        return os.read(self._ends[0], RECEIVE_BYTES)


def unescape(text: str) -> bytes:
    r"""The bytes of a typed line, UTF-8, with \r, \n, \\ and \xNN as the bytes they stand for."""
    return ESCAPE.sub(lambda found: NAMED.get(found[1]) or bytes.fromhex(found[1][1:].decode()), text.encode())


def obey(panel: LinePanel, line: str, *, end: bytes = b"\r\n", more: str = "") -> str:
    """Does one line of stdin; returns what to print. end: of what is sent; more: commands that the caller knows."""
    word, _, rest = line.partition(" ")
    match word:
        case "!unplug" if not rest:
            panel.unplug()
            return t("sim.line.unplugged")
        case "!plug" if not rest:
            panel.plug()
            return panel.path
        case "!half":
            data = unescape(rest)
        case "!noise" if rest.isascii() and rest.isdigit():
            data = random.randbytes(int(rest))
        case _ if word.startswith("!"):
            return t("sim.line.unknown", found=line, allowed=f"{more}!half TEXT, !noise N, !unplug, !plug")
        case _:
            data = unescape(line) + end
    return sent(panel, data)


def sent(panel: LinePanel, data: bytes) -> str:
    """Sends it; returns what to print."""
    return t("sim.line.sent", sent=panel.send(data), of=len(data))


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim line`."""
    parser = commands.add_parser("line", help=t("sim.help.line"), description=t("sim.line.about"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.set_defaults(func=lambda args: run(args.link, obey))


def run(
    link: Path | None, obey: Callable[[LinePanel, str], str], begin: Callable[[LinePanel], None] | None = None
) -> int:
    """A panel that does what stdin says, until it is stopped; returns the exit code. begin: called once it is there."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        panel = LinePanel(link)
    except OSError as error:
        print(t("sim.line.failed", found=error), file=sys.stderr)
        return 1
    with panel, suppress(KeyboardInterrupt):
        print(panel.path, flush=True)
        if begin:
            begin(panel)
        for line in sys.stdin:
            print(obey(panel, line.rstrip("\n")), flush=True)
        until_stopped()  # the input has ended, the panel has not
    return 0
