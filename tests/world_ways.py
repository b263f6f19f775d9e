"""Ways out besides MQTT in the simulated world: a receiver that is sent all, and a modem for what central has not.

A way fails and comes back, refuses, and answers late or never: what it has got and not answered for comes again. What
it has answered for never comes again in the same life of the box, nor after it, once that was on the disk.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from world_wire import Central, ViolationError

from agent.kinds import CID
from agent.mail import Message
from agent.path_mail import REPORT_STATES, Offer, PathSaid, PathStands, ReportState

SPARE: Final = {"receiver": False, "modem": True}
"""Whether each way is asked only for what central has not."""
CLASSES: Final = {"receiver": ("alarm", "trouble"), "modem": ("alarm",)}
SPARE_S: Final = 10.0
"""So long central has its chance."""

Report = tuple[str, str, int]
"""Way, journal, boxseq."""


class Owner(Protocol):
    """What the ways need of the world."""

    rng: random.Random
    seen: Counter[str]
    t: float
    life: int
    stormy: bool

    def later(self, delay_s: float, call: Callable[..., None], *args: Any) -> None: ...
    def soon(self, delay_s: float, call: Callable[..., None], *args: Any) -> None: ...
    def tell(self, message: Message) -> None: ...


class Ways:
    """Both, and their far ends. The box's side ends with its life, as its threads do."""

    def __init__(self, world: Owner) -> None:
        self._world = world
        self.got = Counter[Report]()
        self.refused = set[Report]()
        self.failing = set[str]()
        self._hand: dict[str, Offer] = {}
        self._busy = set[str]()
        self._judged = set[Report]()
        self._stands = set[str]()
        self._read = 0
        self._since_s: dict[int, float] = {}
        """Since when each event is on the disk, or its journal is open, by boxseq."""
        self._wanted = set[tuple[str, int]]()

    def box_died(self) -> None:
        for state in (self._hand, self._busy, self._judged, self._stands):
            state.clear()

    def attached(self) -> None:
        """The journal is read anew."""
        self._read = 0
        self._since_s.clear()
        self._wanted.clear()

    def offer(self, offer: Offer) -> None:
        """What is to go now by this way, in place of what was."""
        self._hand.pop(offer.path, None)
        if offer.event is None:
            self._world.seen["reports withdrawn"] += 1
            return
        if (report := _report(offer)) in self._judged:
            raise ViolationError(f"{report} goes again, and was answered for")
        self._hand[offer.path] = offer
        self._go(offer.path)

    # ---- one way, as agent.path_threads.PathThread drives it

    def _go(self, way: str) -> None:
        if way in self._busy or way not in self._hand:
            return
        self._busy.add(way)
        if way in self.failing:
            self._world.soon(self._world.rng.uniform(0.5, 20), self._failed, way)
        else:
            # What is on its way arrives also when the box dies meanwhile.
            life = self._world.life
            self._world.later(self._world.rng.uniform(0.02, 3), self._arrived, life, self._hand[way])

    def _failed(self, way: str) -> None:
        self._busy.discard(way)
        self._stands.discard(way)
        self._world.tell(PathStands(way, "nobody answers"))
        self._go(way)

    def _arrived(self, life: int, offer: Offer) -> None:
        report, rng = _report(offer), self._world.rng
        refused = self._world.stormy and rng.random() < 0.05
        if refused:
            self.refused.add(report)
        else:
            self.got[report] += 1
            self._world.seen["reports that came again"] += self.got[report] > 1
        if life != self._world.life:
            return
        if self._world.stormy and rng.random() < 0.1:
            self._world.seen["answers to reports lost"] += 1
            self._world.soon(rng.uniform(1, 5), self._failed, offer.path)
        else:
            state: ReportState = "refused" if refused else "delivered"
            self._world.soon(rng.choice((0.0, rng.uniform(0, 2))), self._answered, offer, state)

    def _answered(self, offer: Offer, state: ReportState) -> None:
        way, report = offer.path, _report(offer)
        self._busy.discard(way)
        self._judged.add(report)
        if way in self._hand and _report(self._hand[way]) == report:
            del self._hand[way]
        if way not in self._stands:
            self._stands.add(way)
            self._world.tell(PathStands(way))
        self._world.seen[f"reports {state}"] += 1
        self._world.tell(PathSaid(way, offer.journal, report[2], state, "" if state == "delivered" else "unknown"))
        self._go(way)

    # ---- what must be true

    def check(
        self, sql: sqlite3.Connection, journal: str, events: Sequence[Mapping[str, Any]], central: Central
    ) -> None:
        """The journal was written: each of its events has its reports, and what they say is so."""
        for event in events[self._read :]:
            kind, seq = event["type"].removeprefix("callbox."), event["boxseq"]
            self._since_s[seq] = self._world.t
            if kind in CID:
                self._wanted |= {(way, seq) for way in SPARE if kind.split(".")[0] in CLASSES[way]}
        self._read = len(events)
        rows = sql.execute("SELECT path, seq, state FROM reports").fetchall()
        found = {(path, seq) for path, seq, _ in rows}
        if found != self._wanted:
            raise ViolationError(f"reports of other events than are to be told: {found ^ self._wanted}")
        for path, seq, number in rows:
            report, state = (path, journal, seq), REPORT_STATES[number]
            if state == "delivered" and not self.got[report]:
                raise ViolationError(f"{report} is delivered, it is said; its far end has it not")
            if state == "refused" and report not in self.refused:
                raise ViolationError(f"{report} is refused, it is said; nobody did")
            if state == "unneeded" and not (SPARE[path] and central.has(journal, seq)):
                raise ViolationError(f"{report} is not needed, it is said; central has it not")

    def check_offer(self, sql: sqlite3.Connection, offer: Offer) -> None:
        """It goes: it is owed, and central had its chance."""
        seq = _report(offer)[2]
        [state] = sql.execute("SELECT state FROM reports WHERE path=? AND seq=?", (offer.path, seq)).fetchone()
        if REPORT_STATES[state] != "owed":
            raise ViolationError(f"{_report(offer)} goes, and is {REPORT_STATES[state]}")
        if SPARE[offer.path] and self._world.t < self._since_s[seq] + SPARE_S:
            raise ViolationError(f"{_report(offer)} goes before central had its chance")


def _report(offer: Offer) -> Report:
    assert offer.event is not None
    return offer.path, offer.journal, offer.event.seq
