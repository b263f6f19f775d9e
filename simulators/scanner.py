r"""A scanner on a serial port, as a pty: each line on stdin is a scan, sent with CR.

\r, \n, \\ and \xNN stand for these bytes: `]C110AB\x1d217` is a GS1 code with its AIM identifier. Commands:

    !gbk TEXT       a scan whose text is GBK, not UTF-8
    !double TEXT    the same label twice, as a scanner reads one that is held before it
    !mrz [LAYOUT]   the zone of a document, line by line: td3 (as a default), td2, td1, mrva, mrvb
    !half TEXT      sends without an end
    !noise N        sends N random bytes
    !unplug         pulls the cable: the port is gone, and so is the link
    !plug           puts it back: a new port behind the same link
"""

import argparse
from pathlib import Path

from agent.text import t
from simulators import line as panel
from simulators.line import LinePanel

END = b"\r"
ZONES = {
    "td3": (b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", b"L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
    "td2": (b"I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", b"D231458907UTO7408122F1204159<<<<<<<6"),
    "td1": (b"I<UTOD231458907<<<<<<<<<<<<<<<", b"7408122F1204159UTO<<<<<<<<<<<6", b"ERIKSSON<<ANNA<MARIA<<<<<<<<<<"),
    "mrva": (b"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", b"L8988901C4XXX4009078F96121096ZE184226B<<<<<<"),
    "mrvb": (b"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", b"L8988901C4XXX4009078F9612109<<<<<<<<"),
}
"""The specimens of ICAO Doc 9303, parts 4 to 7."""


def obey(scanner: LinePanel, line: str) -> str:
    """Does one line of stdin; returns what to print."""
    word, _, rest = line.partition(" ")
    match word:
        case "!gbk" if rest:
            return panel.sent(scanner, rest.encode("gbk", "replace") + END)
        case "!double" if rest:
            return panel.sent(scanner, (panel.unescape(rest) + END) * 2)
        case "!mrz" if (rest or "td3") in ZONES:
            return panel.sent(scanner, END.join([*ZONES[rest or "td3"], b""]))
    return panel.obey(scanner, line, end=END, more="!gbk TEXT, !double TEXT, !mrz [LAYOUT], ")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim scanner`."""
    parser = commands.add_parser("scanner", help=t("sim.help.scanner"), description=t("sim.scanner.about"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.set_defaults(func=lambda args: panel.run(args.link, obey))
