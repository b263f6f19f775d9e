"""What the lamp shows: one table of patterns, and which of them it is now. Pure.

Never colour alone: each phase has its own pattern, so that a box with a single white lamp tells them apart too.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

Show = Literal["fault", "recorded", "waiting", "received", "acknowledged"]
Color = Literal["amber", "green", "red"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """steps_s: seconds lit, dark, lit, dark ... over and over; empty: steadily lit."""

    color: Color
    steps_s: tuple[float, ...] = ()

    def lit(self, since_s: float) -> bool:
        """Whether it is lit `since_s` seconds after its start."""
        if not self.steps_s:
            return True
        ends = tuple(accumulate(self.steps_s))
        return bisect_right(ends, since_s % ends[-1]) % 2 == 0

    def next_s(self, since_s: float) -> float | None:
        """Seconds from the start to the next change after `since_s`."""
        if not self.steps_s:
            return None
        ends = tuple(accumulate(self.steps_s))
        rounds, rest = divmod(since_s, ends[-1])
        return rounds * ends[-1] + ends[min(bisect_right(ends, rest), len(ends) - 1)]


PATTERNS: Final[dict[Show, Pattern]] = {
    "fault": Pattern("red", (0.125, 0.125)),  # fast: cannot record, or the line is broken
    "recorded": Pattern("amber"),  # steady: on the disk
    "waiting": Pattern("amber", (1.0, 1.0)),  # slow: recorded, not yet at central after 2 s
    "received": Pattern("amber", (0.2, 1.8)),  # a short pulse: central has it
    "acknowledged": Pattern("green", (3.0, 0.2, 0.2, 0.2)),  # on, with a double wink: a person has seen it
}
"""In the order in which they are shown when several are true."""

TURN_S: Final = 4.0
"""Several are shown one after the other, so long each; none hides another."""
EDGE_S: Final = 1e-6


class Feedback:
    """The lamps' state from what is true now."""

    def __init__(self) -> None:
        self._shows: list[Show] = []
        self._since_s = 0.0

    def update(self, shows: Iterable[Show], now_s: float) -> None:
        """What is to be shown now. A change starts from the beginning, with what is new first."""
        wanted = [show for show in PATTERNS if show in set(shows)]
        if set(wanted) != set(self._shows):
            fresh = [show for show in wanted if show not in self._shows]
            self._shows = fresh + [show for show in wanted if show not in fresh]
            self._since_s = now_s

    def lit(self, now_s: float) -> Color | None:
        """The colour that is lit; None: dark."""
        if not self._shows:
            return None
        show, start_s = self._turn(now_s)
        pattern = PATTERNS[show]
        return pattern.color if pattern.lit(now_s - start_s + EDGE_S) else None

    def due_s(self, now_s: float) -> float | None:
        """When that changes by itself."""
        if not self._shows:
            return None
        show, start_s = self._turn(now_s)
        step_s = PATTERNS[show].next_s(now_s - start_s + EDGE_S)
        dues = [start_s + step_s] if step_s is not None else []
        if len(self._shows) > 1:
            dues.append(start_s + TURN_S)
        return min(dues, default=None)

    def _turn(self, now_s: float) -> tuple[Show, float]:
        if len(self._shows) == 1:
            return self._shows[0], self._since_s
        turns = int((now_s - self._since_s + EDGE_S) // TURN_S)
        return self._shows[turns % len(self._shows)], self._since_s + turns * TURN_S
