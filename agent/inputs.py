"""From raw edges to facts: debounce, at boot, stuck, chatter. Pure, in virtual time.

raw edges --debounce--> position --> Pressed | Released --chatter--> told one by one, or merged with a count
                                \\--> Stuck after 30 s
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

STUCK_S: Final = 30.0
"""Asserted for longer than this is a fault of the button as well (alarms: 375)."""
CHATTER_CHANGES: Final = 10
CHATTER_S: Final = 10.0
"""From the eleventh change within 10 s on, changes are merged into one event every 10 s (contract, section 2)."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The input became active at `seen_s`. at_boot: it was so when the wire was opened."""

    seen_s: float
    at_boot: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """The input became idle at `seen_s`."""

    seen_s: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """Asserted for 30 s, or already at the start; `over` when it lets go."""

    over: bool


Fact = Pressed | Released | Stuck


class Contact:
    """One contact: an integrating debounce, and the watch for a stuck one.

    The integral rises while the raw level is active and falls while it is idle, between 0 and `debounce_s`; the
    contact is pressed at the top and released at the bottom. A press that bounces is counted by the time it really was
    down, so a press of 50 ms is never lost in its own bounce and a spike shorter than `debounce_s` is none.
    """

    def __init__(self, debounce_s: float, *, active: bool = False) -> None:
        """active: an earlier run told that it is, and not that it is no more."""
        self._debounce_s = debounce_s
        self._raw: bool | None = None
        self._raw_since_s = 0.0
        self._sum_s = 0.0
        self._began_s = 0.0
        self._pressed_s: float | None = None
        self._at_boot = False
        self.active = active
        self._known = False
        self.stuck = False

    @property
    def seen(self) -> bool:
        """Whether a level was seen at all; until then `active` is what an earlier run told."""
        return self._raw is not None

    def forget(self) -> None:
        """The wire was gone, and its level is not known: an active level is a press again, not the same one."""
        self._known = False

    def edge(self, active: bool, seen_s: float, *, initial: bool = False, settled: bool = False) -> list[Fact]:
        """A raw level at `seen_s`. Levels that arrive late or twice do no harm.

        initial: found, not seen to change: it has stood for a time that nobody knows. settled: debounced by the device.
        """
        seen_s = max(seen_s, self._raw_since_s)
        facts = self.tick(seen_s)
        first = self._raw is None
        if active and not self._known:
            self.active, self._sum_s, self._began_s = False, 0.0, seen_s
        if initial or settled:
            if active != self.active:
                self._began_s = seen_s
            self._at_boot = initial and active
            self._sum_s = self._debounce_s if active else 0.0
        elif active != self._raw and self._sum_s == (self._debounce_s if self.active else 0.0):
            self._began_s = seen_s
        self._raw, self._raw_since_s, self._known = active, seen_s, True
        facts += self._settle(seen_s)
        if initial and first and self.active:
            self.stuck = True
            facts.append(Stuck(over=False))
        return facts

    def tick(self, now_s: float) -> list[Fact]:
        """What has become true by now."""
        if self._raw is None or now_s < self._raw_since_s:
            return []
        # Only as far as the integral still moves: an edge that was seen before `now_s` and told later keeps its time,
        # so that two presses which a busy box hears late are two.
        room_s = self._debounce_s - self._sum_s if self._raw else self._sum_s
        past_s = min(now_s - self._raw_since_s, room_s)
        self._raw_since_s += past_s
        if past_s > room_s - 1e-9:
            self._sum_s = self._debounce_s if self._raw else 0.0
        else:
            self._sum_s += past_s if self._raw else -past_s
        return self._settle(now_s)

    def due_s(self) -> float | None:
        """When `tick` has something to say next, if no edge comes."""
        if self._raw is None:
            return None
        if self._raw != self.active:
            return self._raw_since_s + (self._debounce_s - self._sum_s if self._raw else self._sum_s)
        if self.active and not self.stuck and self._pressed_s is not None:
            return self._pressed_s + STUCK_S
        return None

    def _settle(self, now_s: float) -> list[Fact]:
        facts: list[Fact] = []
        if self._raw and not self.active and self._sum_s >= self._debounce_s:
            self.active, self._pressed_s = True, self._began_s
            facts.append(Pressed(self._began_s, self._at_boot))
            self._at_boot = False
        elif self._raw is False and self.active and self._sum_s <= 0.0:
            self.active, self._pressed_s = False, None
            facts.append(Released(self._began_s))
            if self.stuck:
                self.stuck = False
                facts.append(Stuck(over=True))
        if self.active and not self.stuck and self._pressed_s is not None and now_s >= self._pressed_s + STUCK_S:
            self.stuck = True
            facts.append(Stuck(over=False))
        return facts


class Chatter:
    """Merges what comes too often: told one by one up to ten within 10 s, from then on a sum every 10 s.

    Nothing is dropped: each change is told, or counted in the next sum. It ends with a sum after which 10 s were quiet.
    """

    def __init__(self, changes: int = CHATTER_CHANGES, window_s: float = CHATTER_S, *, merged: int = 0) -> None:
        """merged: changes of an earlier run that no sum has told; a sum tells them at once."""
        self._changes, self._window_s = changes, window_s
        self._told: deque[float] = deque()
        self.merged = merged
        self._sum_s: float | None = float("-inf") if merged else None

    def admit(self, now_s: float) -> bool:
        """True when this change is to be told by itself; False when it went into the next sum."""
        while self._told and self._told[0] <= now_s - self._window_s:
            self._told.popleft()
        if self._sum_s is None and len(self._told) < self._changes:
            self._told.append(now_s)
            return True
        if self._sum_s is None:
            self._sum_s = now_s + self._window_s
        self.merged += 1
        return False

    def sum(self, now_s: float) -> int:
        """The changes merged since the last sum, when one is due; otherwise 0."""
        if self._sum_s is None or now_s < self._sum_s:
            return 0
        merged, self.merged = self.merged, 0
        self._sum_s = self._sum_s + self._window_s if merged else None
        return merged

    def due_s(self) -> float | None:
        """When the next sum is due."""
        return self._sum_s
