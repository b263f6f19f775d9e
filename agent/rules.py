"""What must hold in a journal, by number (docs/architecture.md), and the rules about the tables beside the events.

Each of these has its check, which only reads, and its mending, which writes only what follows from the events.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, get_args

from agent.alarms import Case
from agent.compliance import Compliance
from agent.kinds import CLASSES, KINDS
from agent.models import LastEnd
from agent.ranges import Hole
from agent.supervision import SETTING


class Rule(IntEnum):
    """The numbers of the rules."""

    FILE = 1
    KIND = 2
    MISSING = 3
    ROWS = 4
    CHAIN = 5
    SIGNATURES = 6
    PRUNED = 7
    HOLES = 8
    OWED = 9
    ONE_OF_TWO = 10
    PENDING = 11
    PARKED = 12
    OWING = 13
    CASES = 14
    SETTINGS = 15
    FILES = 16
    EVIDENCE = 17
    CLIPS = 18
    REPORTS = 19


MENDABLE: Final = frozenset(Rule) - {*range(Rule.FILE, Rule.PRUNED), Rule.HOLES, Rule.FILES}
"""What follows from the events alone, whatever is wrong with it. Of the others only a name and a row of a hole do."""


@dataclass
class Facts:
    """What the events say, all of them.

    journal: the name in them. holes: proven, and missing: the others. cases: those pressed and not closed, as their
    last press tells them. changed: boxseqs of those whose bytes nobody can read. classes: by boxseq, of those whose row
    says another.
    """

    journal: str = ""
    holes: list[Hole] = field(default_factory=list)
    missing: list[Hole] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    classes: dict[int, int] = field(default_factory=dict)


PRESSES: Final = {
    f"callbox.{kind.event}": name for name, kind in KINDS.items() if kind.alarm and name not in ("cancel", "reset")
}
"""The kind of input by the type of the event that its press leaves, where that opens a case."""

QUERIES: Final = {
    Rule.ONE_OF_TWO: "SELECT seq FROM parked p WHERE EXISTS"
    " (SELECT 1 FROM owed o WHERE o.class IN (0, 1, 2, 3, 4) AND o.seq=p.seq)",
    Rule.PARKED: "SELECT seq FROM parked p WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq=p.seq)",
    Rule.OWING: "SELECT first || '-' || last FROM owing"
    " WHERE first<1 OR last<first OR last>(SELECT ifnull(max(seq), 0) FROM events)",
    Rule.REPORTS: "SELECT path || ' ' || r.seq FROM reports r LEFT JOIN events e ON e.seq=r.seq"
    " WHERE e.class IS NOT r.class OR r.class NOT IN (0, 1) OR r.state NOT IN (0, 1, 2, 3) OR r.spare NOT IN (0, 1)"
    " OR typeof(r.path)<>'text' OR typeof(r.time)<>'text' OR typeof(r.reason)<>'text' OR (r.state=1 AND r.time='')",
    Rule.SETTINGS: "SELECT id FROM commands WHERE typeof(forget_after) NOT IN ('real', 'integer')",
}
"""What is wrong, a row each."""

MENDING: Final = (
    "DELETE FROM parked WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.seq=parked.seq)",
    # What perhaps nobody can take is tried again: that costs a repeat, and the other way might cost an event.
    "DELETE FROM parked WHERE EXISTS (SELECT 1 FROM owed o WHERE o.class IN (0, 1, 2, 3, 4) AND o.seq=parked.seq)",
    "UPDATE owing SET last=min(last, (SELECT ifnull(max(seq), 0) FROM events))",
    "INSERT INTO owing SELECT 1, last FROM owing WHERE first<1 AND last>=1"
    " ON CONFLICT DO UPDATE SET last=max(last, excluded.last)",
    "DELETE FROM owing WHERE first<1 OR last<first",
    "DELETE FROM reports WHERE typeof(path)<>'text'"
    " OR NOT EXISTS (SELECT 1 FROM events e WHERE e.seq=reports.seq AND e.class IN (0, 1))",
    "UPDATE reports SET class=(SELECT class FROM events e WHERE e.seq=reports.seq), spare=(spare IS NOT 0)",
    # What nobody can say that it was delivered goes again: that costs a repeat.
    "UPDATE reports SET state=0, time='', reason='' WHERE state NOT IN (0, 1, 2, 3)"
    " OR typeof(time)<>'text' OR typeof(reason)<>'text' OR (state=1 AND time='')",
    "DELETE FROM pending",
    # An id whose time cannot be read is never forgotten, so that nobody can send that command again.
    "UPDATE commands SET forget_after=9e12 WHERE typeof(forget_after) NOT IN ('real', 'integer')",
)


def broken(sql: sqlite3.Connection, facts: Facts) -> Iterator[tuple[Rule, str]]:
    """What is wrong in the tables, and where; to be read in one transaction, so that all of it is of one moment."""
    settings = _settings(sql)
    name = settings.get("journal", "")
    if not re.fullmatch("[0-9a-f]{8}", name) or facts.journal not in ("", name):
        yield Rule.KIND, f"journal {name!r}" + (f", in its events {facts.journal}" if facts.journal else "")
    yield from _holes(sql, facts)
    for _, seq, _ in _debts(sql, facts):
        yield Rule.OWED, str(seq)
    for rule, query in QUERIES.items():
        for [found] in sql.execute(query):
            yield rule, str(found)
    told, counted = dict(sql.execute("SELECT class, events FROM pending")), _counted(sql)
    for number in sorted({*told, *counted}):
        if told.get(number) != counted.get(number):
            yield Rule.PENDING, CLASSES[number] if number in counted else str(number)
    for id, body in sql.execute("SELECT id, body FROM cases").fetchall():
        if not _case_is_right(sql, id, body, facts):
            yield Rule.CASES, str(id)
    for setting, value in settings.items():
        if not _readable(setting, value):
            yield Rule.SETTINGS, setting


def mend(sql: sqlite3.Connection, facts: Facts) -> None:
    """All of it that follows from the events. The caller has a transaction, and the lock of the box."""
    if facts.journal:
        sql.execute("INSERT OR REPLACE INTO settings VALUES ('journal', ?)", [facts.journal])
    sql.execute("DELETE FROM pruned")
    sql.executemany("INSERT INTO pruned VALUES (?, ?, ?)", facts.holes)
    for number, seq, right in _debts(sql, facts):
        sql.execute("DELETE FROM owed WHERE class IS ? AND seq IS ?", [number, seq])
        if right is not None:
            sql.execute("INSERT OR IGNORE INTO owed VALUES (?, ?)", [right, seq])
    for statement in MENDING:
        sql.execute(statement)
    sql.executemany("INSERT INTO pending VALUES (?, ?)", _counted(sql).items())
    for id, body in sql.execute("SELECT id, body FROM cases").fetchall():
        if _case_is_right(sql, id, body, facts):
            continue
        if (case := facts.cases.get(id)) is None:
            sql.execute("DELETE FROM cases WHERE id=?", [id])
        else:  # whoever acknowledged it is asked once more
            sql.execute("UPDATE cases SET body=? WHERE id=?", [case.stored(acknowledged=False), id])
    for name, value in _settings(sql).items():
        if _readable(name, value):
            continue
        sql.execute("DELETE FROM settings WHERE name=?", [name])
        if name == "last_end":  # what stands there until a run ends in another way
            sql.execute("INSERT INTO settings VALUES ('last_end', 'crash')")


def press_of(event: dict[str, Any], seq: int) -> Case | None:
    """The case as one of its presses tells it; None where the event is no press. Raises KeyError, TypeError."""
    kind, data = PRESSES.get(event["type"]), event["data"]
    if kind is None or data["transition"] != "raised":
        return None
    return Case(data["case"], data["input"], kind, data["count"], seq)


def _settings(sql: sqlite3.Connection) -> dict[str, str]:
    """What is not even text cannot be read by the box, and is shown as it is."""
    rows = sql.execute("SELECT name, value FROM settings")
    return {str(name): value if isinstance(value, str) else repr(value) for name, value in rows}


def _counted(sql: sqlite3.Connection) -> dict[int, int]:
    found = dict(sql.execute("SELECT class, count(*) FROM owed GROUP BY class"))
    return {number: found.get(number, 0) for number in range(len(CLASSES))}


def _debts(sql: sqlite3.Connection, facts: Facts) -> list[tuple[Any, Any, int | None]]:
    """Those in a wrong class: the class, the boxseq, and the right class; None where there is no such event.

    A row of an event that says another class than the event moves no debt: it would be sent as what it is not.
    """
    rows = sql.execute(
        "SELECT o.class, o.seq, e.class FROM owed o LEFT JOIN events e ON e.seq=o.seq WHERE e.class IS NOT o.class"
    )
    found = [(number, seq, facts.classes.get(seq, told)) for number, seq, told in rows]
    return [debt for debt in found if debt[0] != debt[2] and debt[2] in (None, *range(len(CLASSES)))]


def _holes(sql: sqlite3.Connection, facts: Facts) -> Iterator[tuple[Rule, str]]:
    """Each row is a gap between two events, whose second names its hash; and each proven hole has its row, no other."""
    rows = sql.execute(
        "SELECT first, last, EXISTS (SELECT 1 FROM events WHERE seq BETWEEN first AND last),"
        " last>=first AND (first=1 OR EXISTS (SELECT 1 FROM events WHERE seq=first-1)) AND EXISTS"
        """ (SELECT 1 FROM events WHERE seq=last+1 AND instr(body, CAST('"prevhash":"' || hash || '"' AS BLOB)))"""
        " FROM pruned"
    )
    for first, last, filled, joins in rows:
        if filled:
            yield Rule.HOLES, f"{first}-{last}"
        elif not joins:
            yield Rule.PRUNED, f"{first}-{last}"
    # What was read in pages, while the daemon pruned, may be less of a hole than there is now, and never more.
    for wanted, holes in ((True, facts.holes), (False, facts.missing)):
        for first, last, _ in holes:
            query = "SELECT last>=? FROM pruned WHERE first<=? ORDER BY first DESC LIMIT 1"
            covered = sql.execute(query, [last, first]).fetchone() == (1,)
            if covered != wanted:
                yield Rule.PRUNED, f"{first}-{last}"


def _case_is_right(sql: sqlite3.Connection, id: str, body: str, facts: Facts) -> bool:
    """The box can read it, and it is open and as its last press says, where that can be read.

    A press 0 is in another journal.
    """
    try:
        case = Case(**json.loads(body))
        flags = (case.acknowledged, case.confirmed, case.test)
        types = type(case.input), type(case.count), type(case.last_seq), *map(type, flags)
        whole = json.loads(case.stored(acknowledged=case.acknowledged)) == json.loads(body)
        if (
            case.id != id
            or types != (str, int, int, bool, bool, bool)
            or not whole
            or case.kind not in PRESSES.values()
        ):
            return False
        if case.last_seq == 0 or case.last_seq in facts.changed or is_gone(sql, facts, case.last_seq):
            return True
        [press] = sql.execute("SELECT body FROM events WHERE seq=?", [case.last_seq]).fetchone()
        told = press_of(json.loads(press), case.last_seq)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return False
    known = facts.cases.get(id)
    same = told is not None and (told.id, told.input, told.kind, told.count) == (id, case.input, case.kind, case.count)
    return same and known is not None and known.count <= case.count


def is_gone(sql: sqlite3.Connection, facts: Facts, seq: int) -> bool:
    """Whether it is in a hole, or missing."""
    row = sql.execute("SELECT EXISTS (SELECT 1 FROM pruned WHERE ? BETWEEN first AND last)", [seq]).fetchone()
    return row == (1,) or any(first <= seq <= last for first, last, _ in facts.missing)


def _readable(name: str, value: str) -> bool:
    """Whether the box can begin with it."""
    try:
        match name.split(" ")[0]:
            case "last_end":
                return value in get_args(LastEnd)
            case "raised":
                return value in ("0", "1")
            case "merged":
                return int(value) >= 0
            case setting if setting == SETTING:
                Compliance(value, 1.0, 0.0, 0.0).report(0.0)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    return True
