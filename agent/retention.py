"""What may go from the journal, and when: by days, by size, and when the disk is nearly full. Pure.

What is owed never goes for its age or for room that the config grants. Only when the disk itself (or memory, where it
stands in for the disk) has no more room, scans and status go that nobody has: alarms, troubles and audits never do.
Whatever goes leaves a signed record, `audit.pruned`, that names the hole and the hash of its last event: the chain
stays provable over it, and central knows what will never come.
"""

from typing import Final

from agent.events import rfc3339
from agent.mail import Survey, Surveyed

LOOK_S: Final = 60.0
"""How often the journal is looked at; while something goes, at once again after PAUSE_S."""
PAUSE_S: Final = 0.25
SHORT_PAUSE_S: Final = 0.01
"""The same once the disk was full: what goes must overtake a flood that fills it."""
TIGHT_BYTES: Final = 16_777_216
"""With less room than this for the journal, on the disk and in its own free pages, the disk counts as nearly full; on a
small disk with less than a sixteenth of it (`Journal.survey`)."""
TIGHT_S: Final = 5.0
DAY_US: Final = 86_400_000_000


class Retention:
    """Asks the journal's thread to look, and reads what it found."""

    def __init__(self, days: int, journal_bytes: int, now_s: float) -> None:
        self._days, self._bytes = days, journal_bytes
        self._look_s = now_s + LOOK_S
        self._asked = False
        self._after = 0
        self._short = False
        """The disk was full once, and has no reserve but what goes in time."""
        self._scarce = False
        """Nothing that central has was found to go, and the disk is nearly full."""
        self.tight = False
        """The disk is full, and what central has is not enough to make room."""

    def due_s(self) -> float | None:
        """When to ask next; None: an answer is out."""
        return None if self._asked else self._look_s

    def look_now(self, now_s: float) -> None:
        """The disk was full a moment ago."""
        self._short = True
        self._look_s = min(self._look_s, now_s)

    def ask(self, now_s: float, wall_us: int, synced: bool, *, volatile: bool) -> Survey | None:
        """What the journal is to be asked now, if anything. A clock that is not to be trusted makes nothing old."""
        if self._asked or now_s < self._look_s:
            return None
        self._asked = True
        if volatile:  # it has no room but what `Journal.room` grants it
            return Survey("", self._bytes, 0, self._after, undelivered=self._scarce)
        before = rfc3339(wall_us - self._days * DAY_US) if synced else ""
        return Survey(before, self._bytes, TIGHT_BYTES, self._after, undelivered=self._scarce)

    def answer(self, found: Surveyed, now_s: float) -> None:
        """The journal has looked; what it found is to be pruned by who hands it over."""
        self._asked = False
        full = found.cause == "disk"
        pause_s = SHORT_PAUSE_S if self._short else PAUSE_S
        self._after = found.after
        if found.ranges or found.after:  # something goes, or there is more to look at
            self._look_s = now_s + pause_s
        elif full and not self._scarce:
            self._scarce, self._look_s = True, now_s + pause_s
            return
        else:
            self._look_s = now_s + (TIGHT_S if full or self._short else LOOK_S)
        self._scarce &= full
        self.tight = self._scarce

    def restart(self, now_s: float) -> None:
        """The journal is another one."""
        self._asked, self._after, self._look_s = False, 0, now_s + PAUSE_S
        self._scarce = self._short = self.tight = False
