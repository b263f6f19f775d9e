"""Which event goes by which way besides MQTT, and what became of it. Pure, in virtual time.

A report is a row of the journal, written with its event (`Recorder`). Here is only the one of each path that is to go
now; the next one is asked of the journal, alarms first, oldest first. A path that is asked `undelivered` gets what
central has not stored within UNDELIVERED_S.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from agent.commands import NOTE_CHARS_MAX, clean
from agent.events import Event, rfc3339
from agent.kinds import KINDS
from agent.mail import Action, Write
from agent.path_mail import (
    DueReport,
    FindDue,
    JudgedReport,
    Offer,
    PathKeeps,
    PathMessage,
    PathSaid,
    PathStands,
    setting,
)
from agent.ranges import Range
from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import Config
    from agent.journal import Opened

UNDELIVERED_S: Final = 10.0
"""Without central's word for so long the other paths are asked (alarm transmission: 10 s on average)."""
FAILING_S: Final = 10.0
"""A path that fails for so long is a trouble; a receiver that is started anew is none."""
GRAIN_S: Final = 0.25
"""What is recorded within this becomes due together: a storm takes no memory."""
SILENT: Final = tuple(f'"type":"callbox.{name}"'.encode() for name in
    ("alarm.confirmed", *(kind.event for kind in KINDS.values() if kind.silent)))  # fmt: skip
"""What nothing at the place may tell of."""


@dataclass(slots=True)
class _Way:
    """One path: what it was offered, and what is asked of the journal for it."""

    id: str
    spare: bool
    through: int = 0
    """Events up to here are due."""
    hand: Event | None = None
    wants: bool = False
    """The journal is to be looked into."""
    asked: bool = False
    token: int = 0
    owed: int = 0
    stands: bool = False
    reason: str = ""
    failing_s: float | None = None
    quiet: bool = False
    """Its failing was seen by an event that is silent."""
    fresh: deque[tuple[float, int, bool]] = field(default_factory=deque)
    """Recorded and not yet due: when it will be, up to which boxseq, and whether an alarm is among it."""


class Paths:
    """The ways out of a box besides MQTT."""

    def __init__(self, config: "Config", opened: "Opened", recorder: Recorder, out: list[Action]) -> None:
        self._recorder, self._out = recorder, out
        self._ways = [_Way(path.id, path.when == "undelivered") for path in config.paths]
        self._old(opened.seq)
        out.append(Write(paths=tuple(way.id for way in self._ways)))  # on others nothing is owed any more
        recorder.paths = [(path.id, path.classes, path.when == "undelivered") for path in config.paths]

    def _old(self, seq: int) -> None:
        """What a journal has when it is opened: central has its time for it from now on, as for what is new."""
        for way in self._ways:
            way.fresh.clear()
            if seq:
                self._becomes_due(way, seq, alarm=True)

    def _becomes_due(self, way: _Way, seq: int, *, alarm: bool) -> None:
        due_s = self._recorder.now.mono_s + (UNDELIVERED_S if way.spare else 0.0)
        if len(way.fresh) > 1 and due_s < way.fresh[-2][0] + GRAIN_S:
            alarm |= way.fresh.pop()[2]
        way.fresh.append((due_s, seq, alarm))

    def moved(self, opened: "Opened") -> None:
        """The journal is another one: whatever a path is sending is in this one under another boxseq, or not at all."""
        for way in self._ways:
            way.through = 0
            self._withdraw(way)
        self._old(opened.seq)

    # ---- in

    def recorded(self, event: Event) -> None:
        """It is on the disk."""
        if event.cls in ("alarm", "trouble"):
            for way in self._ways:
                self._becomes_due(way, event.seq, alarm=event.cls == "alarm")

    def delivered(self, stored: Sequence[Range]) -> None:
        """Central has these."""
        for way in self._ways:
            if way.spare:
                hand = way.hand
                if hand is not None and any(first <= hand.seq <= last for first, last in stored):
                    self._withdraw(way)
                elif way.asked:  # what is under way to us may be one of these
                    self._look_again(way)

    def handle(self, message: PathMessage) -> None:
        """What a path, or the journal about it, says."""
        way = next(way for way in self._ways if way.id == message.path)
        match message:
            case DueReport():
                if message.journal == self._recorder.journal and message.token == way.token:
                    self._due(way, message)
            case PathSaid():
                self._stands(way, "")
                if message.journal == self._recorder.journal:
                    self._said(way, message._replace(reason=clean(message.reason[:NOTE_CHARS_MAX])))
            case PathStands(reason=reason):
                self._stands(way, reason)
            case PathKeeps(text=text):
                self._recorder.keep({setting(way.id): text})

    def _due(self, way: _Way, found: DueReport) -> None:
        way.asked, way.owed = False, found.owed
        event = found.event
        if event is not None and not self._recorder.vouches_for(event):
            reason = "its bytes were changed on the disk: the signature is not right any more"
            self._judge(way, event.seq, "refused", reason)
            way.wants = True
        elif (event and event.seq) != (way.hand and way.hand.seq):
            way.hand = event
            self._out.append(Offer(way.id, self._recorder.journal, event))

    def _said(self, way: _Way, message: PathSaid) -> None:
        self._judge(way, message.seq, message.state, message.reason)
        if way.hand is not None and way.hand.seq == message.seq:
            if message.state == "refused":
                self._recorder.unwanted(way.hand, way.id, message.reason)
            way.hand = None  # as it knows by itself
            self._look_again(way)

    def _judge(self, way: _Way, seq: int, state: Any, reason: str) -> None:
        row = JudgedReport(way.id, seq, state, rfc3339(self._recorder.now.wall_us), reason)
        self._out.append(Write(judged=(row,)))

    def _withdraw(self, way: _Way) -> None:
        """Nothing of what it was offered stands any more."""
        if way.hand is not None:
            self._out.append(Offer(way.id, self._recorder.journal, None))
        way.hand = None
        self._look_again(way)

    @staticmethod
    def _look_again(way: _Way) -> None:
        """What the journal was asked before is of a moment ago, and not looked at."""
        way.token += 1
        way.asked, way.wants = False, True

    def _stands(self, way: _Way, reason: str) -> None:
        way.reason = reason
        way.stands = not reason
        if reason:
            way.quiet |= way.hand is not None and any(name in way.hand.body for name in SILENT)
            way.failing_s = self._recorder.now.mono_s if way.failing_s is None else way.failing_s
        else:
            self._recorder.trouble_over(f"link {way.id}", silent=way.quiet)
            way.failing_s, way.quiet = None, False

    # ---- what is due

    def _tick(self) -> None:
        now_s = self._recorder.now.mono_s
        for way in self._ways:
            while way.fresh and way.fresh[0][0] <= now_s:
                _, way.through, alarm = way.fresh.popleft()
                # Whatever is in hand goes first, but a trouble that has to wait for an alarm.
                way.wants |= way.hand is None or (alarm and way.hand.cls != "alarm")
            if way.failing_s is not None and now_s >= way.failing_s + FAILING_S:
                self._recorder.trouble(f"link {way.id}", way.reason, silent=way.quiet)

    def pump(self, *, alarm_under_way: bool) -> None:
        """What is due by now; asks the journal for what goes next, but not while it writes an alarm."""
        self._tick()
        for way in self._ways:
            if way.wants and not way.asked and not alarm_under_way:
                way.token += 1
                way.wants, way.asked = False, True
                self._out.append(FindDue(way.id, way.token, way.through))

    def due_s(self) -> float | None:
        dues = [way.fresh[0][0] for way in self._ways if way.fresh]
        dues += [way.failing_s + FAILING_S for way in self._ways if way.failing_s is not None]
        return min((due for due in dues if due > self._recorder.now.mono_s), default=None)

    def status(self) -> list[dict[str, Any]]:
        """Of each path: `stands`, `fails`, or `begins`; why; how many reports are owed, as far as they were counted."""
        return [
            {
                "id": way.id,
                "state": "stands" if way.stands else "fails" if way.reason else "begins",
                "reason": way.reason,
                "owed": way.owed,
            }
            for way in self._ways
        ]
