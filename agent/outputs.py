"""The outputs: what each of them does now, and when that changes. Pure.

    feedback, buzzer   what became of a press or a scan, for who stands there; and a fault, once
    siren              an alarm that is not silent, until it is acknowledged, and at most `longest_s`
    strobe             the same, until it is closed
    neighbour          an alarm of another box
    relay              by command alone

Nothing of it is kept: after a start all are in their safe state until something happens. What a command wants of one
goes before all that, and always has an end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from agent.alarms import Alarms, Case
from agent.commands import RefusedError
from agent.feedback import EDGE_S, NEIGHBOUR, PATTERNS, SIRENS, STEADY, Feedback, Pattern, Show, Tones
from agent.lists import Lists
from agent.mail import Action, SetOutput
from agent.messages import OutputState
from agent.neighbours import Neighbours
from agent.recorder import Recorder

if TYPE_CHECKING:
    from agent.config import Output

HOLD_S_MAX: Final = 900
"""A command holds an output for so long at most; a siren for no longer than it may sound."""


class Bell:
    """How long a siren sounds: from the first press on at most so long; then it waits for a press from after that."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._over_s = float("-inf")
        """Presses until then have had their time."""
        self.since_s: float | None = None
        """It sounds since then."""

    def rings(self, presses_s: Iterable[float], now_s: float) -> bool:
        """presses_s: of the alarms that it is to sound for now."""
        wanted = any(press_s > self._over_s for press_s in presses_s)
        if self.since_s is None:
            self.since_s = now_s if wanted else None
        elif not wanted or now_s + EDGE_S >= self.since_s + self._longest_s:
            self.since_s, self._over_s = None, now_s
        return self.since_s is not None

    @property
    def due_s(self) -> float | None:
        return None if self.since_s is None else self.since_s + self._longest_s


@dataclass(frozen=True, slots=True)
class Held:
    """What a command wants of an output, and until when."""

    on: bool
    until_s: float


@dataclass(frozen=True, slots=True)
class Wish:
    """An `output` command, checked."""

    output: str
    state: Literal["on", "off"]
    for_s: float


class Outputs:
    """Reads what stands in the other rooms, and sets what has to be set otherwise."""

    def __init__(
        self,
        entries: Sequence["Output"],
        alarms: Alarms,
        lists: Lists,
        neighbours: Neighbours,
        recorder: Recorder,
        out: list[Action],
    ) -> None:
        self._entries = {entry.id: entry for entry in entries}
        self._alarms, self._lists, self._neighbours = alarms, lists, neighbours
        self._recorder, self._out = recorder, out
        self._feedback, self._tones = Feedback(), Tones()
        self._told: set[tuple[Show, str, float]] | None = None
        """What the buzzer has told: show, case, second of the press; of a scan that of its answer."""
        self._bells = {entry.id: Bell(entry.longest_s) for entry in entries if entry.role == "siren"}
        self._held: dict[str, Held] = {}
        self._on: dict[str, bool] = {}
        """As they were set; at the start none was, and each is: a relay board may hold what a dead run left."""
        self._busy: dict[str, bool] = {}
        self._due_s: float | None = None
        self._ended = False
        self.may_change = True
        """Something has happened since they were looked at."""

    def update(self, *, line_broken: bool) -> None:
        """Sets what is to be otherwise now. line_broken: the way to central is, in a way that the place may see."""
        if not self.may_change or self._ended:
            return
        self.may_change = False
        now_s = self._recorder.now.mono_s
        shown = self._alarms.shown
        inputs = any(name.startswith("input ") for name in self._recorder.troubles)
        fault = self._recorder.volatile or inputs or line_broken
        self._feedback.update(self._shows(shown, now_s, fault=fault), now_s, self._lists.flash)
        self._tell(shown, now_s, fault=fault)
        self._held = {id: held for id, held in self._held.items() if now_s + EDGE_S < held.until_s}
        dues = [held.until_s for held in self._held.values()]
        for entry in self._entries.values():
            self._busy[entry.id], on, due_s = self._wanted(entry, shown, now_s)
            self._set(entry.id, on)
            dues += [due_s] if due_s is not None else []
        ends = [self._feedback.due_s(now_s), self._tones.due_s(now_s), *(bell.due_s for bell in self._bells.values())]
        self._due_s = min([*dues, *(due_s for due_s in ends if due_s is not None)], default=None)

    def due_s(self) -> float | None:
        """When one of them changes by itself."""
        return self._due_s

    def end(self) -> None:
        """The box ends: each goes to its safe state, and stays there."""
        for entry in self._entries.values():
            self._set(entry.id, entry.safe == "on")
        self._due_s, self._ended = None, True

    def state(self) -> dict[str, OutputState]:
        """As in the retained state: role and value by id. A lamp that blinks is on."""
        return {
            entry.id: {"role": entry.role, "value": "on" if self._busy.get(entry.id) else "off"}
            for entry in self._entries.values()
        }

    # ---- by command

    def wish(self, data: Mapping[str, Any]) -> Wish:
        """What an `output` command asks for. Raises RefusedError."""
        free = [entry.id for entry in self._entries.values() if entry.role != "feedback"]
        output, state, for_s = data.get("output"), data.get("state"), data.get("for_s")
        if output not in free:
            raise RefusedError(f"data.output: a command may drive {', '.join(free) or 'none here'}")
        if state not in ("on", "off"):
            raise RefusedError("data.state: on or off")
        most = self._entries[output].longest_s if output in self._bells else HOLD_S_MAX
        if isinstance(for_s, bool) or not isinstance(for_s, int | float) or not 0 < for_s <= most:
            raise RefusedError(f"data.for_s: seconds, more than 0 and at most {most}; nothing is driven without an end")
        return Wish(output, "on" if state == "on" else "off", for_s)

    def hold(self, wish: Wish, now_s: float) -> None:
        """From now on, until its time is over or another wish comes."""
        self._held[wish.output] = Held(wish.state == "on", now_s + wish.for_s)

    # ---- what they do

    def _set(self, output: str, on: bool) -> None:
        if self._on.get(output) != on:
            self._on[output] = on
            self._out.append(SetOutput(output, on))

    def _wanted(self, entry: "Output", shown: Sequence[Case], now_s: float) -> tuple[bool, bool, float | None]:
        """Whether it does something, whether it is on at this moment, and when that changes by itself."""
        pattern: Pattern | None = None
        since_s = now_s
        answered = [case for case in shown if not case.test and (not entry.inputs or case.input in entry.inputs)]
        if (held := self._held.get(entry.id)) is not None:
            pattern = STEADY if held.on else None
        elif entry.role == "feedback":
            color = self._feedback.lit(now_s)
            return self._feedback.busy, color is not None and entry.color in (None, color), None
        elif entry.role == "buzzer":
            on = self._tones.on(now_s)
            return on, on, None
        elif entry.role == "siren":
            bell = self._bells[entry.id]
            sounding = SIRENS.keys() | ({case.kind for case in answered} if entry.inputs else set())
            heard = [case for case in answered if case.kind in sounding and not case.acknowledged]
            if bell.rings([case.rung_s for case in heard if case.rung_s is not None], now_s):
                kinds = {case.kind for case in heard}
                pattern = next((SIRENS[kind] for kind in SIRENS if kind in kinds), STEADY)
                since_s = bell.since_s or now_s
        elif entry.role == "strobe":
            pattern = STEADY if any(case.shown_s is not None for case in answered) else None
        elif entry.role == "neighbour":
            if (shown_s := self._neighbours.since_s) is not None:
                pattern, since_s = NEIGHBOUR, shown_s
        elif entry.safe == "on":
            pattern = STEADY
        if pattern is None:
            return False, False, None
        step_s = pattern.next_s(now_s - since_s + EDGE_S)
        return True, pattern.lit(now_s - since_s + EDGE_S), None if step_s is None else since_s + step_s

    def _shows(self, shown: Sequence[Case], now_s: float, *, fault: bool) -> list[Show]:
        """The lamp never says "recorded" of what is in memory alone; "received" is central's word and stays true."""
        volatile = self._recorder.volatile
        phases = [case.phase(now_s) for case in shown]
        told: list[Show] = [p for p in phases if p is not None and not (volatile and p in ("recorded", "waiting"))]
        return ["fault", *told] if fault else told

    def _tell(self, shown: Sequence[Case], now_s: float, *, fault: bool) -> None:
        """Who pressed hears what became of each press; who stands by, that there is a fault, when it begins."""
        told: set[tuple[Show, str, float]] = {("fault", "", 0.0)} if fault else set()
        for case in shown:
            phase = case.phase(now_s)
            if phase is not None and case.shown_s is not None:
                vain = self._recorder.volatile and phase in ("recorded", "waiting")
                told.add(("fault" if vain else phase, case.id, case.shown_s))
        if (flash := self._lists.flash) is not None:
            told.add((flash[0], "", flash[1]))
        fresh = {show for show, *_ in told - (told if self._told is None else self._told)}
        self._told = told
        for show in PATTERNS:
            if show in fresh:
                self._tones.play(show, now_s)
