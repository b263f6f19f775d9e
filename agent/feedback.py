"""What lamps, buzzers, sirens and strobes do: their patterns in one place, and which of them a lamp shows now. Pure.

Never colour alone: each phase has its own pattern and its own tone, so that a box with a single white lamp, or with a
buzzer alone, tells them apart too.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

Show = Literal["fault", "recorded", "waiting", "received", "acknowledged", "known", "unknown"]
Color = Literal["amber", "green", "red"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """steps_s: seconds on, off, on, off ... over and over; empty: steadily on. color: of a lamp.

    tone_s: seconds on, off, on ... of the buzzer, once, when a lamp begins to show this.
    """

    color: Color | None
    steps_s: tuple[float, ...] = ()
    tone_s: tuple[float, ...] = ()

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
    # fast: cannot record, or the line is broken
    "fault": Pattern("red", (0.125, 0.125), tone_s=(0.08, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08)),
    "recorded": Pattern("amber", tone_s=(0.1,)),  # steady: on the disk
    "waiting": Pattern("amber", (1.0, 1.0), tone_s=(0.3, 0.3, 0.3)),  # slow: recorded, not yet at central after 2 s
    "received": Pattern("amber", (0.2, 1.8), tone_s=(0.1, 0.1, 0.1)),  # a short pulse: central has it
    # on, with a double wink: a person has seen it
    "acknowledged": Pattern("green", (3.0, 0.2, 0.2, 0.2), tone_s=(0.8,)),
    # two short: the scanned code is on a list of kind allow
    "known": Pattern("green", (0.15, 0.15, 0.15, 1.05), tone_s=(0.1, 0.1, 0.4)),
    # one long: it is on none of them
    "unknown": Pattern("red", (1.2, 0.3), tone_s=(0.4, 0.1, 0.4, 0.1, 0.4)),
}
"""In the order in which they are shown when several are true."""
STEADY: Final = Pattern(None)
SIRENS: Final[dict[str, Pattern]] = {
    "fire": Pattern(None, (0.5, 0.5, 0.5, 0.5, 0.5, 1.5)),  # the temporal pattern of ISO 8201: leave the building
    "panic": STEADY,
    "intrusion": STEADY,
    "tamper": STEADY,
}
"""Of the kinds that a siren sounds for by itself; of several the first. Who needs a doctor is helped by people; a siren
whose config names that button sounds steadily for it."""
NEIGHBOUR: Final = Pattern(None, (0.5, 0.25, 0.5, 1.75))
"""Two knocks: it is not here."""

TURN_S: Final = 4.0
"""Several are shown one after the other, so long each; none hides another."""
GAP_S: Final = 0.5
"""Between two tones."""
FLASH_S: Final = 1.5
"""What becomes of a scan is shown at once and so long, before all else: somebody stands there."""
EDGE_S: Final = 1e-6

Flash = tuple[Show, float]
"""What is shown so, and since when."""


class Feedback:
    """The lamps' state from what is true now."""

    def __init__(self) -> None:
        self._shows: list[Show] = []
        self._flash: Flash | None = None
        self._since_s = 0.0

    def update(self, shows: Iterable[Show], now_s: float, flash: Flash | None = None) -> None:
        """What is to be shown now. A change starts from the beginning, with what is new first. flash: the newest."""
        self._flash = flash if flash is not None and now_s + EDGE_S < flash[1] + FLASH_S else None
        wanted = [show for show in PATTERNS if show in set(shows)]
        if set(wanted) != set(self._shows):
            fresh = [show for show in wanted if show not in self._shows]
            self._shows = fresh + [show for show in wanted if show not in fresh]
            self._since_s = now_s

    @property
    def busy(self) -> bool:
        """There is something to show."""
        return bool(self._shows or self._flash)

    def lit(self, now_s: float) -> Color | None:
        """The colour that is lit; None: dark."""
        if not (self._shows or self._flash):
            return None
        show, start_s = self._turn(now_s)
        pattern = PATTERNS[show]
        return pattern.color if pattern.lit(now_s - start_s + EDGE_S) else None

    def due_s(self, now_s: float) -> float | None:
        """When that changes by itself."""
        if not (self._shows or self._flash):
            return None
        show, start_s = self._turn(now_s)
        step_s = PATTERNS[show].next_s(now_s - start_s + EDGE_S)
        dues = [start_s + step_s] if step_s is not None else []
        if self._flash:
            dues.append(start_s + FLASH_S)
        elif len(self._shows) > 1:
            dues.append(start_s + TURN_S)
        return min(dues, default=None)

    def _turn(self, now_s: float) -> tuple[Show, float]:
        if self._flash:
            return self._flash
        if len(self._shows) == 1:
            return self._shows[0], self._since_s
        turns = int((now_s - self._since_s + EDGE_S) // TURN_S)
        return self._shows[turns % len(self._shows)], self._since_s + turns * TURN_S


class Tones:
    """The buzzer's: each once, one after the other; of the same that is not over there is one."""

    def __init__(self) -> None:
        self._playing: list[tuple[Show, float]] = []
        """With the second in which it begins."""

    def play(self, show: Show, now_s: float) -> None:
        """Adds its tone behind those that are not over."""
        self._playing = [
            (other, start_s) for other, start_s in self._playing if now_s + EDGE_S < _end_s(other, start_s)
        ]
        if PATTERNS[show].tone_s and show not in [other for other, _ in self._playing]:
            start_s = _end_s(*self._playing[-1]) + GAP_S if self._playing else now_s
            self._playing.append((show, start_s))

    def on(self, now_s: float) -> bool:
        return any(
            start_s <= at_s and Pattern(None, PATTERNS[show].tone_s).lit(at_s - start_s)
            for show, start_s in self._playing
            if (at_s := now_s + EDGE_S) < _end_s(show, start_s)
        )

    def due_s(self, now_s: float) -> float | None:
        """When that changes by itself."""
        changes = [
            start_s + step_s
            for show, start_s in self._playing
            for step_s in accumulate(PATTERNS[show].tone_s, initial=0.0)
        ]
        return min((change_s for change_s in changes if change_s > now_s + EDGE_S), default=None)


def _end_s(show: Show, start_s: float) -> float:
    return start_s + sum(PATTERNS[show].tone_s)
