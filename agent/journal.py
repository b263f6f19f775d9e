"""The journal's file: every event on the disk before anybody hears of it, and what is owed to central.

Only its owner thread writes it (`agent/writer.py`); `agent/reader.py` is for other processes.

Every statement lets go of the interpreter and has to get it back, which under load takes longer than the statement; so
events go in by the dozen (their debts and the count come by triggers), and a fetch is one row.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Final

from agent import journal_files, journal_paths, schema
from agent.errors import BoxError
from agent.events import ZERO_HASH, Event
from agent.identity import b64
from agent.kinds import CLASSES, Cause, EventClass
from agent.mail import Fetch, Survey, Surveyed, Write
from agent.media_mail import FetchedFiles, FetchFiles, OwedFile, SurveyedFiles, SurveyFiles
from agent.path_mail import DueReport, FindDue
from agent.ranges import Hole, Range, joined

FILE = "journal.db"
ROWS: Final = 50
"""Events in one statement."""
OWING_SEQS: Final = 5_000
"""Boxseqs looked at in one transaction when central asks for events again."""
EVERY: Final = "class IN (0, 1, 2, 3, 4)"
"""All classes, each looked up by the key of `owed`."""
FILES_MAX: Final = 10_000
"""Of evidence, that a journal in memory hands on."""
MEMORY_BYTES: Final = 16_777_216
"""All the room of a journal in memory."""
LOOK_ROWS: Final = 2_000
"""Events looked at in one survey, and so pruned in one transaction."""
PRUNE_TIGHT: Final = 300
"""Events pruned in one transaction as long as the reserve is given up: to prune takes room in the WAL."""
HOLES_MAX: Final = 200
"""Ranges in one record of what was pruned; it is an event, and that is at most 64 KB."""
MAY_GO: Final = {
    False: "NOT EXISTS (SELECT 1 FROM owed o WHERE o.class=e.class AND o.seq=e.seq)"
    " AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.seq=e.seq)"
    " AND NOT EXISTS (SELECT 1 FROM reports r WHERE r.seq=e.seq AND r.state=0)",
    True: "e.class IN (2, 3)",
}
"""What may go while there is room: what central has, and no other path wants. When there is none: scans and status."""
OWE: Final = "INSERT INTO owing VALUES (?,?) ON CONFLICT DO UPDATE SET last=max(last, excluded.last)"
WAL_BYTES_KEPT: Final = 4_194_304
"""Of the WAL's file, to be written over: a file that grows makes each sync slower."""

Connector = Callable[[str], sqlite3.Connection]


def connect(path: str) -> sqlite3.Connection:
    """A plain connection, to be used by one thread at a time; transactions are begun and ended by word."""
    sql = sqlite3.connect(path, timeout=5, check_same_thread=False, isolation_level=None)
    # A flipped bit makes text that is no UTF-8, and that must be no error of the disk's: who reads it judges it.
    sql.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return sql


@dataclass(frozen=True, slots=True)
class Opened:
    """What a journal says of itself when it is opened.

    cases: (body, owed) of each open case; owed: its last press has not reached central. settings: all of them.
    clips: under way, by name. media_bytes: of files, that central has not. volatile: it is in memory, because the disk
    does not work; files: then, all of them.
    """

    name: str
    seq: int
    prevhash: bytes
    pending: dict[EventClass, int]
    cases: tuple[tuple[str, bool], ...]
    seen: dict[str, float]
    settings: dict[str, str]
    volatile: bool
    clips: dict[str, str] = field(default_factory=dict)
    media_bytes: int = 0
    files: tuple[OwedFile, ...] = ()


class Journal:
    """One open journal. Every method raises sqlite3.Error when the disk fails."""

    def __init__(self, path: Path | None, connector: Connector = connect) -> None:
        """path: None for a journal in memory. Raises BoxError for a file that is no journal or of a newer version."""
        self.path, self._connector = path, connector
        self._sql = connector(":memory:" if path is None else str(path))
        try:
            self._check(path)
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "wal_autocheckpoint=0",
                f"journal_size_limit={WAL_BYTES_KEPT}",
                "secure_delete=FAST",
            ):
                self._sql.execute(f"PRAGMA {pragma}")
            schema.bring_up_to_date(self._sql)
            self.pending = self._pending()
            self.media_bytes = journal_files.owed_bytes(self._sql)
            """Of evidence, that central has not."""
            [self.name] = self._sql.execute("SELECT value FROM settings WHERE name='journal'").fetchone() or [""]
        except BaseException:
            self._sql.close()
            raise

    def _check(self, path: Path | None) -> None:
        [version], [application], [tables] = (
            self._sql.execute(query).fetchone()
            for query in ("PRAGMA user_version", "PRAGMA application_id", "SELECT count(*) FROM sqlite_master")
        )
        if version > schema.SCHEMA_VERSION:
            raise BoxError(
                f"{path} is of version {version}; this agent knows up to {schema.SCHEMA_VERSION}",
                "install the newer agent",
            )
        if tables and application != schema.APPLICATION_ID:
            raise BoxError(f"{path} is another program's database", "give callbox a state_dir of its own")

    def _pending(self) -> dict[EventClass, int]:
        rows = self._sql.execute("SELECT events FROM pending ORDER BY class").fetchall()
        return {cls: row[0] for cls, row in zip(CLASSES, rows, strict=True)}

    def opened(self) -> Opened:
        """What stands in it."""
        last = self._sql.execute("SELECT seq, body FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        settings = dict(self._sql.execute("SELECT name, value FROM settings"))
        cases = [body for [body] in self._sql.execute("SELECT body FROM cases")]
        return Opened(
            name=settings["journal"],
            seq=last[0] if last else 0,
            prevhash=sha256(last[1]).digest() if last else ZERO_HASH,
            pending=dict(self.pending),
            cases=tuple((body, self._owes(json.loads(body)["last_seq"])) for body in cases),
            seen=dict(self._sql.execute("SELECT id, forget_after FROM commands")),
            settings=settings,
            volatile=self.path is None,
            clips=dict(self._sql.execute("SELECT name, body FROM clips")),
            media_bytes=self.media_bytes,
            files=journal_files.some(self._sql, FILES_MAX) if self.path is None else (),
        )

    def _owes(self, seq: int) -> bool:
        """What is parked has not reached central either."""
        found = self._sql.execute(
            "SELECT 1 FROM owed WHERE class=0 AND seq=:seq UNION ALL SELECT 1 FROM parked WHERE seq=:seq", {"seq": seq}
        )
        return found.fetchone() is not None

    # ---- writing

    def write(self, writes: Iterable[Write]) -> None:
        """All of it in one transaction; on the disk when it returns, nothing of it when it raises.

        writes: read while the transaction is open, so that what comes meanwhile may still join.
        """
        pending, media_bytes = dict(self.pending), self.media_bytes
        counted = weighed = True
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            events: list[Event] = []
            for write in writes:
                events += write.events
                if len(events) >= ROWS or write != Write(write.events):  # what else it says may be about its events
                    self._insert(events)
                    events.clear()
                    self._apply(write)
                for event in write.events:
                    pending[event.cls] += 1
                counted &= not (write.delivered or write.parked or write.prune)
                weighed &= not (write.files or write.stored or write.gone)
            self._insert(events)
            if not counted:
                pending = self._pending()
            if not weighed:
                media_bytes = journal_files.owed_bytes(self._sql)
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise
        self.pending, self.media_bytes = pending, media_bytes

    def _insert(self, events: Sequence[Event]) -> None:
        for at in range(0, len(events), ROWS):
            rows = [(event.seq, CLASSES.index(event.cls), event.body) for event in events[at : at + ROWS]]
            places = ",".join(["(?,?,?)"] * len(rows))
            self._sql.execute(f"INSERT INTO events VALUES {places}", [*chain.from_iterable(rows)])  # noqa: S608

    def _apply(self, write: Write) -> None:
        """All but its events."""
        sql = self._sql
        for first, last in write.delivered:
            sql.execute(f"DELETE FROM owed WHERE {EVERY} AND seq BETWEEN ? AND ?", (first, last))  # noqa: S608
            sql.execute("DELETE FROM parked WHERE seq BETWEEN ? AND ?", (first, last))
            journal_paths.delivered(sql, (first, last))
        for first, last in write.owe:
            sql.execute(OWE, (first, last))
        for seq, reason in write.parked.items():
            sql.execute("INSERT OR REPLACE INTO parked VALUES (?,?)", (seq, reason))
            sql.execute(f"DELETE FROM owed WHERE {EVERY} AND seq=?", [seq])  # noqa: S608
        for first, last, digest in write.prune:
            for table, where in (("owed", f"{EVERY} AND "), ("parked", ""), ("reports", ""), ("events", "")):
                sql.execute(f"DELETE FROM {table} WHERE {where} seq BETWEEN ? AND ?", (first, last))  # noqa: S608
            sql.execute("DELETE FROM pruned WHERE first BETWEEN ? AND ?", (first, last))
            sql.execute("INSERT INTO pruned VALUES (?,?,?)", (first, last, digest))
        for case, body in write.cases.items():
            if body is None:
                sql.execute("DELETE FROM cases WHERE id=?", [case])
            else:
                sql.execute("INSERT OR REPLACE INTO cases VALUES (?,?)", (case, body))
        for name, forget_after in write.seen.items():
            sql.execute("DELETE FROM commands WHERE forget_after<?", [time.time()])
            sql.execute("INSERT OR REPLACE INTO commands VALUES (?,?)", (name, forget_after))
        for name, value in write.settings.items():
            sql.execute("INSERT OR REPLACE INTO settings VALUES (?,?)", (name, value))
        journal_files.apply(sql, write)
        journal_paths.apply(sql, write)

    def owe_some(self) -> Range | None:
        """A part of what is to be owed again becomes owed, in one transaction; its boxseqs, None when that is all."""
        sql = self._sql
        found = sql.execute("SELECT first, last FROM owing ORDER BY first LIMIT 1").fetchone()
        if found is None:
            return None
        first, last = found[0], min(found[1], found[0] + OWING_SEQS - 1)
        sql.execute("BEGIN IMMEDIATE")
        try:
            sql.execute("DELETE FROM parked WHERE seq BETWEEN ? AND ?", (first, last))
            sql.execute(
                "INSERT OR IGNORE INTO owed SELECT class, seq FROM events WHERE seq BETWEEN ? AND ?", (first, last)
            )
            journal_files.owe_again(sql, (first, last))
            sql.execute("DELETE FROM owing WHERE first=?", [first])
            if last < found[1]:
                sql.execute(OWE, (last + 1, found[1]))
            pending, media_bytes = self._pending(), journal_files.owed_bytes(sql)
            sql.execute("COMMIT")
        except BaseException:
            if sql.in_transaction:
                sql.execute("ROLLBACK")
            raise
        self.pending, self.media_bytes = pending, media_bytes
        return first, last

    # ---- reading

    def fetch(self, fetch: Fetch) -> tuple[tuple[Event, ...], bool]:
        """Owed events of a class after a boxseq, oldest first, and whether there are more."""
        seqs, bodies = self._sql.execute(
            "SELECT group_concat(seq), CAST(group_concat(body, x'0a') AS BLOB) FROM"
            " (SELECT o.seq AS seq, e.body AS body FROM owed o JOIN events e ON e.seq=o.seq"
            "  WHERE o.class=? AND o.seq>? ORDER BY o.seq LIMIT ?)",
            (CLASSES.index(fetch.cls), fetch.after, fetch.limit + 1),
        ).fetchone()
        if seqs is None:
            return (), False
        pairs = zip(map(int, seqs.split(",")), bodies.split(b"\n"), strict=True)  # canonical JSON has no line ends
        events = [Event(seq, fetch.cls, body) for seq, body in sorted(pairs)]
        return tuple(events[: fetch.limit]), len(events) > fetch.limit

    def fetch_files(self, fetch: FetchFiles) -> FetchedFiles:
        """Files that central has not, in the order of sending."""
        return FetchedFiles(self.name, *journal_files.owed(self._sql, fetch.limit))

    def find_due(self, wish: FindDue) -> DueReport:
        """What goes next by a path."""
        return journal_paths.due(self._sql, self.name, wish)

    def file_names(self) -> tuple[set[str], tuple[str, ...], set[str]]:
        """Files that it knows, those to be unlinked, and those whose row it cannot read; beside the owner's thread."""
        with closing(self.second()) as sql:
            return journal_files.names(sql)

    # ---- what may go

    def survey_files(self, wish: SurveyFiles, lent: int = 0) -> SurveyedFiles:
        """Which files may go. lent: as in `survey`."""
        _, free, size = self.room()
        wish = replace(wish, free_min=min(wish.free_min, size // 8))
        return SurveyedFiles(self.name, *journal_files.may_go(self._sql, wish, free - lent))

    def room(self) -> tuple[int, int, int]:
        """Bytes in use, bytes that it may still grow by, its own free pages included, and the size of it all."""
        size, count, spare = (
            self._sql.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
        )
        used = (count - spare) * size
        if self.path is None:
            return used, MEMORY_BYTES - used, MEMORY_BYTES
        disk = os.statvfs(self.path.parent)
        return used, disk.f_bavail * disk.f_frsize + spare * size, disk.f_blocks * disk.f_frsize

    def survey(self, wish: Survey, lent: int = 0) -> Surveyed:
        """What may go, of the next LOOK_ROWS events: joined with the holes beside it. The last event always stays.

        lent: bytes of the room that are no room for this, but the reserve's.
        """
        used, free, size = self.room()
        cause: Cause = (
            "disk" if free - lent < min(wish.free_min, size // 16) else "size" if used > wish.used_max else "days"
        )
        if cause == "days" and not wish.before:
            cause = ""
        nothing = Surveyed(self.name, cause, (), 0, 0, 0)
        if not cause:
            return nothing
        may_go = MAY_GO[cause == "disk" and wish.undelivered]
        old = "1" if cause != "days" else "json_extract(CAST(e.body AS TEXT), '$.time') < :before"
        query = (
            f"WITH rows AS (SELECT seq, class, body FROM events WHERE seq>:after ORDER BY seq LIMIT {LOOK_ROWS}),"  # noqa: S608
            f" found AS (SELECT e.seq, {MAY_GO[False]} AS delivered FROM rows e WHERE ({may_go}) AND ({old})"
            "  AND e.seq<(SELECT max(seq) FROM events)"
            "  AND NOT (e.class=4 AND instr(e.body, CAST('callbox.audit.pruned' AS BLOB)))"
            f"  ORDER BY e.seq LIMIT {PRUNE_TIGHT if lent else LOOK_ROWS})"
            f" SELECT (SELECT group_concat(seq) FROM found), (SELECT max(seq) FROM rows HAVING count(*)={LOOK_ROWS}),"
            " (SELECT count(*) FROM found WHERE NOT delivered)"
        )
        values = {"after": wish.after, "before": wish.before}
        seqs, last, undelivered = self._sql.execute(query, values).fetchone()
        if seqs is None:
            # What is not yet old is followed by what is younger; what is owed may be followed by what is not.
            return replace(nothing, after=0 if cause == "days" else last or 0)
        whole = joined((seq, seq) for seq in map(int, seqs.split(",")))[:HOLES_MAX]
        holes: list[Hole] = []
        for first, last, digest in map(self._with_neighbours, whole):
            beside = holes and first <= holes[-1][1] + 1  # one hole lay between two ranges
            holes.append((holes.pop()[0] if beside else first, last, digest))
        count = sum(last - first + 1 for first, last in whole)
        return Surveyed(self.name, cause, tuple(holes), count, undelivered, 0)

    def _with_neighbours(self, found: Range) -> Hole:
        """A range that is to go as the hole that it will be: with the holes right before and after it."""
        first, last = found
        before = self._sql.execute("SELECT first FROM pruned WHERE last=?", [first - 1]).fetchone()
        after = self._sql.execute("SELECT last, hash FROM pruned WHERE first=?", [last + 1]).fetchone()
        if after is not None:
            return (before[0] if before else first), after[0], after[1]
        [body] = self._sql.execute("SELECT body FROM events WHERE seq=?", [last]).fetchone()
        return (before[0] if before else first), last, b64(sha256(body).digest())

    # ---- care

    def wal_bytes(self) -> int:
        """The size of the part of the journal that is not yet in the database."""
        try:
            return self.path.with_name(f"{FILE}-wal").stat().st_size if self.path else 0
        except FileNotFoundError:
            return 0

    def checkpoint(self) -> None:
        """Moves the WAL into the database; waits for no reader."""
        self._sql.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def second(self) -> sqlite3.Connection:
        """Another connection to the same file, for a checkpoint beside the writing; to be closed by who asked."""
        return self._connector(str(self.path))

    def everything(self) -> list[Event]:
        """All its events, oldest first; for a journal in memory, whose size is bounded."""
        rows = self._sql.execute("SELECT seq, class, body FROM events ORDER BY seq")
        return [Event(seq, CLASSES[number], body) for seq, number, body in rows]

    def close(self) -> None:
        self._sql.close()
