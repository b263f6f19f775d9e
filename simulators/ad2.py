r"""An intrusion panel behind an AlarmDecoder, on a pty: its keypads show what is wrong with it in turn.

Lines on stdin, beside the commands of `callbox-sim line`; what is none of these is sent as it is:

    fault N   restore N     a zone
    rf SERIAL BITS          a radio sensor sends, BITS in hexadecimal
    lrr EVENT Q ZONE        a report by Contact ID; Q is 1 new or 3 restored
    !dead on|off            the device answers nothing and shows nothing
"""

import argparse
import re
import threading
from functools import partial
from pathlib import Path
from typing import Final

from agent.text import t
from simulators import line as panels
from simulators.line import LinePanel

DISPLAY_S: Final = 2.0
VERSION: Final = b"!VER:ffffffff,V2.2a.8.8,TX;RX;SM;VZ;RF;ZX;RE;AU;3X;CG;DD;MF;L2;KE;M2;CB;DS;ER\r\n"
ALLOWED: Final = "fault N, restore N, rf SERIAL BITS, lrr EVENT Q ZONE, !dead on|off, "
WORDS: Final = re.compile(
    r"(?P<zone>fault|restore) (?P<number>\d{1,3})|rf (?P<serial>\d{7}) (?P<bits>[0-9A-Fa-f]{2})"
    r"|lrr (?P<event>[1-9]\d\d) (?P<qualifier>[136]) (?P<who>\d{1,3})|!dead (?P<dead>on|off)",
    re.ASCII,
)


class Panel:
    """What the keypads show, one display after the other."""

    def __init__(self) -> None:
        self.faults: set[int] = set()
        self.dead = False
        self._shown = 0
        self.lock = threading.Lock()

    def display(self) -> bytes:
        """The next one: READY, or the next faulted zone."""
        if not self.faults:
            text, number, ready = "****DISARMED****  Ready to Arm  ", 8, 1
        else:
            self._shown = number = min((z for z in self.faults if z > self._shown), default=min(self.faults))
            text, ready = f"FAULT {number:02} ZONE {number}", 0
        raw = f"f70600ff1{number:03}001c08020000000000"
        return f'[{ready}0010001000000000A--],{number:03},[{raw}],"{text:32}"\r\n'.encode()

    def tick(self, wire: LinePanel) -> None:
        """Answers the box, and shows the next display."""
        with self.lock:
            asked = wire.receive(0)
            if not self.dead:
                wire.send((VERSION if b"V" in asked else b"") + self.display())


def obey(panel: Panel, wire: LinePanel, line: str) -> str:
    """Does one line of stdin; returns what to print."""
    with panel.lock:
        found = WORDS.fullmatch(line)
        if not found:
            return panels.obey(wire, line, more=ALLOWED)
        if found["zone"]:
            number = int(found["number"])
            if found["zone"] == "restore":
                panel.faults.discard(number)
            else:
                panel.faults.add(number)
                panel._shown = number - 1  # a new fault is shown at once
            return panels.sent(wire, b"" if panel.dead else panel.display())
        if found["serial"]:
            return panels.sent(wire, f"!RFX:{found['serial']},{found['bits']}\r\n".encode())
        if found["event"]:
            cid = f"CID_{found['qualifier']}{found['event']}"
            return panels.sent(wire, f"!LRR:{int(found['who']):03},1,{cid},ff\r\n".encode())
        panel.dead = found["dead"] == "on"
        return line


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim ad2`."""
    parser = commands.add_parser("ad2", help=t("sim.help.ad2"), description=t("sim.ad2.about"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    panel, stop = Panel(), threading.Event()

    def show(wire: LinePanel) -> None:
        while not stop.wait(DISPLAY_S):
            panel.tick(wire)

    def plugged(wire: LinePanel) -> None:
        threading.Thread(target=show, args=(wire,), name="keypads", daemon=True).start()

    try:
        return panels.run(args.link, partial(obey, panel), plugged)
    finally:
        stop.set()
