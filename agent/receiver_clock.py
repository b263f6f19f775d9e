"""The time of a satellite receiver as a clock, for a box that no NTP reaches. Pure.

A receiver may lie: after a cold start it does not know the leap seconds, past its 1024th week it is 20 years back, and
there are people with a transmitter. So its time is followed once it has been the same for a while; when it then says
another one, none is trusted, and the new one is followed only when it has stood for long. A wrong clock stops no alarm.

    (none) --5 fixes over 4 s agree--> followed, synced --no word for HOLDOVER_S--> followed, unsynced
                                          ^      | another time, by 5 fixes that agree
                                          |      v
                                       followed, unsynced --the same for BELIEVE_S--> the new time followed, synced
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from agent.events import Stamp
from agent.mail import Action, FollowClock
from drivers.contract import Fix

EARLIEST_S: Final = 1_767_225_600.0
"""2026-01-01: an earlier time is that of a receiver past its week rollover."""
LATEST_S: Final = EARLIEST_S + 1024 * 7 * 86_400
"""1024 weeks later GPS itself begins anew."""
FIXES: Final = 5
SPAN_S: Final = 4.0
WINDOW_S: Final = 10.0
AGREE_S: Final = 0.5
"""Sentences come up to half a second after the moment that they tell, and not always alike."""
JUMP_S: Final = 1.0
SLEW: Final = 500e-6
"""Small differences are made good as slowly as the kernel does it: time goes on, and never back."""
HOLDOVER_S: Final = 3600.0
"""A quartz of 50 ppm is 0.2 s off by then."""
BELIEVE_S: Final = 600.0


@dataclass(slots=True)
class _Other:
    """Another time than the one that is followed."""

    offset_s: float
    since_s: float


class ReceiverClock:
    """Offsets are seconds since 1970 less monotonic seconds."""

    def __init__(self, out: list[Action]) -> None:
        """out: actions are appended to it."""
        self._out = out
        self._recent: deque[tuple[float, float]] = deque(maxlen=256)
        self._last_utc_s: float | None = None
        self._offset_s: float | None = None
        self._confirmed_s = 0.0
        self._other: _Other | None = None

    def fix(self, fix: Fix) -> None:
        """A receiver's word. One that hangs, and says one moment again and again, has said nothing."""
        if fix.utc_s is None or fix.utc_s == self._last_utc_s:
            return
        self._last_utc_s = fix.utc_s
        if not EARLIEST_S <= fix.utc_s < LATEST_S:
            self._recent.clear()
            return
        self._recent.append((fix.seen_s, fix.utc_s - fix.seen_s))
        while self._recent[0][0] < fix.seen_s - WINDOW_S:
            self._recent.popleft()
        offsets = [offset for _, offset in self._recent]
        if len(offsets) < FIXES or fix.seen_s - self._recent[0][0] < SPAN_S or max(offsets) - min(offsets) > AGREE_S:
            return
        self._agreed(max(offsets), fix.seen_s)  # the one that came with the least delay

    def _agreed(self, offset_s: float, now_s: float) -> None:
        if self._offset_s is None:
            self._offset_s = offset_s
        elif abs(offset_s - self._offset_s) <= JUMP_S:
            step_s = SLEW * (now_s - self._confirmed_s)
            self._offset_s += max(-step_s, min(offset_s - self._offset_s, step_s))
        else:
            if self._other is None or abs(offset_s - self._other.offset_s) > JUMP_S:
                self._other = _Other(offset_s, now_s)
            if now_s < self._other.since_s + BELIEVE_S:
                self._out.append(FollowClock(round(self._offset_s * 1e6), now_s))
                return
            self._offset_s = offset_s
        self._confirmed_s, self._other = now_s, None
        self._out.append(FollowClock(round(self._offset_s * 1e6), now_s + HOLDOVER_S))


def stamp(mono_s: float, wall_us: int, synced: bool, followed: FollowClock | None) -> Stamp:
    """The moment by the system's clock, or by the receiver's where nobody else sets the system's."""
    if synced or followed is None:
        return Stamp(mono_s, wall_us, synced)
    return Stamp(mono_s, round(mono_s * 1e6) + followed.offset_us, mono_s < followed.until_s, "gps")
