"""The journal's tables, and how an older journal becomes one of today.

events    every event as it was sealed; never changed
owed      what central has not said that it stored
parked    owed no more because nobody can take it, with the reason
cases     open alarm cases, written with the event that changed them
commands  ids of commands already seen, until they expire
settings  the journal's name, and how the last run ended
"""

import secrets
from typing import Final

from sqlite_utils import Database, Migrations

APPLICATION_ID: Final = 0x43424F58  # "CBOX"
SCHEMA_VERSION: Final = 1
"""In `user_version`; a journal with a higher one was written by a newer agent and is not touched."""

migrations = Migrations("callbox.journal")


@migrations()
def m001_first(db: Database) -> None:
    db.execute(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, class INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL)"
    )
    db.execute("CREATE TABLE owed (class INTEGER, seq INTEGER, PRIMARY KEY (class, seq)) WITHOUT ROWID")
    db.execute("CREATE TABLE parked (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL)")
    db.execute("CREATE TABLE cases (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE commands (id TEXT PRIMARY KEY, forget_after REAL NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    db.execute("INSERT INTO settings VALUES ('journal', ?)", [secrets.token_hex(4)])


def bring_up_to_date(db: Database) -> None:
    """Creates the tables or migrates them; each step is one transaction. A file is ours before it has a table."""
    db.conn.execute(f"PRAGMA application_id={APPLICATION_ID}")
    migrations.apply(db)
    db.conn.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
