"""The journal as another process may see it: read only, while the daemon writes."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import BoxError, sqlite_error
from agent.identity import ChainCheck
from agent.journal import FILE
from agent.kinds import CLASSES, EventClass
from agent.path_mail import REPORT_STATES

PAGE_ROWS: Final = 500
"""Read at once by who looks on."""


class Reader:
    """One journal, open for reading. Raises BoxError."""

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / FILE
        if not path.exists():
            raise BoxError(f"{path}: no journal there", "name the box with --config or --state-dir")
        try:
            self._sql = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
            named = self._sql.execute("SELECT value FROM settings WHERE name='journal'").fetchone()
        except sqlite3.Error as error:
            raise sqlite_error(error) from error
        if named is None:
            raise BoxError(f"{path} has no name: it is damaged", "the box moves it aside at its next start")
        self.name = str(named[0])

    def events(
        self, *, after: int = 0, cls: EventClass | None = None, pending: bool = False, parked: bool = False
    ) -> Iterator[tuple[int, bytes]]:
        """(boxseq, bytes) after a boxseq, oldest first; of one class, or owed or parked ones alone."""
        where, values = "e.seq > ? AND e.seq <= ?", list[int]()
        if cls is not None:
            where += " AND e.class = ?"
            values.append(CLASSES.index(cls))
        if pending:
            where += " AND EXISTS (SELECT 1 FROM owed o WHERE o.class = e.class AND o.seq = e.seq)"
        if parked:
            where += " AND EXISTS (SELECT 1 FROM parked p WHERE p.seq = e.seq)"
        query = f"SELECT e.seq, e.body FROM events e WHERE {where} ORDER BY e.seq LIMIT {PAGE_ROWS}"  # noqa: S608
        try:
            # In pages: an open SELECT, behind somebody's `less`, would keep the daemon's WAL growing.
            [last] = self._sql.execute("SELECT max(seq) FROM events").fetchone()
            while rows := self._sql.execute(query, [after, last, *values]).fetchall():
                yield from rows
                after = rows[-1][0]
        except sqlite3.Error as error:
            raise sqlite_error(error) from error

    def parked(self) -> dict[int, str]:
        """The reason of each boxseq that is parked."""
        try:
            return dict(self._sql.execute("SELECT seq, reason FROM parked ORDER BY seq"))
        except sqlite3.Error as error:
            raise sqlite_error(error) from error

    def reports(self, seq: int) -> list[tuple[str, str, str, str]]:
        """By which ways besides MQTT an event went, or is to go: path, state, time (RFC 3339), reason."""
        query = "SELECT path, state, time, reason FROM reports WHERE seq=? ORDER BY path"
        try:
            rows = self._sql.execute(query, [seq]).fetchall()
        except sqlite3.Error as error:
            raise sqlite_error(error) from error
        return [(path, REPORT_STATES[state], time, reason) for path, state, time, reason in rows]

    def at_central(self, seq: int) -> bool:
        """Whether central has said that it stored it."""
        query = (
            "SELECT seq FROM owed WHERE class IN (0,1,2,3,4) AND seq=:seq UNION SELECT seq FROM parked WHERE seq=:seq"
        )
        try:
            return self._sql.execute(query, {"seq": seq}).fetchone() is None
        except sqlite3.Error as error:
            raise sqlite_error(error) from error

    def checked(self, public: bytes) -> ChainCheck:
        """All its events, held against each other and the box's key.

        The daemon may prune meanwhile: the record of a hole is there when the hole is, behind the last event of before.
        """
        check = ChainCheck(public)
        while True:
            seq = check.seq
            for row in self.events(after=seq):
                check.see(*row)
            if not check.missing or check.seq == seq:
                return check

    def close(self) -> None:
        self._sql.close()
