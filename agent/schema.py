"""The journal's tables, and how an older journal becomes one of today.

events    every event as it was sealed; never changed
owed      what central has not said that it stored: a row for every new event, by a trigger
pending   how many of each class are owed: kept by triggers, so that nobody has to count them
owing     ranges that are to be owed again and are not yet
pruned    ranges of events that are no more, with the hash of the last of each
parked    owed no more because nobody can take it, with the reason
cases     open alarm cases, written with the event that changed them
files     of evidence, and how many bytes of each central has; a parked one is owed no more
clips     under way: which camera records for which case until when
garbage   files that are to be unlinked
reports   what is owed on other ways than MQTT, and what became of it: a row for each event and path, written with it
commands  ids of commands already seen, until they expire
settings  the journal's name, and how the last run ended
"""

import secrets
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID: Final = 0x43424F58  # "CBOX"
SCHEMA_VERSION: Final = 4
"""In `user_version`; a journal with a higher one was written by a newer agent and is not touched."""


def m001_first(db: "Database | sqlite3.Connection") -> None:
    db.execute(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, class INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL)"
    )
    db.execute("CREATE TABLE owed (class INTEGER, seq INTEGER, PRIMARY KEY (class, seq)) WITHOUT ROWID")
    db.execute("CREATE TABLE parked (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL)")
    db.execute("CREATE TABLE cases (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE commands (id TEXT PRIMARY KEY, forget_after REAL NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    db.execute("INSERT INTO settings VALUES ('journal', ?)", [secrets.token_hex(4)])


def m002_pending_and_pruned(db: "Database | sqlite3.Connection") -> None:
    """An event's row is one statement, and its debt and the count come with it: see `Journal.write`."""
    db.execute("ALTER TABLE events DROP COLUMN id")
    db.execute("CREATE TABLE owing (first INTEGER PRIMARY KEY, last INTEGER NOT NULL)")
    db.execute("CREATE TABLE pruned (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, hash TEXT NOT NULL)")
    db.execute("CREATE TABLE pending (class INTEGER PRIMARY KEY, events INTEGER NOT NULL)")
    db.execute("INSERT INTO pending VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0)")
    db.execute("UPDATE pending SET events = (SELECT count(*) FROM owed WHERE owed.class = pending.class)")
    for name, when, then in (
        ("recorded", "AFTER INSERT ON events", "INSERT INTO owed VALUES (NEW.class, NEW.seq)"),
        ("more", "AFTER INSERT ON owed", "UPDATE pending SET events = events + 1 WHERE class = NEW.class"),
        ("less", "AFTER DELETE ON owed", "UPDATE pending SET events = events - 1 WHERE class = OLD.class"),
    ):
        db.execute(f"CREATE TRIGGER {name} {when} BEGIN {then}; END")


def m003_evidence(db: "Database | sqlite3.Connection") -> None:
    db.execute(
        "CREATE TABLE files (sha256 TEXT PRIMARY KEY, seq INTEGER NOT NULL, case_id TEXT NOT NULL,"
        " class INTEGER NOT NULL, camera TEXT NOT NULL, time TEXT NOT NULL, bytes INTEGER NOT NULL,"
        " key_frame INTEGER NOT NULL, stored INTEGER NOT NULL DEFAULT 0, parked INTEGER NOT NULL DEFAULT 0)"
    )
    db.execute(
        "CREATE INDEX files_owed ON files (key_frame DESC, case_id DESC, seq, sha256)"
        " WHERE stored < bytes AND NOT parked"
    )
    db.execute("CREATE INDEX files_owing ON files (bytes, stored, parked) WHERE stored < bytes AND NOT parked")
    db.execute("CREATE INDEX files_by_time ON files (time)")
    db.execute("CREATE INDEX files_by_seq ON files (seq)")
    db.execute("CREATE TABLE clips (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE garbage (sha256 TEXT PRIMARY KEY) WITHOUT ROWID")


def m004_reports(db: "Database | sqlite3.Connection") -> None:
    """state: as in `path_mail.REPORT_STATES`; spare: owed only as long as central does not have the event."""
    db.execute(
        "CREATE TABLE reports (seq INTEGER, path TEXT, class INTEGER NOT NULL, spare INTEGER NOT NULL,"
        " state INTEGER NOT NULL DEFAULT 0, time TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',"
        " PRIMARY KEY (seq, path)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX reports_owed ON reports (path, class, seq) WHERE state = 0")


STEPS: Final = (m001_first, m002_pending_and_pruned, m003_evidence, m004_reports)


def bring_up_to_date(sql: sqlite3.Connection) -> None:
    """Creates the tables, or migrates them, each step in a transaction. A file is ours before it has a table.

    A new journal is made without the library that migrates: it is large, and when the disk has failed, and the journal
    is made in memory, no code may be wanted that is still on that disk.
    """
    [version] = sql.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    sql.execute(f"PRAGMA application_id={APPLICATION_ID}")
    if sql.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
        sql.execute("BEGIN IMMEDIATE")
        for step in STEPS:
            step(sql)
        sql.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        sql.execute("COMMIT")
        return
    from sqlite_utils import Database, Migrations

    migrations = Migrations("callbox.journal")
    for step in STEPS[version:]:
        migrations(name=step.__name__)(step)
    migrations.apply(Database(sql))
    sql.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
