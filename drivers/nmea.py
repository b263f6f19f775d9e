r"""NMEA 0183, as satellite receivers speak it: bytes and the time in, readings out. Pure.

    $GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n

RMC, GGA and ZDA are read, of any talker in TALKERS; other sentences are well and tell nothing. The checksum is
demanded: it is the XOR of the bytes between $ and *, in two hexadecimal digits. A line without it, or with another, is
noise, and so is a sentence whose fields are none.

A receiver that has no fix says so (status V, quality 0, mode N): the Fix has no position and no time then, for without
a fix the time is a guess of the receiver's own. Nor has one that is estimated, typed in or simulated (modes E, M, S).

A receiver that tells none of the three for SILENT_S is offline, and good again with the next one.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from typing import Final

from drivers.contract import Fix, Health, Reading

LINE_BYTES_MAX: Final = 256
"""NMEA allows 82; receivers of many constellations send more."""
TALKERS: Final = frozenset({"GP", "GN", "GL", "GA", "GB", "BD", "GQ"})
"""GPS, several together, GLONASS, Galileo, BeiDou by two names, QZSS."""
SILENT_S: Final = 10.0
BESIDE_S: Final = 5.0
"""What one sentence told goes with another for so long: receivers tell all of a moment within a second."""
KNOT_MPS: Final = 1852 / 3600
DAY_S: Final = 86_400.0
DD: Final = "[0-9][0-9]"

_LINE_END = re.compile(rb"[\r\n]")
_SENTENCE = re.compile(rb"\$([ -)+-~]+)\*([0-9A-Fa-f]{2})")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9]|60)(\.[0-9]{1,6})?")
_LATITUDE = re.compile(r"([0-9][0-9])([0-5][0-9](?:\.[0-9]{1,9})?)")
_LONGITUDE = re.compile(r"([0-9]{3})([0-5][0-9](?:\.[0-9]{1,9})?)")
_NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")
_RMC_MODES = frozenset("ADPRF")
_GGA_QUALITIES = frozenset("12345")
"""Of a position that is measured (NMEA 2.3): autonomous, differential, precise, RTK by two names."""


class NmeaParser:
    """Knows no port and no clock. One Fix for each RMC; of a receiver that sends none, for each GGA."""

    def __init__(self, inputs: Sequence[str]) -> None:
        """inputs: ids that each get every fix."""
        self._inputs = inputs
        self._unread = b""
        self._heard_s: float | None = None
        self._bytes = 0
        self._good: bool | None = None
        self._rmc_s = self._zda_s = float("-inf")
        self._zda_utc_s = 0.0
        self._beside = Fix("", None, None, float("-inf"))
        """The newest GGA, whose satellites an RMC does not tell."""
        self._noise = 0

    def feed(self, data: bytes, now_s: float) -> list[Reading]:
        """The readings of the lines that end in `data`, in order; half a line waits for its end. To be asked without
        data too, once a second or so: silence is told then.
        """
        if self._heard_s is None:
            self._heard_s = self._rmc_s = now_s
        self._bytes += len(data)
        *lines, rest = _LINE_END.split(self._unread + data)
        self._unread = rest[: LINE_BYTES_MAX + 1]  # one more than allowed is enough to know a line for noise at its end
        readings = [reading for line in lines if line for reading in self._line(line, now_s)]
        if now_s >= self._heard_s + SILENT_S and self._good is not False:
            self._good = False
            reason = (
                f"{self._bytes} bytes, and no RMC, GGA or ZDA with a right checksum among them: look at the baud rate,"
                " and at what the receiver is set to send"
                if self._bytes
                else "the receiver says nothing: look at its cable and its power"
            )
            readings.append(Health("", "offline", reason, now_s))
        return [replace(reading, input=name) for reading in readings for name in self._inputs]

    def take_noise(self) -> int:
        """Lines that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _line(self, line: bytes, now_s: float) -> list[Reading]:
        if len(line) > LINE_BYTES_MAX:
            self._noise += 1
            return []
        if (begin := line.rfind(b"$")) > 0:  # a sentence that was torn, and then a whole one
            self._noise += 1
        sentence = _SENTENCE.fullmatch(line[max(begin, 0) :])
        if sentence is None or reduce(xor, sentence[1]) != int(sentence[2], 16):
            self._noise += 1
            return []
        name, *fields = sentence[1].decode("ascii").split(",")
        if name[:2] not in TALKERS or name[2:] not in ("RMC", "GGA", "ZDA"):
            return []
        try:
            fix = {"RMC": self._rmc, "GGA": self._gga, "ZDA": self._zda}[name[2:]](fields, now_s)
        except (ValueError, IndexError):
            self._noise += 1
            return []
        readings: list[Reading] = [] if self._good else [Health("", "good", "", now_s)]
        self._heard_s, self._bytes, self._good = now_s, 0, True
        return readings if fix is None else [*readings, fix]

    def _rmc(self, fields: list[str], now_s: float) -> Fix:
        """0 time, 1 A or V, 2 to 5 position, 6 knots, 7 course, 8 ddmmyy, 11 mode (from NMEA 2.3 on)."""
        if fields[1] not in ("A", "V"):
            raise ValueError(fields[1])
        self._rmc_s = now_s
        if fields[1] == "V" or (fields[11:] and fields[11] not in _RMC_MODES):
            return Fix("", None, None, now_s)
        day, month, year = map(int, _whole(f"({DD})({DD})({DD})", fields[8]).groups())
        midnight_s = _midnight_s(1900 + year if year >= 80 else 2000 + year, month, day)  # GPS began in 1980
        beside = self._beside if now_s < self._beside.seen_s + BESIDE_S else None
        return Fix(
            "",
            *_position(fields[2:6]),
            now_s,
            speed_mps=round(knots * KNOT_MPS, 2) if (knots := _number(fields[6])) is not None else None,
            course_deg=course if (course := _number(fields[7])) is not None and course <= 360 else None,
            satellites=beside.satellites if beside else None,
            hdop=beside.hdop if beside else None,
            utc_s=midnight_s + _time_s(fields[0]),
        )

    def _gga(self, fields: list[str], now_s: float) -> Fix | None:
        """0 time, 1 to 4 position, 5 quality, 6 satellites, 7 HDOP. It has no date: ZDA brings that."""
        if not re.fullmatch(r"[0-9]", fields[5]):
            raise ValueError(fields[5])
        fix = Fix("", None, None, now_s)
        if fields[5] in _GGA_QUALITIES:
            time_s, satellites = _time_s(fields[0]), _number(fields[6])
            utc_s = None
            if now_s < self._zda_s + BESIDE_S:
                utc_s = time_s + DAY_S * round((self._zda_utc_s - time_s) / DAY_S)
            latitude, longitude = _position(fields[1:5])
            satellites_seen = int(satellites) if satellites is not None else None
            fix = Fix("", latitude, longitude, now_s, satellites=satellites_seen, hdop=_number(fields[7]), utc_s=utc_s)
        self._beside = fix
        return None if now_s < self._rmc_s + BESIDE_S else fix

    def _zda(self, fields: list[str], now_s: float) -> None:
        """0 time, 1 day, 2 month, 3 year in four digits; all are empty while the receiver does not know."""
        if not any(fields[:4]):
            return
        day, month, year = (int(_whole(pattern, fields[n])[0]) for n, pattern in ((1, DD), (2, DD), (3, DD + DD)))
        self._zda_s, self._zda_utc_s = now_s, _midnight_s(year, month, day) + _time_s(fields[0])


def _whole(pattern: str | re.Pattern[str], field: str) -> re.Match[str]:
    """Raises ValueError where the field is something else."""
    if (match := re.fullmatch(pattern, field)) is None:
        raise ValueError(field)
    return match


def _time_s(field: str) -> float:
    """hhmmss.ss as seconds of the day; a leap second is the second after."""
    hours, minutes, seconds, part = _whole(_TIME, field).groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(part or 0)


def _midnight_s(year: int, month: int, day: int) -> float:
    """Raises ValueError for a day that there is not."""
    return (datetime(year, month, day, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)


def _position(fields: list[str]) -> tuple[float, float]:
    """ddmm.mmm,N or S,dddmm.mmm,E or W as degrees, north and east positive."""
    (latitude, north, longitude, east) = fields
    if north not in ("N", "S") or east not in ("E", "W"):
        raise ValueError(f"{north}, {east}")
    degrees = [
        int(match[1]) + float(match[2]) / 60 for match in (_whole(_LATITUDE, latitude), _whole(_LONGITUDE, longitude))
    ]
    if degrees[0] > 90 or degrees[1] > 180:
        raise ValueError(f"{latitude}, {longitude}")
    return round(degrees[0] * (1 if north == "N" else -1), 7), round(degrees[1] * (1 if east == "E" else -1), 7)


def _number(field: str) -> float | None:
    """None for an empty field: a receiver that stands has no course."""
    return float(_whole(_NUMBER, field)[0]) if field else None
