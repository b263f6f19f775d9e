"""Alarms as cases: all events of one alarm, and what they mean together, in whatever order they came. Pure."""

from dataclasses import dataclass, field
from typing import Any

from simulators.central.store import Command, Record

LATE_S = 5.0  # an alarm that took longer than this to get here says so
HISTORY_MAX = 200  # newest events of one case that the page is given
TEXT_MAX = 500  # characters of any text in an event that the page is given
SILENT_KINDS = frozenset({"holdup", "duress"})
CONTACT_KINDS = frozenset({"intrusion", "tamper"})  # they record both edges; the rest latch until closed


def late_s(record: Record) -> float | None:
    """How late the event was, in seconds; None where it was prompt or nobody can tell."""
    return record.late_s if record.late_s is not None and record.late_s > LATE_S else None


def entry(record: Record) -> dict[str, Any]:
    """One line of a history, for the page."""
    event = record.event
    return {
        "box": event.box,
        "id": event.id,
        "seq": event.seq,
        "class": event.cls,
        "type": event.type,
        "time": event.time,
        "clock": event.timequality,
        "received_at": record.received_at,
        "late_s": late_s(record),
        "replayed": record.replayed,
        "problems": list(record.problems),
        "data": {
            key: value[:TEXT_MAX] if isinstance(value, str) else value
            for key, value in event.data.items()
            if isinstance(value, str | int | float)
        }
        | {"lists": names(event.data.get("lists")), "position": place(event.data.get("position"))},
    }


def names(value: object) -> str:
    """A list of names as one text, for the page."""
    return ", ".join(str(name) for name in value)[:TEXT_MAX] if isinstance(value, list) else ""


def place(value: object) -> dict[str, Any] | None:
    """Where a box with a satellite receiver was, as far as it said so in numbers; None of all others."""
    if not isinstance(value, dict):
        return None
    known = {key: value[key] for key in ("lat", "lon") if isinstance(value.get(key), int | float)}
    return known | {"stale": value.get("stale") is True}


def case_of(record: Record) -> str | None:
    """The case that an event belongs to: the id of its first alarm."""
    event = record.event
    case = event.data.get("case")
    if isinstance(case, str) and case:
        return case
    if event.type.startswith("callbox.alarm.") and event.data.get("transition") == "raised":
        return event.id
    return None


@dataclass
class Case:
    """One alarm from the first press to the end."""

    id: str
    box: str
    records: dict[str, Record] = field(default_factory=dict)
    aside: Command | None = None  # an operator took it off the desk, because its box does not know it

    def add(self, record: Record) -> None:
        """One more event of this case; the order of coming does not matter, the box's own does."""
        self.records[record.event.id] = record

    def _ordered(self) -> list[Record]:
        return sorted(self.records.values(), key=lambda record: (record.event.journal, record.event.seq))

    def shown(self) -> dict[str, Any] | None:
        """For the page; None as long as no raised alarm of it has come.

        An unproven event may raise an alarm (better one too many), but never calms one.
        """
        state, kind, count, raised = "open", "", 0, []
        done: dict[str, dict[str, str]] = {}
        flags: set[str] = set()
        first: Record | None = None
        for record in self._ordered():
            event, data = record.event, record.event.data
            family, _, leaf = event.type.removeprefix("callbox.").partition(".")
            by = {
                "by": str(data.get("by", ""))[:TEXT_MAX],
                "note": str(data.get("note", ""))[:TEXT_MAX],
                "time": event.time,
            }
            if family == "alarm" and data.get("transition") == "raised":
                first = first or record
                raised.append(record)
                kind = kind or leaf
                number = data.get("count")
                if leaf == "confirmed":  # of a press that was told by itself, or of a contact
                    flags.add("confirmed")
                else:
                    count = max(count + 1, number) if type(number) is int else count + 1
                state = "open"
                done.pop("restored", None)
                done.pop("closed", None)
                flags |= {name for name in ("at_boot", "merged") if data.get(name) is True}
            elif not record.proven:
                continue
            elif family == "alarm" and leaf == "cancelled":
                flags.add("cancelled")
            elif family == "alarm" and data.get("transition") == "restored":
                done["restored"] = by
                if leaf not in CONTACT_KINDS or data.get("by"):
                    state = "closed"
            elif event.type == "callbox.audit.acknowledged":
                done["acknowledged"] = by
                state = "acknowledged" if state == "open" else state
            elif event.type == "callbox.audit.closed":
                done["closed"] = by
                state = "closed"
        if first is None:
            return None
        if self.aside and self.aside.sent_at >= max(record.received_at for record in raised):
            state = "closed"
            done["closed"] = {"by": self.aside.operator, "note": self.aside.note, "time": self.aside.sent_at}
        data = first.event.data
        return {
            "id": self.id,
            "box": self.box,
            "kind": kind,
            "silent": kind in SILENT_KINDS,
            "input": str(data.get("input") or ""),
            "code": str(data.get("code") or "")[:TEXT_MAX],
            "lists": names(data.get("lists")),
            "cid": data.get("cid") if type(data.get("cid")) is int else None,
            "count": count,
            "state": state,
            "opened": first.event.time,
            "raised": max(record.event.time for record in raised),
            "received_at": max(record.received_at for record in raised),
            "clock": first.event.timequality,
            "late_s": max((late for record in raised if (late := late_s(record)) is not None), default=None),
            "replayed": all(record.replayed for record in raised),
            "fresh": not raised[-1].replayed,
            "test": all(record.event.data.get("test") is True for record in raised),
            "rings": sum(record.event.data.get("test") is not True for record in raised),
            "flags": sorted(flags | ({"aside"} if self.aside and state == "closed" else set())),
            "problems": sorted({problem for record in self.records.values() for problem in record.problems}),
            "done": done,
            "history": [entry(record) for record in self._ordered()[-HISTORY_MAX:]],
        }
