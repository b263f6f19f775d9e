"""The outputs: what each of them shows now, and when that changes. Pure.

Nothing of it is kept: after a start all are off until something stands that they show.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.alarms import Alarms
from agent.feedback import Feedback, Show
from agent.mail import Action, SetOutput
from agent.recorder import Recorder
from agent.supervision import Supervision

if TYPE_CHECKING:
    from agent.config import Output


class Outputs:
    """Reads what stands in the other rooms, and sets what has to be set otherwise."""

    def __init__(
        self,
        entries: Sequence["Output"],
        alarms: Alarms,
        recorder: Recorder,
        supervision: Supervision,
        out: list[Action],
    ) -> None:
        self._entries, self._alarms, self._recorder, self._supervision = entries, alarms, recorder, supervision
        self._out = out
        self._feedback = Feedback()
        self._on: dict[str, bool] = {}
        self._ended = False
        self.may_change = True
        """Something has happened since they were looked at."""

    def update(self) -> None:
        """Sets what is to be otherwise now."""
        if not self.may_change or self._ended:
            return
        self.may_change = False
        now_s = self._recorder.now.mono_s
        self._feedback.update(self._shows(now_s), now_s)
        color = self._feedback.lit(now_s)
        for entry in self._entries:
            if entry.role == "feedback":
                self._set(entry.id, color is not None and entry.color in (None, color))

    def due_s(self) -> float | None:
        """When one of them changes by itself."""
        return self._feedback.due_s(self._recorder.now.mono_s)

    def end(self) -> None:
        """The box ends: all of them off."""
        for output in self._on:
            self._set(output, False)
        self._ended = True

    def _set(self, output: str, on: bool) -> None:
        if self._on.get(output, False) != on:
            self._on[output] = on
            self._out.append(SetOutput(output, on))

    def _shows(self, now_s: float) -> list[Show]:
        """The lamp never says "recorded" of what is in memory alone; "received" is central's word and stays true."""
        volatile = self._recorder.volatile
        inputs = any(name.startswith("input ") for name in self._recorder.troubles)
        fault = volatile or inputs or self._supervision.shows
        phases = [case.phase(now_s) for case in self._alarms.shown]
        told: list[Show] = [p for p in phases if p is not None and not (volatile and p in ("recorded", "waiting"))]
        return ["fault", *told] if fault else told
