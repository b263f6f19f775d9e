"""What central knows of one box: its sessions and its last state. Pure; the clock is handed in."""

from dataclasses import dataclass, field
from typing import Any

from simulators.central.wire import CLASSES, Event, seconds

SILENT_S = 75.0  # three missed heartbeats of 25 s, as long as the box's own beat is not known
SILENT_RANGE_S = (15.0, 180.0)  # three of the shortest and the longest beat that a box may have: 5 and 60 s
LATE_MAX_S = 400 * 24 * 3600.0  # what would be later than this came from a clock that was never set
SESSIONS_MAX = 50  # names of old sessions that are remembered


@dataclass
class Box:
    """One box. key: the first that it announced; first_seq: the number in the first state of its present session."""

    name: str
    key: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    online: bool = False
    session: str = ""
    journal: str = ""
    first_seq: int = 0
    sessions: list[str] = field(default_factory=list)
    seen_at: str = ""
    seen_s: float = float("-inf")
    silent: bool = False
    gaps_s: list[float] = field(default_factory=list)  # between the latest states of this session
    slow_s: list[float] = field(default_factory=list)  # how far its clock was behind ours in them, with their way here
    through: int = 0  # all events of its journal up to this one are stored

    def take(self, state: dict[str, Any], at: str, now_s: float) -> bool:
        """A message on `state`; True when a new session began. What an older session still says is ignored."""
        session = state.get("session")
        if not isinstance(session, str) or (session in self.sessions and session != self.session):
            return False
        if state.get("online") is not True:
            if session == self.session:
                self.online, self.silent, self.seen_at, self.seen_s = False, False, at, now_s
            return False
        began = session != self.session
        if began:
            self.session, self.gaps_s, self.slow_s = session, [], []
            self.sessions = [*self.sessions, session][-SESSIONS_MAX:]
            self.journal = str(state.get("journal", ""))
            self.first_seq = state["seq"] if type(state.get("seq")) is int else 0
        else:
            self.gaps_s = [*self.gaps_s, now_s - self.seen_s][-4:]
        self.online, self.silent, self.state, self.seen_at, self.seen_s = True, False, state, at, now_s
        if not self.key and isinstance(state.get("key"), str):
            self.key = state["key"]
        return began

    @property
    def announced_key(self) -> str:
        """The key in its last state."""
        key = self.state.get("key")
        return key if isinstance(key, str) else ""

    def replayed(self, event: Event) -> bool:
        """Was it recorded before the present session, so that it came in after an outage?"""
        return bool(self.session) and (event.journal != self.journal or event.seq <= self.first_seq)

    def set_clock(self, at: str) -> None:
        """The last state came straight from the box: its time is compared with ours."""
        said, here = seconds(str(self.state.get("time"))), seconds(at)
        if self.online and said is not None and here is not None:
            self.slow_s = [*self.slow_s, here - said][-8:]

    def late_s(self, event: Event, at: str) -> float | None:
        """How long the event was on its way. A clock that was not set is corrected by what it said in the states of
        this session; None where that cannot be, or makes no sense."""
        recorded, here = seconds(event.time), seconds(at)
        slow_s = 0.0 if event.timequality == "synced" else min(self.slow_s, default=None)
        if recorded is None or here is None or slow_s is None:
            return None
        late_s = max(0.0, here - recorded - slow_s)
        return round(late_s, 3) if late_s < LATE_MAX_S else None

    def stored(self, journal: str, through: int) -> bool:
        """All of this journal up to `through` is stored; True when with that nothing of its last state is pending."""
        before = self.through
        if journal == self.state.get("journal"):
            self.through = through
        seq = self.state.get("seq")
        return isinstance(seq, int) and before < seq <= self.through

    def silent_after_s(self) -> float:
        """Three heartbeats, as long as they lately were; 75 s before two of them have come."""
        if len(self.gaps_s) < 2:
            return SILENT_S
        return min(max(3 * max(self.gaps_s), SILENT_RANGE_S[0]), SILENT_RANGE_S[1])

    def tick(self, now_s: float) -> bool:
        """True when the box has just become silent."""
        if self.online and not self.silent and now_s - self.seen_s >= self.silent_after_s():
            self.silent = True
            return True
        return False

    def _all_here(self) -> bool:
        """Has all come that was recorded at its last state? What it then had pending is not pending any more."""
        seq = self.state.get("seq")
        return isinstance(seq, int) and 0 < seq <= self.through

    @property
    def seen(self) -> dict[str, Any]:
        """What the store keeps beside the state."""
        return {
            "session": self.session,
            "sessions": self.sessions,
            "journal": self.journal,
            "first_seq": self.first_seq,
            "online": self.online,
            "seen_at": self.seen_at,
        }

    @classmethod
    def restored(cls, name: str, key: str, state: dict[str, Any], seen: dict[str, Any], now_s: float) -> "Box":
        """From the store; its silence is counted from now."""
        return cls(name=name, key=key, state=state, seen_s=now_s, **seen)

    def shown(self) -> dict[str, Any]:
        """For the page: only what has the shape that the contract gives it."""
        state = self.state
        pending, inputs, trouble = state.get("pending"), state.get("inputs"), state.get("trouble")
        return {
            "box": self.name,
            "name": str(state.get("name") or self.name),
            "link": "silent" if self.silent else "online" if self.online else "offline",
            "seen_at": self.seen_at,
            "agent": str(state.get("agent", "")),
            "key_changed": bool(self.key and self.announced_key and self.announced_key != self.key),
            "pending": {
                cls: number
                for cls in (*CLASSES, "media_bytes")
                if isinstance(pending, dict)
                and (cls == "media_bytes" or not self._all_here())
                and type(number := pending.get(cls)) is int
                and number > 0
            },
            "inputs": [
                {"id": id_, "value": str(reading.get("value", "")), "quality": str(reading.get("quality", ""))}
                for id_, reading in sorted(inputs.items())
                if isinstance(reading, dict)
            ]
            if isinstance(inputs, dict)
            else [],
            "trouble": [_trouble(entry) for entry in trouble] if isinstance(trouble, list) else [],
        }


def _trouble(entry: object) -> dict[str, str]:
    """A trouble is a kind, or an object with its kind and where it is."""
    if isinstance(entry, dict):
        kind = entry.get("kind") or entry.get("type") or ""
        where = next((entry[key] for key in ("input", "where", "subject", "reason") if entry.get(key)), "")
        return {"kind": str(kind).removeprefix("callbox.trouble."), "where": str(where)}
    kind, _, where = str(entry).removeprefix("callbox.trouble.").partition(" ")
    return {"kind": kind, "where": where}
