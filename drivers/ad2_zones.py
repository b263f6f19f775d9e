"""Which zones of a panel are faulted, out of what its keypads show one after the other. Pure.

A panel that is not ready shows its faulted zones in turn, a few seconds each, the lowest first; a new fault at once,
and then it begins again with the lowest. When all is well it says READY. It never says that one zone of several is well
again: that one is only left out. So a zone is idle when the panel is ready, or when it was left out for two whole
turns; one turn may be broken off by a new fault or by a key at the keypad, which shows the last display once more.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from drivers.ad2_text import Keypad, ZoneState

TURNS: Final = 2
DISPLAY_S: Final = 2.0
"""No panel changes its display faster."""
ALONE_S: Final = 15.0
"""A zone that is shown again after so long, and no other meanwhile, is the only one."""


class Change(NamedTuple):
    """found: so it was when we began to look; nobody saw it change."""

    zone: int
    state: ZoneState | Literal["idle"]
    found: bool


class _Shown(NamedTuple):
    state: ZoneState
    display: int
    since_s: float
    seen_s: float


class Zones:
    """One for each time that the panel is heard of anew."""

    def __init__(self, watched: Iterable[int]) -> None:
        """watched: the zones of which it is said, too, that they are idle from the beginning."""
        self._watched = frozenset(watched)
        self._shown: dict[int, _Shown] = {}
        self._displays = 0
        self._last = -1
        self._whole = False  # one turn was seen from its beginning to its end

    def see(self, keypad: Keypad, now_s: float) -> list[Change]:
        """What has changed with this display."""
        if shown := keypad.zone():
            return self._show(*shown, now_s) + self._left_out(now_s)
        if keypad.ready and not keypad.text.startswith("SYSTEM"):
            over = [zone for zone, was in self._shown.items() if was.state == "fault" or not keypad.check]
            return self._idle(over) + self._turned()
        return []

    def _show(self, zone: int, state: ZoneState, now_s: float) -> list[Change]:
        self._displays += 1
        was, last = self._shown.get(zone), self._last
        self._last = zone
        if was is None or was.state != state:
            self._shown[zone] = _Shown(state, self._displays, now_s, now_s)
            return [Change(zone, state, found=not self._whole)]
        self._shown[zone] = was._replace(display=self._displays, seen_s=now_s)
        return self._turned() if last != zone or now_s >= was.since_s + ALONE_S else []

    def _turned(self) -> list[Change]:
        """After the first turn: what was not in it is idle."""
        if self._whole:
            return []
        self._whole = True
        return [Change(zone, "idle", found=True) for zone in sorted(self._watched - self._shown.keys())]

    def _left_out(self, now_s: float) -> list[Change]:
        displays = TURNS * (len(self._shown) + 1)
        return self._idle(
            [
                zone
                for zone, was in self._shown.items()
                if self._displays >= was.display + displays and now_s >= was.seen_s + displays * DISPLAY_S
            ]
        )

    def _idle(self, zones: list[int]) -> list[Change]:
        for zone in zones:
            del self._shown[zone]
        return [Change(zone, "idle", found=False) for zone in zones]
