r"""An alarm receiver of the Sur-Gard MLR2 kind on a pty. It says a thing again until the box has acknowledged it.

Lines on stdin are messages: `E 1234 130 01 003` is a new event 130 of account 1234 in partition 01, zone 003; R in the
place of E is its restore, P that it is still so; `heartbeat` is one. Commands, beside those of `callbox-sim line`:

    !lose N      the next N answers of the box get lost on their way
    !garble N    the next N messages arrive with a wrong bit
"""

import argparse
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from agent.text import t
from simulators import line as panels
from simulators.line import LinePanel

ATTEMPTS: Final = 4
EVENT: Final = re.compile("([ERP]) ([0-9A-F]{4}) ([0-9A-F]{3}) ([0-9A-F]{2}) ([0-9A-F]{3})")
ALLOWED: Final = "E|R|P ACCOUNT EVENT PARTITION ZONE, heartbeat, !lose N, !garble N, "
HEARTBEAT: Final = f"1011{'@':>12}    "


@dataclass
class Faults:
    """What goes wrong next. answer_s: how long it waits for an answer."""

    lose: int = 0
    garble: int = 0
    answer_s: float = 4.0


def report(panel: LinePanel, faults: Faults, text: str) -> str:
    """Sends a message until it is acknowledged, as the receiver does; returns what to print."""
    for attempt in range(1, ATTEMPTS + 1):
        data = bytearray(text.encode() + b"\x14")
        if faults.garble:
            faults.garble -= 1
            data[len(data) // 2] ^= 0x40
        panel.send(bytes(data))
        answer = panel.receive(faults.answer_s)
        if answer and faults.lose:
            faults.lose -= 1
            panel.receive(faults.answer_s)  # it waits on for the answer that it has not heard
        elif answer.endswith(b"\x06"):
            return t("sim.surgard.taken", attempts=attempt)
    return t("sim.surgard.untaken", attempts=ATTEMPTS)


def obey(faults: Faults, panel: LinePanel, line: str) -> str:
    """Does one line of stdin; returns what to print."""
    word, _, rest = line.partition(" ")
    number = int(rest) if rest.isascii() and rest.isdigit() else None
    if found := EVENT.fullmatch(line):
        qualifier, account, event, partition, zone = found.groups()
        return report(panel, faults, f"5011 18{account}{qualifier}{event}{partition}{zone}")
    if line == "heartbeat":
        return report(panel, faults, HEARTBEAT)
    if word == "!lose" and number is not None:
        faults.lose = number
    elif word == "!garble" and number is not None:
        faults.garble = number
    else:
        return panels.obey(panel, line, end=b"\x14", more=ALLOWED)
    return line


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim surgard`."""
    parser = commands.add_parser("surgard", help=t("sim.help.surgard"), description=t("sim.surgard.about"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.set_defaults(func=lambda args: panels.run(args.link, partial(obey, Faults())))
