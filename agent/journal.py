"""The journal: every event on the disk before anybody hears of it, and what is owed to central.

`Journal` is the file; only its owner thread writes. `JournalWorker` is that thread: it takes all that waits in one
transaction (group commit) with `synchronous=FULL`, so that an answer `Recorded` means that fsync returned. `read`
is for other processes.
"""

import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from agent import schema
from agent.errors import BoxError, sqlite_error
from agent.events import ZERO_HASH, Event
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Fetched, Recorded, StorageFailed, Write

FILE = "journal.db"
SETTLE_S: Final = 1.0
"""Delivered marks without an event beside them are committed after this long."""
WAL_ROWS_QUIET: Final = 64
WAL_ROWS_MAX: Final = 4096
"""Checkpoint above the first in a quiet second, above the second in any case (a large WAL doubles a commit's time)."""
GROUP_MAX: Final = 1000
"""Requests in one transaction."""
PAGE_ROWS: Final = 500
"""Read at once by who looks on."""

Connector = Callable[[str], sqlite3.Connection]


def connect(path: str) -> sqlite3.Connection:
    """A plain connection, to be used by one thread at a time."""
    return sqlite3.connect(path, timeout=5, check_same_thread=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a journal says of itself when it is opened.

    cases: (body, owed) of each open case; owed: its last press has not reached central. settings: all of them.
    volatile: it is in memory, because the disk does not work.
    """

    name: str
    seq: int
    prevhash: bytes
    pending: dict[EventClass, int]
    cases: tuple[tuple[str, bool], ...]
    seen: dict[str, float]
    settings: dict[str, str]
    volatile: bool


class Journal:
    """One open journal. Every method raises sqlite3.Error when the disk fails."""

    def __init__(self, path: Path | None, connector: Connector = connect) -> None:
        """path: None for a journal in memory. Raises BoxError for a file that is no journal or of a newer version."""
        self._db = Database(connector(":memory:" if path is None else str(path)))
        self._sql = self._db.conn
        try:
            self._check(path)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0"):
                self._sql.execute(f"PRAGMA {pragma}")
            schema.bring_up_to_date(self._db)
            self._rows, self._volatile = 0, path is None
            self.pending = {cls: self._count(number) for number, cls in enumerate(CLASSES)}
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

    def _count(self, number: int) -> int:
        count: int = self._sql.execute("SELECT count(*) FROM owed WHERE class=?", [number]).fetchone()[0]
        return count

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
            volatile=self._volatile,
        )

    def _owes(self, seq: int) -> bool:
        """What is parked has not reached central either."""
        found = self._sql.execute(
            "SELECT 1 FROM owed WHERE class=0 AND seq=:seq UNION ALL SELECT 1 FROM parked WHERE seq=:seq", {"seq": seq}
        )
        return found.fetchone() is not None

    def write(self, writes: Sequence[Write]) -> None:
        """All of it in one transaction; on the disk when it returns, nothing of it when it raises."""
        pending = dict(self.pending)
        with self._db.atomic():
            for write in writes:
                self._apply(write, pending)
        self.pending = pending
        self._rows += len(writes)

    def _apply(self, write: Write, pending: dict[EventClass, int]) -> None:
        sql = self._sql
        for event in write.events:
            number = CLASSES.index(event.cls)
            sql.execute("INSERT INTO events VALUES (?,?,?,?)", (event.seq, number, event.id, event.body))
            sql.execute("INSERT INTO owed VALUES (?,?)", (number, event.seq))
            pending[event.cls] += 1
        for first, last in write.delivered:
            for number, cls in enumerate(CLASSES):
                done = sql.execute("DELETE FROM owed WHERE class=? AND seq BETWEEN ? AND ?", (number, first, last))
                pending[cls] -= done.rowcount
            sql.execute("DELETE FROM parked WHERE seq BETWEEN ? AND ?", (first, last))
            if self._volatile:  # memory keeps what is owed and no more
                sql.execute("DELETE FROM events WHERE seq BETWEEN ? AND ?", (first, last))
        for first, last in write.owe:
            sql.execute("DELETE FROM parked WHERE seq BETWEEN ? AND ?", (first, last))
            for number, cls in enumerate(CLASSES):
                again = sql.execute(
                    "INSERT OR IGNORE INTO owed SELECT class, seq FROM events WHERE class=? AND seq BETWEEN ? AND ?",
                    (number, first, last),
                )
                pending[cls] += again.rowcount
        for seq, reason in write.parked.items():
            sql.execute("INSERT OR REPLACE INTO parked VALUES (?,?)", (seq, reason))
            for number, cls in enumerate(CLASSES):
                pending[cls] -= sql.execute("DELETE FROM owed WHERE class=? AND seq=?", (number, seq)).rowcount
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

    def fetch(self, fetch: Fetch) -> tuple[tuple[Event, ...], bool]:
        """Owed events of a class after a boxseq, oldest first, and whether there are more."""
        rows = self._sql.execute(
            "SELECT e.seq, e.id, e.body FROM owed o JOIN events e ON e.seq=o.seq"
            " WHERE o.class=? AND o.seq>? ORDER BY o.seq LIMIT ?",
            (CLASSES.index(fetch.cls), fetch.after, fetch.limit + 1),
        ).fetchall()
        events = tuple(Event(seq, fetch.cls, name, body) for seq, name, body in rows[: fetch.limit])
        return events, len(rows) > fetch.limit

    def checkpoint(self, rows_max: int) -> None:
        """Moves the WAL into the database when more rows than that were written since; waits for no reader."""
        if self._rows > rows_max:
            self._sql.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._rows = 0

    def close(self) -> None:
        self._sql.close()


def open_journal(state_dir: Path, wall_s: float) -> tuple[Journal, str]:
    """The box's journal, and why it had to be started anew ("" when it had not).

    A file that is no journal, damaged, or of a newer version is moved aside, never deleted. When the disk itself does
    not work, the journal is in memory: the box stays armed and says so.
    """
    path = state_dir / FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        try:
            return _usable(path), ""
        except (sqlite3.OperationalError, OSError):
            raise
        except (sqlite3.DatabaseError, BoxError) as error:
            reason = str(sqlite_error(error) if isinstance(error, sqlite3.Error) else error)
            for file in state_dir.glob(f"{FILE}*"):
                if ".aside-" not in file.name:
                    file.rename(file.with_name(f"{file.name}.aside-{int(wall_s)}"))
            return _usable(path), reason
    except sqlite3.Error as error:
        return Journal(None), str(sqlite_error(error))
    except OSError as error:
        return Journal(None), f"{state_dir}: {error.strerror}; check the disk and whom state_dir belongs to"


def _usable(path: Path) -> Journal:
    """The journal of a file, read from once: damage shows here and not at the first press."""
    journal = Journal(path)
    try:
        journal.opened()
    except (KeyError, TypeError, ValueError) as error:  # no name, or a case that cannot be read
        journal.close()
        raise BoxError(f"{path} is damaged ({error!r})", "it was moved aside") from None
    except BaseException:
        journal.close()
        raise
    return journal


class JournalWorker:
    """The thread of the journal. After an error it says `StorageFailed` and stops; nothing is retried blindly."""

    def __init__(self, journal: Journal, answer: Callable[[Recorded | Fetched | StorageFailed], None]) -> None:
        """answer: called in this thread; never blocks."""
        self._journal, self._answer = journal, answer
        opened = journal.opened()
        self.name, self._through = opened.name, opened.seq
        self._inbox: deque[Write | Fetch] = deque()
        self._wake = threading.Event()
        self._closing = False
        self.progress_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def ask(self, request: Write | Fetch) -> None:
        """Queues a request; `Recorded` or `Fetched` answers it. The asker bounds how much it asks at once."""
        self._inbox.append(request)
        self._wake.set()

    def close(self, timeout_s: float) -> bool:
        """Writes what waits and closes the file; False when the disk did not let it in time."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        held: list[Write] = []
        held_s = 0.0
        try:
            while not (self._closing and not self._inbox and not held):
                self.progress_s = time.monotonic()
                awake = self._wake.wait(0.0 if self._closing else SETTLE_S)
                self._wake.clear()
                fetches: list[Fetch] = []
                while self._inbox and len(held) < GROUP_MAX:
                    request = self._inbox.popleft()
                    if isinstance(request, Write):
                        held_s = held_s if held else self.progress_s
                        held.append(request)
                    else:
                        fetches.append(request)
                if self._inbox:
                    self._wake.set()
                settled = time.monotonic() >= held_s + SETTLE_S or len(held) >= GROUP_MAX
                if held and (settled or fetches or self._closing or any(write.urgent for write in held)):
                    self._write(held)
                    held = []
                for fetch in fetches:
                    self._answer(Fetched(self.name, fetch.cls, fetch.after, *self._journal.fetch(fetch)))
                self._journal.checkpoint(WAL_ROWS_MAX if awake else WAL_ROWS_QUIET)
        except sqlite3.Error as error:
            self._answer(StorageFailed(self.name, str(sqlite_error(error))))
        with suppress(sqlite3.Error):  # the promise was made, or refused, before
            self._journal.close()

    def _write(self, writes: list[Write]) -> None:
        self._journal.write(writes)
        for write in writes:
            if write.events:
                self._through = write.events[-1].seq
        self._answer(Recorded(self.name, self._through, dict(self._journal.pending)))


class Reader:
    """The journal as another process may see it: read only, while the daemon writes. Raises BoxError."""

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
        self, *, after: int = 0, cls: EventClass | None = None, pending: bool = False
    ) -> Iterator[tuple[int, bytes]]:
        """(boxseq, bytes) after a boxseq, oldest first; of one class, or owed ones alone."""
        where, values = "e.seq > ? AND e.seq <= ?", list[int]()
        if cls is not None:
            where += " AND e.class = ?"
            values.append(CLASSES.index(cls))
        if pending:
            where += " AND EXISTS (SELECT 1 FROM owed o WHERE o.class = e.class AND o.seq = e.seq)"
        query = f"SELECT e.seq, e.body FROM events e WHERE {where} ORDER BY e.seq LIMIT {PAGE_ROWS}"  # noqa: S608
        try:
            # In pages: an open SELECT, behind somebody's `less`, would keep the daemon's WAL growing.
            [last] = self._sql.execute("SELECT max(seq) FROM events").fetchone()
            while rows := self._sql.execute(query, [after, last, *values]).fetchall():
                yield from rows
                after = rows[-1][0]
        except sqlite3.Error as error:
            raise sqlite_error(error) from error

    def close(self) -> None:
        self._sql.close()
