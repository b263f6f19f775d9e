"""Alarms are cases: opened by the first press, counted by further ones, closed by a person. Pure.

              press                receipt              acknowledge
    (none) ----------> recorded ----------> received ----------------> acknowledged
                          | 2 s                 ^  press (count + 1)       |
                          v                     |                          |
                       waiting -----------------+--------------------------+
    any of these -- close, or the reset input for kinds that are not silent --> (none)

The phase is derived, not stored: from what is recorded and delivered of the last press, and the acknowledgement.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal

from agent.events import Stamp
from agent.kinds import CASES, LISTED
from agent.models import AlarmData, CancelledData, CaseData, ChangeData, ConfirmedData, ListedData, Listing
from agent.ranges import Range, within
from agent.recorder import Recorder

Phase = Literal["recorded", "waiting", "received", "acknowledged"]
CONFIRM_S: Final = 120.0
"""A press after this long, or tamper within it, confirms a hold-up (docs/alarms.md, confirmed hold-up)."""
WAITING_S: Final = 2.0
"""A recorded press that is not at central after this long is shown as waiting."""


@dataclass(slots=True)
class Case:
    """One alarm. id: of its first event. last_seq: boxseq of its last press. confirmed: `alarm.confirmed` was told.
    test: a walk test opened it.

    first_s, last_s: when it was pressed, monotonic, as far as this run knows: a case of an earlier run was pressed
    before it, so that what needs two minutes is never told too early, and what needs to be near is not told of it.
    shown_s: when that press was found on the disk; None while the fsync is out, and then the lamp shows nothing new.
    """

    id: str
    input: str
    kind: str
    count: int
    last_seq: int
    acknowledged: bool = False
    delivered: bool = False
    confirmed: bool = False
    test: bool = False
    first_s: float = inf
    last_s: float = -inf
    shown_s: float | None = None
    rung_s: float | None = None
    """When a siren was last to sound for it: at each press of a button, once for a contact until somebody has seen it,
    so that a door in the wind does not wail all night; never for a test or a press of an earlier run."""

    @property
    def silent(self) -> bool:
        return CASES[self.kind].silent

    def stored(self, *, acknowledged: bool) -> str:
        """What the journal keeps of it: as it will be when the event that is written with it is on the disk."""
        kept = {name: getattr(self, name) for name in ("id", "input", "kind", "count", "last_seq")}
        marks = {name: True for name in ("confirmed", "test") if getattr(self, name)}
        return json.dumps(kept | {"acknowledged": acknowledged} | marks, sort_keys=True)

    def phase(self, now_s: float) -> Phase | None:
        """How far it has come; None before it is recorded."""
        if self.shown_s is None:
            return None
        if self.acknowledged:
            return "acknowledged"
        if self.delivered:
            return "received"
        return "recorded" if now_s < self.shown_s + WAITING_S else "waiting"


class Alarms:
    """The open cases, oldest first, and the events of their lives."""

    def __init__(self, stored: Iterable[tuple[str, bool]], recorder: Recorder) -> None:
        """stored: from the journal, (body, owed); a case of an earlier run was recorded then."""
        self._recorder = recorder
        bodies: list[tuple[dict[str, Any], bool]] = [(json.loads(body), owed) for body, owed in stored]
        now_s = recorder.now.mono_s
        cases = [Case(**body, delivered=not owed, first_s=now_s, shown_s=now_s) for body, owed in bodies]
        self.open: dict[str, Case] = {case.id: case for case in sorted(cases, key=lambda case: case.id)}
        self._closing: dict[str, Case] = {}
        self._tamper_s = -inf

    @property
    def shown(self) -> list[Case]:
        """What a lamp may show: every case that is not silent, until its end is on the disk."""
        return [case for case in (*self.open.values(), *self._closing.values()) if not case.silent]

    def of(self, input_id: str) -> Case | None:
        """The open case of an input."""
        return next((case for case in self.open.values() if case.input == input_id), None)

    def press(self, input_id: str, kind: str, presses: int, at: Stamp, data: ChangeData) -> str:
        """A press, or `presses` merged ones: opens a case or counts in the open one, and wants an answer again.

        Returns the case's id.
        """
        return self._count(input_id, kind, presses, at, data, {})

    def listed(self, input_id: str, at: Stamp, listing: Listing) -> str:
        """A code on a list was scanned; the next one counts in the same case. Returns the case's id."""
        return self._count(input_id, LISTED, 1, at, {"transition": "raised", "input": input_id}, listing)

    def _count(self, input_id: str, kind: str, presses: int, at: Stamp, data: ChangeData, listing: Listing) -> str:
        id, testing = self._recorder.new_id(), self._recorder.testing
        case = self.of(input_id)
        if case is None:
            case = self.open[id] = Case(id, input_id, kind, 0, 0, test=testing)
        case.count += presses
        case.last_seq = self._recorder.next_seq
        case.first_s, case.last_s = min(case.first_s, at.mono_s), at.mono_s

        def shown(now_s: float) -> None:
            rings = case.rung_s is None or case.acknowledged or (CASES[kind].latches and "merged" not in data)
            if rings and not testing:
                case.rung_s = now_s
            case.shown_s, case.acknowledged, case.delivered = now_s, False, False

        counted: ListedData = {**data, **listing, "case": case.id, "count": case.count}
        self._recorder.record(
            CASES[kind].event,
            input_id,
            counted,
            id=id,
            at=at,
            cases={case.id: case.stored(acknowledged=False)},
            then=shown,
        )
        self._confirm(case, at, data)
        return case.id

    def _confirm(self, pressed: Case, at: Stamp, data: ChangeData) -> None:
        """Open hold-ups that this press confirms. One found at the start, or a sum of chatter, is no second."""
        kind = pressed.kind
        if kind == "tamper":
            self._tamper_s = at.mono_s
        elif not CASES[kind].holdup:
            return
        again = kind != "tamper" and "at_boot" not in data and "merged" not in data
        for case in self.open.values():
            if case.confirmed or not CASES[case.kind].holdup:
                continue
            if abs(self._tamper_s - case.last_s) <= CONFIRM_S:
                because: Literal["press", "tamper"] = "tamper"
            elif again and at.mono_s > case.first_s + CONFIRM_S:
                because = "press"
            else:
                continue
            case.confirmed = True
            confirmed: ConfirmedData = {
                "transition": "raised",
                "input": data["input"],
                "case": case.id,
                "because": because,
            }
            cases = {case.id: case.stored(acknowledged=case.acknowledged and case is not pressed)}
            self._recorder.record("alarm.confirmed", data["input"], confirmed, at=at, cases=cases)

    def restore(self, input_id: str, kind: str, at: Stamp, data: ChangeData) -> None:
        """A contact is idle again; its case stays open until a person closes it."""
        alarm: AlarmData = {**data}
        if (case := self.of(input_id)) is not None:
            alarm["case"] = case.id
        if "changes" in data:
            alarm["count"] = data["changes"]
        self._recorder.record(CASES[kind].event, input_id, alarm, at=at)

    def cancel(self, input_id: str, at: Stamp, data: ChangeData) -> str:
        """A second message about the newest alarm that is not silent, never a suppression.

        Returns the case's id; its own where none is open.
        """
        id = self._recorder.new_id()
        newest = max((c for c in self.open.values() if not c.silent), key=lambda case: case.last_seq, default=None)
        cancelled: CancelledData = {**data}
        if newest is not None:
            cancelled["alarm"] = cancelled["case"] = newest.id
        if "changes" in data:
            cancelled["count"] = data["changes"]
        self._recorder.record("alarm.cancelled", input_id, cancelled, id=id, at=at)
        return newest.id if newest is not None else id

    def reset(self, at: Stamp) -> None:
        """The reset input at the place closes everything that is not silent."""
        for case in [case for case in self.open.values() if not case.silent]:
            self.close(case, "reset", "", at)

    def acknowledge(self, case: Case, by: str, note: str) -> None:
        """A named person has seen it."""

        def seen(_: float) -> None:
            case.acknowledged = True

        data: CaseData = {"case": case.id, "by": by, "note": note}
        cases = {case.id: case.stored(acknowledged=True)}
        self._recorder.record("audit.acknowledged", case.input, data, cases=cases, then=seen)

    def close(self, case: Case, by: str, note: str, at: Stamp) -> None:
        """The lamp goes on showing it until the end is on the disk; a press from now on opens a new case."""
        del self.open[case.id]
        self._closing[case.id] = case

        def over(_: float) -> None:
            del self._closing[case.id]

        closed: CaseData = {"case": case.id, "by": by, "note": note}
        self._recorder.record("audit.closed", case.input, closed, at=at, cases={case.id: None}, then=over)
        kind = CASES[case.kind]
        if kind.latches:
            restored: AlarmData = {
                "transition": "restored",
                "input": case.input,
                "case": case.id,
                "count": case.count,
                "by": by,
            }
            self._recorder.record(kind.event, case.input, restored, at=at)

    def delivered(self, ranges: Iterable[Range]) -> None:
        """Central has stored these."""
        stored = within(ranges)
        for case in self.open.values():
            case.delivered |= stored(case.last_seq)

    def moved(self, seqs: Mapping[int, int]) -> None:
        """The recorder goes on in another journal. What was on the old disk is not shown as delivered before it is."""
        for case in self.open.values():
            case.last_seq = seqs.get(case.last_seq, 0)

    def rewritten(self, stale: Iterable[str]) -> dict[str, str | None]:
        """The cases as the journal is to keep them from now on; stale: bodies of those that it kept until now."""
        gone: dict[str, str | None] = {json.loads(body)["id"]: None for body in stale}
        return gone | {case.id: case.stored(acknowledged=case.acknowledged) for case in self.open.values()}

    def due_s(self, now_s: float) -> float | None:
        """When a phase changes by itself."""
        waits = [case.shown_s + WAITING_S for case in self.shown if case.shown_s is not None]
        return min((due for due in waits if due > now_s), default=None)
