r"""A satellite receiver on a pty: NMEA 0183 once a second (GGA, RMC), on a round of 400 m, with this machine's time.

A word on stdin is what is wrong with it from then on:

    good        nothing
    void        it sees no satellite: status V, quality 0
    stale       it hangs: the same sentences again and again
    jump        it lies: an hour and a degree from where it was
    checksum    each checksum is wrong
    half        each sentence is cut in its middle, and the next one comes in the same line
    silence     it says nothing
    unplug      the port is gone; plug brings it back
"""

import argparse
import math
import os
import select
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from pathlib import Path

from agent.text import t
from simulators.line import LinePanel

FAULTS = ("good", "void", "stale", "jump", "checksum", "half", "silence")
WORDS = (*FAULTS, "unplug", "plug")
ROUND_M = 400.0
SPEED_MPS = 5.0
DEGREE_M = 111_320.0
JUMP_S = 3600.0


class Receiver:
    """What it would say at a moment; `fault` is one of FAULTS."""

    def __init__(self, latitude: float, longitude: float) -> None:
        """Degrees of the middle of its round."""
        self._middle = latitude, longitude
        self._hung_s: float | None = None
        self.fault = "good"

    def says(self, utc_s: float) -> bytes:
        """The sentences of one second; utc_s: seconds since 1970."""
        if self.fault == "silence":
            return b""
        if self.fault != "stale":
            self._hung_s = None
        elif self._hung_s is None:
            self._hung_s = utc_s
        utc_s = self._hung_s if self._hung_s is not None else utc_s
        latitude, longitude, course = self.place(utc_s)
        if self.fault == "jump":
            utc_s, latitude = utc_s + JUMP_S, latitude + 1
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=utc_s)
        clock, day = f"{at:%H%M%S}.{at.microsecond // 10_000:02d}", f"{at:%d%m%y}"
        if self.fault == "void":
            bodies = [f"GNGGA,{clock},,,,,0,00,99.99,,,,,,", f"GNRMC,{clock},V,,,,,,,{day},,,N"]
        else:
            place = f"{_degrees(latitude, 2, 'NS')},{_degrees(longitude, 3, 'EW')}"
            bodies = [
                f"GNGGA,{clock},{place},1,09,0.9,44.0,M,46.9,M,,",
                f"GNRMC,{clock},A,{place},{SPEED_MPS * 3600 / 1852:.2f},{course:.1f},{day},,,A",
            ]
        return b"".join(self._framed(body) for body in bodies)

    def place(self, utc_s: float) -> tuple[float, float, float]:
        """Latitude, longitude and course at a moment, in degrees."""
        turn = 2 * math.pi * (utc_s * SPEED_MPS % ROUND_M) / ROUND_M
        radius = ROUND_M / (2 * math.pi) / DEGREE_M
        latitude = self._middle[0] + radius * math.cos(turn)
        longitude = self._middle[1] + radius * math.sin(turn) / math.cos(math.radians(self._middle[0]))
        return latitude, longitude, (math.degrees(turn) + 90) % 360

    def _framed(self, body: str) -> bytes:
        checksum = reduce(xor, body.encode()) ^ (self.fault == "checksum")
        whole = f"${body}*{checksum:02X}\r\n".encode()
        return whole[: len(whole) // 2] if self.fault == "half" else whole


def _degrees(value: float, digits: int, ends: str) -> str:
    """ddmm.mmmmm and the end of the earth."""
    degrees, minutes = divmod(round(abs(value) * 60e5), 6_000_000)
    return f"{degrees:0{digits}d}{minutes / 1e5:08.5f},{ends[value < 0]}"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Registers `callbox-sim gps`."""
    parser = commands.add_parser("gps", help=t("sim.help.gps"), description=t("sim.gps.about"))
    parser.add_argument("--link", type=Path, metavar="PATH", help=t("sim.line.link"))
    parser.add_argument(
        "--at", type=float, nargs=2, metavar=("LAT", "LON"), default=(31.2304, 121.4737), help=t("sim.gps.at")
    )
    parser.set_defaults(func=_run)


def _run(args: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cable = LinePanel(args.link)
    except OSError as error:
        print(t("sim.line.failed", found=error), file=sys.stderr)
        return 1
    receiver = Receiver(*args.at)
    with cable, suppress(KeyboardInterrupt):
        print(cable.path, flush=True)
        listened, unread = [sys.stdin.fileno()], ""
        while True:
            cable.send(receiver.says(time.time()))
            until_s = time.monotonic() + 1.0
            while (left_s := until_s - time.monotonic()) > 0:
                if not select.select(listened, [], [], left_s)[0]:
                    continue
                if not (typed := os.read(listened[0], 4096)):
                    listened = []  # the input has ended, the receiver has not
                *words, unread = (unread + typed.decode(errors="replace")).split("\n")
                for word in filter(None, map(str.strip, words)):
                    print(obey(receiver, cable, word), flush=True)
    return 0


def obey(receiver: Receiver, cable: LinePanel, word: str) -> str:
    """Does one word of stdin; returns what to print."""
    if word == "unplug":
        cable.unplug()
    elif word == "plug":
        cable.plug()
    elif word in FAULTS:
        receiver.fault = word
    else:
        return t("sim.line.unknown", found=word, allowed=", ".join(WORDS))
    return cable.path if word == "plug" else word
