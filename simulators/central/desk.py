"""What the operators see: boxes, cases, commands under way, the newest other events. Pure; the clock is handed in."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulators.central.boxes import Box
from simulators.central.cases import Case, case_of, entry
from simulators.central.evidence import TYPE as EVIDENCE
from simulators.central.evidence import Evidence, File, Have
from simulators.central.store import Command, Record
from simulators.central.wire import Event, seconds

RECENT_MAX = 100  # other events on the page
CLOSED_MAX = 100  # closed cases on the page
COMMANDS_MAX = 200
ANSWER_S = 10.0  # after this long without an answer a command is shown as unanswered

Change = tuple[str, dict[str, Any]]  # name and data of a server-sent event


@dataclass
class Sent:
    """A command and what became of it: `sent`, `unanswered`, `done`, `refused`, `unreachable` or `expired`."""

    command: Command
    status: str = "sent"
    reason: str = ""
    answered_at: str = ""

    def shown(self) -> dict[str, Any]:
        """For the page."""
        c = self.command
        names = {"id": c.id, "box": c.box, "verb": c.verb, "case": c.case, "note": c.note, "sent_at": c.sent_at}
        return {**names, "status": self.status, "reason": self.reason, "answered_at": self.answered_at}


class Desk:
    """Filled by the hub's thread alone; `changes` gives what the pages have to be told."""

    def __init__(self, have: Callable[[str, str], Have] = lambda *_: Have(0, False, 0)) -> None:
        """have: what is here of the file of (box, sha256)."""
        self.boxes: dict[str, Box] = {}
        self._have = have
        self._cases: dict[str, Case] = {}
        self._evidence: dict[str, Evidence] = {}
        self._commands: dict[str, Sent] = {}
        self._recent: deque[Record] = deque(maxlen=RECENT_MAX)
        self._dirty: dict[tuple[str, str], None] = {}
        self._new: list[Record] = []

    def box(self, name: str) -> Box:
        """The box, known or new."""
        return self.boxes.setdefault(name, Box(name))

    def touch_box(self, name: str) -> None:
        """Its state has changed."""
        self._dirty["box", name] = None

    def event(self, record: Record) -> None:
        """A stored event, once (or again, when it was looked at again)."""
        if record.event.box not in self.boxes:
            self.box(record.event.box)
            self.touch_box(record.event.box)
        if record.event.type == "callbox.audit.command" and record.proven:
            self._answered(record)
        if record.event.type == EVIDENCE and record.proven:
            self._named(record.event)
            return
        case = case_of(record) if record.event.type != EVIDENCE else None
        if case is not None:
            self._case(record.event.box, case).add(record)
            self._dirty["case", f"{record.event.box} {case}"] = None
        if case is None:
            self._recent = deque((r for r in self._recent if r.event.id != record.event.id), maxlen=RECENT_MAX)
            self._recent.append(record)
            self._new.append(record)

    def _named(self, event: Event) -> None:
        case = str(event.data.get("case", ""))
        key = f"{event.box} {case}"
        self._evidence.setdefault(key, Evidence(event.box, case)).add(event)
        self._dirty["evidence", key] = None
        self._recent = deque((r for r in self._recent if r.event.id != event.id), maxlen=RECENT_MAX)

    def touch_file(self, box: str, sha256: str) -> None:
        """More of it has come."""
        for key, evidence in self._evidence.items():
            if evidence.box == box and sha256 in evidence.files:
                self._dirty["evidence", key] = None

    def file(self, box: str, case: str, sha256: str) -> File | None:
        """A file of evidence of a case that is on the desk, when it is whole."""
        evidence = self._evidence.get(f"{box} {case}")
        return evidence.files.get(sha256) if evidence is not None and self._have(box, sha256).whole else None

    def _case(self, box: str, case: str) -> Case:
        return self._cases.setdefault(f"{box} {case}", Case(case, box))

    def _answered(self, record: Record) -> None:
        data = record.event.data
        sent = self._commands.get(str(data.get("command")))
        if sent is not None and sent.command.box == record.event.box and sent.status != "done":
            sent.status = "done" if data.get("result") == "done" else "refused"
            sent.reason, sent.answered_at = str(data.get("reason") or ""), record.received_at
            self._dirty["command", sent.command.id] = None

    def command(self, command: Command) -> dict[str, Any]:
        """A command that was sent, or set a case aside."""
        sent = self._commands[command.id] = Sent(command, "done" if command.verb == "aside" else "sent")
        if command.verb == "aside":
            self._case(command.box, command.case).aside = command
            self._dirty["case", f"{command.box} {command.case}"] = None
        while len(self._commands) > COMMANDS_MAX:
            self._commands.pop(next(iter(self._commands)))
        self._dirty["command", command.id] = None
        return sent.shown()

    def unreachable(self, id_: str, reason: str) -> None:
        """The broker had nobody to give this command to."""
        sent = self._commands.get(id_)
        if sent is not None and sent.status in ("sent", "unanswered"):
            sent.status, sent.reason = "unreachable", reason
            self._dirty["command", id_] = None

    def knows(self, box: str, case: str) -> bool:
        """Is there such a case?"""
        return f"{box} {case}" in self._cases

    def tick(self, now_s: float, wall_s: float) -> None:
        """Silences and commands without an answer."""
        for box in self.boxes.values():
            if box.tick(now_s):
                self.touch_box(box.name)
        for sent in self._commands.values():
            if sent.status not in ("sent", "unanswered"):
                continue
            status = sent.status
            if wall_s > (seconds(sent.command.expires) or 0):
                status = "expired"
            elif wall_s > (seconds(sent.command.sent_at) or 0) + ANSWER_S:
                status = "unanswered"
            if status != sent.status:
                sent.status = status
                self._dirty["command", sent.command.id] = None

    def changes(self) -> list[Change]:
        """What has changed since the last call, in the order in which it first did."""
        dirty, self._dirty, new, self._new = self._dirty, {}, self._new, []
        changes: list[Change] = []
        for kind, name in dirty:
            if kind == "box":
                changes.append(("box", self.boxes[name].shown()))
            elif kind == "evidence":
                if name in self._evidence:
                    changes.append(("evidence", self._evidence[name].shown(self._have)))
            elif kind == "command":
                changes.append(("command", self._commands[name].shown()))
            elif (shown := self._cases[name].shown()) is not None:
                changes.append(("case", shown))
        changes += [("event", entry(record)) for record in new[-RECENT_MAX:]]
        self._forget_closed()
        return changes

    def _forget_evidence(self) -> None:
        """Of cases that are not here, as of scans: the newest stay."""
        loose = [key for key in self._evidence if key not in self._cases]
        for key in loose[:-RECENT_MAX]:
            del self._evidence[key]

    def _forget_closed(self) -> None:
        self._forget_evidence()
        if len(self._cases) <= 2 * CLOSED_MAX:
            return
        closed = [key for key, case in self._cases.items() if (shown := case.shown()) and shown["state"] == "closed"]
        for key in closed[:-CLOSED_MAX]:
            del self._cases[key]

    def snapshot(self) -> dict[str, Any]:
        """Everything at once."""
        cases = [shown for case in self._cases.values() if (shown := case.shown()) is not None]
        closed = sorted((c for c in cases if c["state"] == "closed"), key=lambda c: str(c["received_at"]))[-CLOSED_MAX:]
        return {
            "boxes": [box.shown() for box in self.boxes.values()],
            "cases": [c for c in cases if c["state"] != "closed"] + closed,
            "evidence": [evidence.shown(self._have) for evidence in self._evidence.values()],
            "commands": [sent.shown() for sent in self._commands.values()],
            "events": [entry(record) for record in self._recent],
        }
