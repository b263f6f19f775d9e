r"""gpsd, where it runs: its fixes over TCP, as lines of JSON (gpsd_json(5)).

    box -> gpsd   ?WATCH={"enable":true,"json":true};
    gpsd -> box   {"class":"VERSION",...}\r\n   {"class":"SKY",...}   {"class":"TPV","mode":3,"lat":...,"lon":...}

A TPV is a fix, with mode 2 or 3 one of a place that is known. gpsd tells TPVs while its receiver speaks: none for
SILENT_S is a receiver that is gone, or a connection that is, and it is made anew.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from drivers.contract import Fix, Host
from drivers.gps import PositionInput
from drivers.ip_line import IpLine, address

READ_WAIT_S: Final = 0.5
SILENT_S: Final = 10.0
LINE_BYTES_MAX: Final = 16_384
"""gpsd's own limit is 10,240 (GPS_JSON_RESPONSE_MAX)."""
WATCH: Final = b'?WATCH={"enable":true,"json":true};\n'
HINT: Final = "look whether gpsd runs there (systemctl status gpsd.socket), and whether cgps shows a receiver"


@dataclass(frozen=True, slots=True)
class GpsdOptions:
    """Where gpsd listens."""

    tcp: str = field(default="127.0.0.1:2947", metadata={"doc": "HOST:PORT of gpsd"})

    def __post_init__(self) -> None:
        address(self.tcp)


class GpsdDriver:
    """Raises DriverError when gpsd, or its receiver, is gone; `run` connects anew."""

    Options: ClassVar[type[Any]] = GpsdOptions
    Input: ClassVar[type[Any]] = PositionInput
    Output: ClassVar[type[Any] | None] = None

    def __init__(
        self,
        name: str,  # noqa: ARG002  an address says more to its reader than our name for it
        options: GpsdOptions,
        inputs: Mapping[str, PositionInput],
        outputs: Mapping[str, Any],  # noqa: ARG002  there are none
    ) -> None:
        self.noise = 0
        self._options = options
        self._inputs = list(inputs)

    def run(self, host: Host) -> None:
        """Connects, asks for fixes and emits them. Raises DriverError."""
        parser = GpsdParser()
        with IpLine(self._options.tcp, host.alive, HINT) as port:
            port.write(WATCH)
            heard_s = time.monotonic()
            while host.alive():
                fixes = parser.feed(port.read(READ_WAIT_S), now_s := time.monotonic())
                self.noise += parser.take_noise()
                if fixes:
                    heard_s = now_s
                elif now_s >= heard_s + SILENT_S:
                    raise port.gone(f"gpsd is there, and has told no fix for {SILENT_S:.0f} s")
                for fix in fixes:
                    for name in self._inputs:
                        host.emit(replace(fix, input=name))

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        """Raises KeyError: this wire has no outputs."""
        raise KeyError(output)


class GpsdParser:
    """Bytes and the time in, fixes out, of no input yet. Knows no socket and no clock."""

    def __init__(self) -> None:
        self._unread = b""
        self._satellites: int | None = None
        self._hdop: float | None = None
        self._noise = 0

    def feed(self, data: bytes, now_s: float) -> list[Fix]:
        """The fixes of the lines that end in `data`, in order; half a line waits for its end."""
        *lines, rest = (self._unread + data).split(b"\n")
        self._unread = rest[: LINE_BYTES_MAX + 1]  # one more than allowed is enough to know a line for noise at its end
        return [fix for line in lines if line.strip() and (fix := self._line(line, now_s)) is not None]

    def take_noise(self) -> int:
        """Lines that made no sense since the last call."""
        noise, self._noise = self._noise, 0
        return noise

    def _line(self, line: bytes, now_s: float) -> Fix | None:
        try:
            told: Any = json.loads(line) if len(line) <= LINE_BYTES_MAX else None
        except (ValueError, RecursionError):
            told = None
        match told:
            case {"class": "TPV"}:
                return self._tpv(told, now_s)
            case {"class": "SKY"}:
                self._hdop = _number(told, "hdop", 0, 9999)
                used = _number(told, "uSat", 0, 999)
                self._satellites = int(used) if used is not None else None
            case {"class": str()}:
                pass  # VERSION, DEVICES, WATCH, what later versions tell
            case _:
                self._noise += 1
        return None

    def _tpv(self, told: dict[str, Any], now_s: float) -> Fix:
        latitude, longitude = _number(told, "lat", -90, 90), _number(told, "lon", -180, 180)
        if told.get("mode") not in (2, 3) or latitude is None or longitude is None:
            return Fix("", None, None, now_s)
        return Fix(
            "",
            latitude,
            longitude,
            now_s,
            speed_mps=_number(told, "speed", 0, 1e5),
            course_deg=_number(told, "track", 0, 360),
            satellites=self._satellites,
            hdop=self._hdop,
            utc_s=_utc_s(told.get("time")),
        )


def _number(told: dict[str, Any], key: str, low: float, high: float) -> float | None:
    """None where there is none from low to high: NaN and infinity are not."""
    value: Any = told.get(key)
    return float(value) if type(value) in (int, float) and low <= value <= high else None


def _utc_s(text: object) -> float | None:
    """`2026-11-22T01:33:20.000Z`; None for anything else."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None
