"""Central's memory: one SQLite file. A message is acknowledged to the broker after its transaction here."""

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from simulators.central.wire import Event, Hole, Topic, UnreadableError, read_event

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
  box TEXT NOT NULL, seq INTEGER NOT NULL, id TEXT NOT NULL, class TEXT NOT NULL, type TEXT NOT NULL,
  time TEXT NOT NULL, received_at TEXT NOT NULL, payload BLOB NOT NULL,
  journal TEXT NOT NULL, hash TEXT NOT NULL, prevhash TEXT NOT NULL, problems TEXT NOT NULL, replayed INTEGER NOT NULL,
  late_s REAL,
  UNIQUE (box, id));
CREATE INDEX IF NOT EXISTS events_by_seq ON events (box, journal, seq);
CREATE TABLE IF NOT EXISTS journals (box TEXT, journal TEXT, key TEXT NOT NULL, PRIMARY KEY (box, journal));
CREATE TABLE IF NOT EXISTS boxes (box TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, seen TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
  id TEXT PRIMARY KEY, box TEXT NOT NULL, verb TEXT NOT NULL, case_id TEXT NOT NULL, note TEXT NOT NULL,
  sent_at TEXT NOT NULL, expires TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS again (
  box TEXT, journal TEXT, seq INTEGER, id TEXT, PRIMARY KEY (box, journal, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holes (
  box TEXT, journal TEXT, first INTEGER NOT NULL, last INTEGER, hash TEXT NOT NULL,
  PRIMARY KEY (box, journal, last)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS media (
  box TEXT, sha256 TEXT, bytes INTEGER NOT NULL, wrong INTEGER NOT NULL DEFAULT 0, whole_at TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (box, sha256)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS discarded (box TEXT, sha256 TEXT, PRIMARY KEY (box, sha256)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS media_by_time ON media (box, whole_at);
CREATE TABLE IF NOT EXISTS oddities (received_at TEXT, topic TEXT, reason TEXT, payload BLOB);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
ODDITIES_MAX = 1000  # the newest are kept
ODDITY_BYTES_MAX = 4096

# What keeps an event from being receipted: who sent it is not known for sure, so its sender may not drop it yet.
UNPROVEN = frozenset({"signature", "unchecked"})


@dataclass(frozen=True, slots=True)
class Record:
    """An event as stored.

    problems: of `signature` (is not the box's), `unchecked` (no key of this box seen yet), `chain` (does not fit its
    neighbours), `canonical` (not RFC 8785), `twin` (another event has its number).
    replayed: it was recorded before the box's present session began.
    late_s: from the box's clock, as far as that could be trusted or corrected, to its arrival here.
    """

    event: Event
    received_at: str
    problems: tuple[str, ...]
    replayed: bool
    late_s: float | None = None

    @property
    def proven(self) -> bool:
        """The box's own signature was checked and is right."""
        return not UNPROVEN.intersection(self.problems)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was sent. case: id of its alarm, empty for the verbs that have none."""

    id: str
    box: str
    verb: str
    case: str
    note: str
    sent_at: str
    expires: str
    payload: bytes

    @property
    def operator(self) -> str:
        """Who sent it: `/operators/{name}`."""
        return str(json.loads(self.payload)["source"])


class NamedFile(NamedTuple):
    """A file of evidence that a proven event of a box names. bytes: its size; wrong: how often it came with another
    hash; whole_at: since when it is here and proven, empty until then. Its bytes are no business of the store."""

    bytes: int
    wrong: int
    whole_at: str


class Store:
    """Not for two threads at once. Raises sqlite3.Error when the disk does not do its part."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise sqlite3.DatabaseError(f"{path}: {error}; move it aside or name another file") from error
        self._db.execute("INSERT OR IGNORE INTO settings VALUES ('client_id', ?)", (f"central-{secrets.token_hex(8)}",))

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on the disk when it is left without an exception."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @property
    def client_id(self) -> str:
        """The MQTT client id that belongs to this store: its persistent session holds what the store lacks."""
        return str(self._db.execute("SELECT value FROM settings WHERE name = 'client_id'").fetchone()[0])

    # events

    def add(self, record: Record) -> Literal["new", "repeat", "other"]:
        """Stores by id. `repeat`: it was there, perhaps under another number: the box's disk failed and came back.

        `other`: there is another event of this id, which is kept; where the kept one was unproven and this is proven,
        they change places (a forgery cannot keep the real one out).
        """
        event = record.event
        row = self._db.execute(
            "SELECT payload, problems, journal, seq FROM events WHERE box = ? AND id = ?", (event.box, event.id)
        ).fetchone()
        if row is None:
            self._insert(record)
            return "new"
        if row[0] == event.payload:
            return "repeat"
        if record.proven and UNPROVEN.intersection(row[1].split(",")):
            self.odd(
                record.received_at, f"{event.box} {event.id}", "replaced by the event with a right signature", row[0]
            )
            self._db.execute("DELETE FROM events WHERE box = ? AND id = ?", (event.box, event.id))
            self._insert(record)
            return "new"
        if record.proven and (row[2], row[3]) != (event.journal, event.seq):
            self._db.execute(
                "INSERT OR IGNORE INTO again VALUES (?, ?, ?, ?)", (event.box, event.journal, event.seq, event.id)
            )
            return "repeat"
        self.odd(record.received_at, f"{event.box} {event.id}", "another event has this id", event.payload)
        return "other"

    def _insert(self, record: Record) -> None:
        e = record.event
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(e.box, e.seq, e.id, e.cls, e.type, e.time, record.received_at, e.payload),
                *(e.journal, e.hash, e.prevhash, ",".join(record.problems), int(record.replayed), record.late_s),
            ],
        )

    def neighbours(self, event: Event) -> tuple[str | None, str | None, bool]:
        """Hash of the event before it, `prevhash` of the one after it, and whether its own number is another's.

        Where there is no such event, a hole that ends there tells the same hash.
        """
        rows = self._db.execute(
            "SELECT seq, hash, prevhash, id FROM events WHERE box = ? AND journal = ? AND seq BETWEEN ? AND ?"
            " ORDER BY problems = '' ",
            (event.box, event.journal, event.seq - 1, event.seq + 1),
        ).fetchall()
        ends = dict(
            self._db.execute(
                "SELECT last, hash FROM holes WHERE box = ? AND journal = ? AND last BETWEEN ? AND ?",
                (event.box, event.journal, event.seq - 1, event.seq),
            )
        )
        before = {seq: digest for seq, digest, _, _ in rows}.get(event.seq - 1, ends.get(event.seq - 1))
        after = {seq: prevhash for seq, _, prevhash, _ in rows}.get(event.seq + 1, ends.get(event.seq))
        return before, after, any(seq == event.seq and name != event.id for seq, _, _, name in rows)

    def mark(self, event: Event, problems: tuple[str, ...]) -> None:
        """The problems of a stored event, looked at again."""
        self._db.execute(
            "UPDATE events SET problems = ? WHERE box = ? AND id = ?", (",".join(problems), event.box, event.id)
        )

    def joins(self, event: Event, hole: Hole) -> bool:
        """No event that is stored beside the end of this hole in the event's journal says that it ends otherwise."""
        rows = self._db.execute(
            "SELECT CASE seq WHEN ? THEN hash ELSE prevhash END FROM events"
            " WHERE box = ? AND journal = ? AND seq BETWEEN ? AND ? AND problems = ''",
            (hole.last, event.box, event.journal, hole.last, hole.last + 1),
        )
        return all(digest == hole.hash for [digest] in rows)

    def add_hole(self, event: Event, hole: Hole) -> None:
        """These of the event's journal will never come. It takes the place of the smaller ones that it joined."""
        self._db.execute(
            "DELETE FROM holes WHERE box = ? AND journal = ? AND first >= ? AND last BETWEEN ? AND ?",
            (event.box, event.journal, hole.first, hole.first, hole.last),
        )
        self._db.execute("INSERT OR IGNORE INTO holes VALUES (?, ?, ?, ?, ?)", (event.box, event.journal, *hole))

    def ranges(self) -> list[tuple[str, str, int, int]]:
        """(box, journal, first, last) of what is stored and proven, each unbroken run once, and of every hole."""
        return self._db.execute(
            "SELECT box, journal, min(seq), max(seq) FROM (SELECT box, journal, seq,"
            " seq - dense_rank() OVER (PARTITION BY box, journal ORDER BY seq) AS run FROM"
            " (SELECT box, journal, seq FROM events"
            "  WHERE problems NOT LIKE '%signature%' AND problems NOT LIKE '%unchecked%'"
            "  UNION SELECT box, journal, seq FROM again))"
            " GROUP BY box, journal, run UNION ALL SELECT box, journal, first, last FROM holes ORDER BY 1, 2, 3"
        ).fetchall()

    def records(self, classes: tuple[str, ...], last: int) -> list[Record]:
        """The newest events of these classes, in the order in which they came; but for those that `evidence` has."""
        marks = ",".join("?" * len(classes))
        where = f"class IN ({marks}) AND type <> 'callbox.status.evidence' ORDER BY rowid DESC LIMIT ?"
        return self._read(where, (*classes, last))[::-1]

    def evidence(self, last: int) -> list[Record]:
        """The newest events that name files of evidence, in the order in which they came."""
        where = "class = 'status' AND type = 'callbox.status.evidence' ORDER BY rowid DESC LIMIT ?"
        return self._read(where, (last,))[::-1]

    def unchecked(self, box: str) -> list[Record]:
        """What came from this box before its key did."""
        return self._read("box = ? AND problems LIKE '%unchecked%' ORDER BY rowid", (box,))

    def record(self, box: str, id_: str) -> Record | None:
        """One event."""
        return next(iter(self._read("box = ? AND id = ?", (box, id_))), None)

    def _read(self, where: str, values: tuple[Any, ...]) -> list[Record]:
        rows = self._db.execute(
            f"SELECT box, class, payload, received_at, problems, replayed, late_s FROM events WHERE {where}",  # noqa: S608
            values,
        )
        records = []
        for box, cls, payload, received_at, problems, replayed, late_s in rows:
            try:
                event = read_event(Topic(box, "event", cls), payload)
            except UnreadableError as error:
                raise sqlite3.DataError(f"event of {box} in the store was changed: {error}") from error
            records.append(Record(event, received_at, tuple(filter(None, problems.split(","))), bool(replayed), late_s))
        return records

    def odd(self, received_at: str, topic: str, reason: str, payload: bytes) -> None:
        """Keeps what could not be stored as an event."""
        row = self._db.execute(
            "INSERT INTO oddities VALUES (?, ?, ?, ?)", (received_at, topic, reason, payload[:ODDITY_BYTES_MAX])
        )
        self._db.execute("DELETE FROM oddities WHERE rowid <= ?", ((row.lastrowid or 0) - ODDITIES_MAX,))

    # files of evidence

    def name_file(self, box: str, sha256: str, size: int) -> None:
        """A proven event of this box names it; the first size that it is named with stands."""
        self._db.execute("INSERT OR IGNORE INTO media (box, sha256, bytes) VALUES (?, ?, ?)", (box, sha256, size))

    def file(self, box: str, sha256: str) -> NamedFile | None:
        """None as long as no proven event of this box names it."""
        row = self._db.execute(
            "SELECT bytes, wrong, whole_at FROM media WHERE box = ? AND sha256 = ?", (box, sha256)
        ).fetchone()
        return NamedFile(*row) if row else None

    def file_whole(self, box: str, sha256: str, at: str) -> None:
        """It is here, and its hash is right."""
        self._db.execute("UPDATE media SET whole_at = ? WHERE box = ? AND sha256 = ?", (at, box, sha256))

    def file_wrong(self, box: str, sha256: str) -> None:
        """It came with another hash."""
        self._db.execute("UPDATE media SET wrong = wrong + 1 WHERE box = ? AND sha256 = ?", (box, sha256))

    def unfinished_files(self) -> list[tuple[str, str]]:
        """(box, sha256) of all that are not whole."""
        return self._db.execute("SELECT box, sha256 FROM media WHERE whole_at = ''").fetchall()

    def discard_file(self, box: str, sha256: str) -> None:
        """A proven event of this box says that it has this file no more."""
        self._db.execute("INSERT OR IGNORE INTO discarded VALUES (?, ?)", (box, sha256))

    def is_discarded(self, box: str, sha256: str) -> bool:
        return (
            self._db.execute("SELECT 1 FROM discarded WHERE box = ? AND sha256 = ?", (box, sha256)).fetchone()
            is not None
        )

    def files_since(self, box: str, at: str) -> list[str]:
        """SHA-256 of this box's files that are not whole and may still come, and of those that became so since `at`."""
        rows = self._db.execute(
            "SELECT sha256 FROM media m WHERE box = ? AND (whole_at >= ? OR (whole_at = '' AND NOT EXISTS"
            " (SELECT 1 FROM discarded d WHERE d.box = m.box AND d.sha256 = m.sha256))) ORDER BY whole_at",
            (box, at),
        )
        return [sha256 for [sha256] in rows]

    # boxes and their keys

    def key(self, box: str, journal: str) -> str | None:
        """The key that proved the first event of this journal: no other is trusted for it."""
        row = self._db.execute("SELECT key FROM journals WHERE box = ? AND journal = ?", (box, journal)).fetchone()
        return str(row[0]) if row else None

    def pin(self, box: str, journal: str, key: str) -> None:
        """From now on only this key is good for this journal."""
        self._db.execute("INSERT OR IGNORE INTO journals VALUES (?, ?, ?)", (box, journal, key))

    def save_box(self, box: str, key: str, state: dict[str, Any], seen: dict[str, Any]) -> None:
        """key: the first ever announced. seen: what central knows of the sessions (`boxes.Box.seen`)."""
        self._db.execute(
            "INSERT OR REPLACE INTO boxes VALUES (?, ?, ?, ?)", (box, key, json.dumps(state), json.dumps(seen))
        )

    def boxes(self) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
        """(box, key, state, seen) of all boxes."""
        rows = self._db.execute("SELECT box, key, state, seen FROM boxes ORDER BY box")
        return [(box, key, json.loads(state), json.loads(seen)) for box, key, state, seen in rows]

    # commands

    def save_command(self, command: Command) -> None:
        """A command that is about to be sent."""
        self._db.execute(
            "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            astuple(command),
        )

    def commands(self, last: int) -> list[Command]:
        """The newest, oldest first."""
        rows = self._db.execute("SELECT * FROM commands ORDER BY rowid DESC LIMIT ?", (last,)).fetchall()
        return [Command(*row) for row in rows[::-1]]
