"""What central may say to a box: which of its events are stored. Pure; the clock is handed in."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from simulators.central.wire import BATCH_EVENTS_MAX

RANGES_MAX = 200  # in one receipt; what is more goes into further receipts
FILES_MAX = 500  # likewise
DELAY_S = 0.25  # for all classes but alarm (contract, section 3)


@dataclass
class Ledger:
    """What is stored of one journal: everything up to `through`, and `ranges` beyond it (sorted, never touching)."""

    through: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    fresh: set[int] = field(default_factory=set)  # came since the last receipt, repeats included
    refused: dict[int, str] = field(default_factory=dict)
    media: set[str] = field(default_factory=set)  # files of evidence to be told of
    due_s: float | None = None

    def add(self, first: int, last: int) -> None:
        """These are on the disk now."""
        if first <= self.through + 1:
            self.through = max(self.through, last)
        else:
            at = bisect_right(self.ranges, (first, first))
            if at and self.ranges[at - 1][1] >= first - 1:
                at -= 1
                first = self.ranges[at][0]
            end = at
            while end < len(self.ranges) and self.ranges[end][0] <= last + 1:
                last = max(last, self.ranges[end][1])
                end += 1
            self.ranges[at:end] = [(first, last)]
        while self.ranges and self.ranges[0][0] <= self.through + 1:
            self.through = max(self.through, self.ranges.pop(0)[1])

    def holds(self, seq: int) -> bool:
        """Is this one stored?"""
        if seq <= self.through:
            return True
        at = bisect_right(self.ranges, (seq, float("inf")))
        return at > 0 and self.ranges[at - 1][1] >= seq

    def said(self, everything: bool) -> list[dict[str, Any]]:
        """The receipts for what is fresh (or for everything stored), without signature; nothing is fresh afterwards."""
        ranges = self.ranges if everything else self._touched()
        refused = {str(seq): reason for seq, reason in sorted(self.refused.items()) if not self.holds(seq)}
        self.fresh.clear()
        self.refused.clear()
        self.due_s = None
        bodies: list[dict[str, Any]] = [
            {"through": self.through, "also": [list(pair) for pair in ranges[at : at + RANGES_MAX]]}
            for at in range(0, max(1, len(ranges)), RANGES_MAX)
        ]
        if refused:
            bodies[0]["refused"] = refused
        return bodies

    def _touched(self) -> list[tuple[int, int]]:
        """The ranges with something fresh in them: whole, so that one receipt heals the loss of earlier ones."""
        touched = {bisect_right(self.ranges, (seq, float("inf"))) - 1 for seq in self.fresh if seq > self.through}
        return [self.ranges[at] for at in sorted(touched)]


class Receipts:
    """The ledgers of all journals of all boxes, and when which receipt is due."""

    def __init__(
        self, stored: Iterable[tuple[str, str, int, int]] = (), have: Callable[[str, str], int] = lambda *_: 0
    ) -> None:
        """stored: (box, journal, first, last) of each range in the store. have: bytes on the disk of (box, sha256)."""
        self._have = have
        self._ledgers: dict[tuple[str, str], Ledger] = {}
        self._due: set[tuple[str, str]] = set()
        for box, journal, first, last in stored:
            self._of(box, journal).add(first, last)

    def _of(self, box: str, journal: str) -> Ledger:
        return self._ledgers.setdefault((box, journal), Ledger())

    def stored(self, box: str, journal: str, seq: int, urgent: bool, now_s: float) -> int:
        """An event is on the disk, now or since long (a repeat). urgent: class alarm. Returns `through`."""
        ledger = self._of(box, journal)
        ledger.add(seq, seq)
        ledger.fresh.add(seq)
        self._wait(box, journal, now_s if urgent else now_s + DELAY_S)
        return ledger.through

    def gone(self, box: str, journal: str, first: int, last: int) -> None:
        """These will never come, and nobody is to wait for them; said with the next receipt."""
        ledger = self._of(box, journal)
        ledger.add(first, last)
        ledger.fresh.add(last)

    def through(self, box: str, journal: str) -> int:
        """Everything of this journal up to this one is stored."""
        return self._of(box, journal).through

    def refuse(self, box: str, journal: str, seq: int, reason: str, now_s: float) -> None:
        """This event will never be stored here. One that is stored already cannot be refused."""
        self._of(box, journal).refused[seq] = reason
        self._wait(box, journal, now_s + DELAY_S)

    def media(self, box: str, journal: str, sha256: str, now_s: float) -> None:
        """Something came of this file, or it was named; journal: the box's present one."""
        self._of(box, journal).media.add(sha256)
        self._wait(box, journal, now_s + DELAY_S)

    def _wait(self, box: str, journal: str, due_s: float) -> None:
        ledger = self._of(box, journal)
        ledger.due_s = due_s if ledger.due_s is None else min(due_s, ledger.due_s)
        self._due.add((box, journal))

    def next_s(self) -> float | None:
        """When the next receipt is due; None while there is nothing to say."""
        return min((due for key in self._due if (due := self._ledgers[key].due_s) is not None), default=None)

    def take_due(self, now_s: float) -> list[tuple[str, dict[str, Any]]]:
        """(box, receipt) of all that is due, without signature."""
        due = [key for key in self._due if (at := self._ledgers[key].due_s) is not None and at <= now_s]
        return [pair for box, journal in due for pair in self._say(box, journal, everything=False)]

    def take_all(self, box: str, journal: str, media: Iterable[str] | None = None) -> list[tuple[str, dict[str, Any]]]:
        """Everything stored of this journal, for a box that has come back. media: files that it is told of as well; the
        first receipt says so even if they are none."""
        if media is not None:
            self._of(box, journal).media.update(media)
        receipts = self._say(box, journal, everything=True)
        if media is not None:
            receipts[0][1].setdefault("media", {})
        return receipts

    def journals(self) -> list[tuple[str, str]]:
        """Every (box, journal) that something is stored of."""
        return list(self._ledgers)

    def _say(self, box: str, journal: str, everything: bool) -> list[tuple[str, dict[str, Any]]]:
        self._due.discard((box, journal))
        ledger = self._of(box, journal)
        bodies = ledger.said(everything)
        files = sorted(ledger.media)
        ledger.media.clear()
        for number, at in enumerate(range(0, len(files), FILES_MAX)):
            if number == len(bodies):
                bodies.append({"through": ledger.through, "also": []})
            bodies[number]["media"] = {sha256: self._have(box, sha256) for sha256 in files[at : at + FILES_MAX]}
        return [(box, {"journal": journal, **body, "batch": BATCH_EVENTS_MAX}) for body in bodies]
