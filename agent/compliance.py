"""How well this box has reported over the last day, by its own measure. Pure, in virtual time.

EN 50136 asks how soon a dead way is known (the longest silence allowed) and how long an alarm takes to central. Both
are measured here: silence from one proof of life to the next (the broker acknowledged something, central sent a
receipt), and alarms from the disk to central's receipt. The time in which the box was off is silence too.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from agent.ranges import Range, within

HOUR_S: Final = 3600.0
HOURS: Final = 24
WAITING_MAX: Final = 1_000
"""Alarms whose receipt is waited for; with more, the newest are not measured."""
ALARM_S_MAX: Final = 10.0
"""On average, in the top classes of EN 50136-1 (by memory, not read in its text)."""


@dataclass(slots=True)
class Hour:
    """span_s: how much of it there was. silence_s: the longest; dead_s: of it all, what was beyond the allowed."""

    span_s: float = 0.0
    silence_s: float = 0.0
    dead_s: float = 0.0
    alarms: int = 0
    alarm_sum_s: float = 0.0
    alarm_max_s: float = 0.0


class Compliance:
    """The last 24 hours."""

    def __init__(self, stored: str, allowed_s: float, now_s: float, wall_s: float) -> None:
        """stored: what `stored` gave in an earlier run, "" for none. allowed_s: the longest silence of the profile."""
        self._allowed_s = allowed_s
        self._hours = [Hour()]
        self._waiting: dict[int, float] = {}
        self._looked_s = self._heard_s = now_s
        if stored:
            self._restore(json.loads(stored), wall_s)

    def _restore(self, stored: dict[str, Any], wall_s: float) -> None:
        self._hours = [Hour(**hour) for hour in stored["hours"]]
        off_s = min(wall_s - stored["wall_s"], HOURS * HOUR_S)
        if off_s > 0:  # else the clock was set back, and nobody knows
            self._heard_s -= stored["silent_s"] + off_s
            self._looked_s -= off_s

    def stored(self, now_s: float, wall_s: float) -> str:
        """To be kept for the next run."""
        self.tick(now_s)
        hours = [asdict(hour) for hour in self._hours]
        return json.dumps({"wall_s": wall_s, "silent_s": now_s - self._heard_s, "hours": hours})

    def tick(self, now_s: float) -> None:
        """Time goes by."""
        hour, past_s = self._hours[-1], now_s - self._looked_s
        silent_s = now_s - self._heard_s
        hour.span_s += past_s
        hour.silence_s = max(hour.silence_s, silent_s)
        hour.dead_s += min(past_s, max(0.0, silent_s - self._allowed_s))
        self._looked_s = now_s
        if hour.span_s >= HOUR_S:
            self._hours = [*self._hours, Hour()][-HOURS:]

    def heard(self, now_s: float) -> None:
        """A proof of life, now or a little before."""
        self.tick(max(now_s, self._looked_s))
        self._heard_s = max(now_s, self._heard_s)

    def recorded(self, seq: int, now_s: float) -> None:
        """An alarm is on the disk."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting[seq] = now_s

    def delivered(self, ranges: Iterable[Range], now_s: float) -> None:
        """Central has stored these."""
        if not self._waiting:
            return
        stored, hour = within(ranges), self._hours[-1]
        for seq in [seq for seq in self._waiting if stored(seq)]:
            took_s = now_s - self._waiting.pop(seq)
            hour.alarms += 1
            hour.alarm_sum_s += took_s
            hour.alarm_max_s = max(hour.alarm_max_s, took_s)

    def forget(self) -> None:
        """The journal is another one; what waited has new numbers."""
        self._waiting.clear()

    def report(self, now_s: float) -> dict[str, Any]:
        """What `callbox status` shows; seconds, and `available`, the share of time in which no silence was too long."""
        self.tick(now_s)
        span_s = sum(hour.span_s for hour in self._hours)
        alarms = sum(hour.alarms for hour in self._hours)
        mean_s = sum(hour.alarm_sum_s for hour in self._hours) / alarms if alarms else 0.0
        silence_s = max(hour.silence_s for hour in self._hours)
        late_s = max((now_s - since_s for since_s in self._waiting.values()), default=0.0)
        return {
            "hours": round(span_s / HOUR_S, 2),
            "allowed_s": self._allowed_s,
            "silence_max_s": round(silence_s, 1),
            "available": round(1 - sum(hour.dead_s for hour in self._hours) / span_s, 5) if span_s else 1.0,
            "alarms": alarms,
            "alarm_mean_s": round(mean_s, 3),
            "alarm_max_s": round(max(late_s, *(hour.alarm_max_s for hour in self._hours)), 3),
            "within": silence_s <= self._allowed_s and mean_s <= ALARM_S_MAX,
        }
