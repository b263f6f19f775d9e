"""The journal's table of reports: what is owed on which path besides MQTT, and what became of it.

Each is called inside the journal's own transactions; a row is written in that of its event.
"""

import sqlite3
from typing import Final

from agent.events import Event
from agent.kinds import CLASSES
from agent.mail import Write
from agent.path_mail import REPORT_STATES, DueReport, FindDue
from agent.ranges import Range

OWED, _, REFUSED, UNNEEDED = range(len(REPORT_STATES))
OWED_MAX: Final = 1_000
"""Counted up to here: the count is for people."""
LEFT: Final = "the path is not in the config any more"


def apply(sql: sqlite3.Connection, write: Write) -> None:
    """What a write says of reports."""
    rows = [(row.path, row.seq, CLASSES.index(row.cls), row.spare) for row in write.reports]
    if rows:
        sql.executemany("INSERT INTO reports (path, seq, class, spare) VALUES (?,?,?,?)", rows)
    for row in write.judged:
        sql.execute(
            "UPDATE reports SET state=?, time=?, reason=? WHERE path=? AND seq=?",
            (REPORT_STATES.index(row.state), row.time, row.reason, row.path, row.seq),
        )
    if write.paths is not None:
        places = ",".join("?" * len(write.paths))
        sql.execute(
            f"UPDATE reports SET state={REFUSED}, reason=? WHERE state={OWED} AND path NOT IN ({places})",  # noqa: S608
            (LEFT, *write.paths),
        )


def delivered(sql: sqlite3.Connection, events: Range) -> None:
    """Central has these: paths that are asked only where it has not need not send them."""
    sql.execute(
        f"UPDATE reports SET state={UNNEEDED} WHERE seq BETWEEN ? AND ? AND spare AND state={OWED}",  # noqa: S608
        events,
    )


def due(sql: sqlite3.Connection, journal: str, wish: FindDue) -> DueReport:
    """The oldest report that is owed on a path, alarms before troubles."""
    found = sql.execute(
        f"SELECT e.seq, e.class, e.body FROM reports r JOIN events e ON e.seq=r.seq WHERE r.path=? AND r.state={OWED}"  # noqa: S608
        " AND r.seq<=? ORDER BY r.class, r.seq LIMIT 1",
        (wish.path, wish.through),
    ).fetchone()
    [owed] = sql.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM reports WHERE path=? AND state={OWED} LIMIT {OWED_MAX})",  # noqa: S608
        [wish.path],
    ).fetchone()
    event = Event(found[0], CLASSES[found[1]], found[2]) if found else None
    return DueReport(journal, wish.path, wish.token, event, owed)
