"""Key pictures that somebody asks for: which one each gets, and which is worked on next. Pure, in virtual time.

ask -> pick (each gets its picture as soon as there is one) -> take (one after the other) -> a child process
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final, Literal

from drivers.packet_ring import Clip

AFTER_S: Final = 1.0
"""So long a key picture from after the press is waited for; else the newest one before it has to do."""
READS_MAX: Final = 4
"""Each holds a picture in memory."""
LATE_S: Final = 30.0
"""Whoever pressed has gone, or has pressed again."""
BUSY: Final = f"{READS_MAX} others wait to be read; wait for them, and press again"
LATE: Final = f"others were read before it for more than {LATE_S:.0f} s; press again"


@dataclass(slots=True)
class Asked:
    """kind: whose answer it is. ref: names it there. at_s: when it was pressed, -inf for a look at what there is.

    more: what the child is asked. clip: the picture it gets; reason: why it gets no answer from it.
    """

    kind: Literal["read", "preview"]
    ref: str
    at_s: float
    asked_s: float
    more: dict[str, Any] = field(default_factory=dict)
    clip: Clip | None = None
    reason: str = ""


class Reads:
    """Those that wait, the oldest first."""

    def __init__(self) -> None:
        self._asked: deque[Asked] = deque()

    def ask(self, asked: Asked) -> bool:
        """False: too many wait already."""
        if len(self._asked) >= READS_MAX:
            return False
        self._asked.append(asked)
        return True

    @property
    def waiting(self) -> bool:
        """For a picture: the next one may be it."""
        return any(self._without())

    def due_s(self) -> float:
        """When the first of them has waited long enough for its picture; inf where none waits."""
        return min((asked.at_s + AFTER_S for asked in self._without()), default=inf)

    def pick(self, newest: Clip | None, away: str, now_s: float) -> None:
        """Gives each its picture, or the reason why there will be none.

        newest: the newest key picture of a camera that is there, None where there is none; away: why not.
        """
        for asked in self._without():
            if (newest and newest.from_s >= asked.at_s) or now_s >= asked.at_s + AFTER_S:
                asked.clip = newest
                asked.reason = "" if newest else f"the camera brings no picture: {away or 'none has come yet'}"

    def take(self, now_s: float) -> Asked | None:
        """The oldest, when it has its picture or its reason. None: it waits, or none is there."""
        if not self._asked or (self._asked[0].clip is None and not self._asked[0].reason):
            return None
        asked = self._asked.popleft()
        if now_s > asked.asked_s + LATE_S:
            asked.reason = asked.reason or LATE
        return asked

    def _without(self) -> list[Asked]:
        return [asked for asked in self._asked if asked.clip is None and not asked.reason]
