"""Alarms are cases: opened by the first press, counted by further ones, closed by a person. Pure.

              press                receipt              acknowledge
    (none) ----------> recorded ----------> received ----------------> acknowledged
                          | 2 s                 ^  press (count + 1)       |
                          v                     |                          |
                       waiting -----------------+--------------------------+
    any of these -- close, or the reset input for kinds that are not silent --> (none)

The phase is derived, not stored: from the boxseq of the last press, what is recorded and delivered, and the
acknowledgement.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from agent.kinds import KINDS

Phase = Literal["recorded", "waiting", "received", "acknowledged"]
WAITING_S: Final = 2.0
"""A recorded press that is not at central after this long is shown as waiting."""


@dataclass(slots=True)
class Case:
    """One alarm. id: of its first event. last_seq: boxseq of its last press.

    shown_s: when that press was found on the disk; None while the fsync is out, and then the lamp shows nothing new.
    """

    id: str
    input: str
    kind: str
    count: int
    last_seq: int
    acknowledged: bool = False
    delivered: bool = False
    shown_s: float | None = None

    @property
    def silent(self) -> bool:
        return KINDS[self.kind].silent

    def stored(self, *, acknowledged: bool) -> str:
        """What the journal keeps of it: as it will be when the event that is written with it is on the disk."""
        kept = {name: getattr(self, name) for name in ("id", "input", "kind", "count", "last_seq")}
        return json.dumps(kept | {"acknowledged": acknowledged}, sort_keys=True)

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
    """The open cases, oldest first."""

    def __init__(self, stored: Iterable[tuple[str, bool]], now_s: float) -> None:
        """stored: from the journal, (body, owed); a case of an earlier run was recorded then."""
        bodies: list[tuple[dict[str, Any], bool]] = [(json.loads(body), owed) for body, owed in stored]
        cases = [Case(**body, delivered=not owed, shown_s=now_s) for body, owed in bodies]
        self.open: dict[str, Case] = {case.id: case for case in sorted(cases, key=lambda case: case.id)}

    def of(self, input_id: str) -> Case | None:
        """The open case of an input."""
        return next((case for case in self.open.values() if case.input == input_id), None)

    def press(self, input_id: str, kind: str, event_id: str, seq: int, presses: int = 1) -> Case:
        """A press, or `presses` merged ones, as event `event_id`: opens a case or counts in the open one."""
        case = self.of(input_id)
        if case is None:
            case = Case(event_id, input_id, kind, 0, seq)
            self.open[case.id] = case
        case.count += presses
        case.last_seq = seq
        return case

    def recorded(self, case: Case, now_s: float) -> None:
        """Its last press is on the disk: from now on the lamp may say so. It wants a person's answer again."""
        case.shown_s, case.acknowledged, case.delivered = now_s, False, False

    def delivered(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Central has stored these."""
        for first, last in ranges:
            for case in self.open.values():
                if first <= case.last_seq <= last:
                    case.delivered = True

    def resettable(self) -> list[Case]:
        """What the reset input at the place may close: everything that is not silent."""
        return [case for case in self.open.values() if not case.silent]
