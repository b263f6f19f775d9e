"""Where the box is: on every alarm, and told by distance and by time. Pure.

A place that is old is marked and never left out: who drives there must know that it may be wrong. A receiver that
hangs, and says one moment again and again, tells nothing new. Of several the one that spoke last is believed.
"""

from math import asin, cos, isfinite, radians, sin, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from agent.models_position import Place, PositionData
from agent.recorder import Recorder
from drivers.contract import Fix

if TYPE_CHECKING:
    from agent.config import Config

STALE_S: Final = 30.0
EARTH_M: Final = 6_371_009.0
"""Mean radius (IUGG)."""


class Known(NamedTuple):
    """A fix with a place. seen_s: monotonic seconds. utc_s: the receiver's time, where it told one."""

    latitude: float
    longitude: float
    seen_s: float
    utc_s: float | None
    place: Place


class Position:
    """Of a box with an input of kind position; any other has none."""

    def __init__(self, config: "Config", recorder: Recorder) -> None:
        self._every_s, self._every_m = config.position.every_s, config.position.every_m
        self._has = any(entry.kind == "position" for entry in config.inputs)
        self._recorder = recorder
        self._newest: Known | None = None
        self._told: Known | None = None

    def fix(self, fix: Fix) -> None:
        """A receiver's word; one that knows no place changes nothing but the age of the last.

        A place that there is not is none: on an alarm it would be a number that no event can hold.
        """
        if fix.latitude is None or fix.longitude is None:
            return
        if not (-90 <= fix.latitude <= 90 and -180 <= fix.longitude <= 180):
            return
        if self._newest is not None and fix.utc_s is not None and fix.utc_s == self._newest.utc_s:
            return
        known = self._newest = Known(fix.latitude, fix.longitude, fix.seen_s, fix.utc_s, _place(fix))
        told = self._told
        if told is None or fix.seen_s >= told.seen_s + self._every_s or metres(told, known) >= self._every_m:
            self._told = known
            data: PositionData = {**known.place, "age_s": 0.0, "input": fix.input}
            self._recorder.record("status.position", fix.input, data, at=self._recorder.at(fix.seen_s))

    def place(self, now_s: float) -> Place | None:
        """Where the box was at a monotonic second of late; None of a box without a receiver."""
        if self._newest is None:
            return {"stale": True} if self._has else None
        age_s = max(0.0, now_s - self._newest.seen_s)
        place: Place = {**self._newest.place, "age_s": round(age_s, 1)}
        if age_s > STALE_S:
            place["stale"] = True
        return place


def _place(fix: Fix) -> Place:
    """What it told, without its age; 1e-6 degrees are 0.1 m."""
    told = {
        "lat": fix.latitude and round(fix.latitude, 6),
        "lon": fix.longitude and round(fix.longitude, 6),
        "speed_mps": fix.speed_mps,
        "course_deg": fix.course_deg,
        "satellites": fix.satellites,
        "hdop": fix.hdop,
    }
    return cast(Place, {name: value for name, value in told.items() if value is not None and isfinite(value)})


def metres(a: Known, b: Known) -> float:
    """Between two places along the ground (haversine)."""
    north, east = radians(b.latitude - a.latitude), radians(b.longitude - a.longitude)
    part = sin(north / 2) ** 2 + cos(radians(a.latitude)) * cos(radians(b.latitude)) * sin(east / 2) ** 2
    return 2 * EARTH_M * asin(min(1.0, sqrt(part)))
