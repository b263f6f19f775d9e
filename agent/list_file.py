"""The code lists' file: which codes are on which list, and since which version. Raises sqlite3.Error.

A database of its own: what changes a list of a million codes holds up no event. `hashed` lists have HMACs under the
site's key here, and nothing else. Codes of a new version are gathered unsorted; when it is whole they are sorted into
their place, and the version takes the other's, in one transaction. So a cut leaves the list as before or after.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.identity import site_hash
from agent.lists_mail import ChangeList, ListChanged, LookedUp, LookUp

if TYPE_CHECKING:
    from agent.config import CodeList

FILE: Final = "lists.db"
GATHERED, VALID, GARBAGE = 0, 1, 2
SWEEP_ROWS: Final = 2_000
"""Codes of a list that is no more, removed in one transaction."""
SEAL_BYTES: Final = 8
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY, list TEXT NOT NULL, label TEXT NOT NULL, seal BLOB NOT NULL, state INTEGER NOT NULL,
    codes INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_valid ON versions(list) WHERE state=1;
CREATE TABLE IF NOT EXISTS entries (
    version INTEGER NOT NULL, code BLOB NOT NULL, expires_s REAL, PRIMARY KEY (version, code)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS expiring ON entries(version, expires_s) WHERE expires_s IS NOT NULL;
CREATE TABLE IF NOT EXISTS gathered (version INTEGER NOT NULL, code BLOB NOT NULL, expires_s REAL);
"""
FIND: Final = """
SELECT v.seal, e.code IS NOT NULL FROM versions v
LEFT JOIN entries e ON e.version=v.id AND e.code=? AND (e.expires_s IS NULL OR e.expires_s>?)
WHERE v.list=? AND v.state=1
"""


class WrongCountError(Exception):
    """A version that is said to be whole has another number of codes."""


class ListFile:
    """One connection to it, of one thread."""

    def __init__(self, path: Path, lists: Mapping[str, "CodeList"], key: bytes) -> None:
        """key: the site's, for lists that are hashed. A file that is not there is made."""
        self._lists, self._key = lists, key
        self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "journal_size_limit=4194304"):
                self._db.execute(f"PRAGMA {pragma}").fetchone()
            self._db.executescript(SCHEMA)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    # ---- asked

    def look_up(self, asked: LookUp) -> LookedUp:
        """Each list by one statement, so that it is asked in one version of it."""
        found, missing = [], []
        for name in asked.lists:
            row = self._db.execute(FIND, (self._code(name, asked.code), asked.wall_s, name)).fetchone()
            if row is None or row[0] != self._seal(name):
                missing.append(name)
            elif row[1]:
                found.append(name)
        return LookedUp(asked.ref, tuple(found), f"not brought yet: {', '.join(missing)}" if missing else "")

    def codes(self) -> dict[str, int]:
        """How many each list has that was brought, as the config wants it kept."""
        rows = self._db.execute("SELECT list, seal, codes FROM versions WHERE state=1").fetchall()
        return {name: codes for name, seal, codes in rows if name in self._lists and seal == self._seal(name)}

    # ---- changed

    def change(self, change: ChangeList) -> ListChanged:
        """All of it or nothing."""
        try:
            with self._transaction():
                codes = self._change(change)
        except WrongCountError as error:
            return ListChanged(change.ref, 0, str(error))
        return ListChanged(change.ref, codes)

    def _change(self, change: ChangeList) -> int:
        version, state = self._version(change)
        if state == GATHERED:
            rows = [(version, self._code(change.name, code), until) for code, until in change.add]
            self._db.executemany("INSERT INTO gathered VALUES (?,?,?)", rows)
            more = len(rows)
        else:
            more = self._put(change, version)
        self._db.execute("UPDATE versions SET codes=codes+? WHERE id=?", (more, version))
        if state == GATHERED and change.count is not None:
            self._make_valid(change.name, version, change.count)
        (codes,) = self._db.execute("SELECT codes FROM versions WHERE id=?", (version,)).fetchone()
        return int(codes)

    def _version(self, change: ChangeList) -> tuple[int, int]:
        """The one that is meant, and its state; made if there is none. A new one ends another that was gathered."""
        name, seal = change.name, self._seal(change.name)
        self._db.execute("UPDATE versions SET state=2 WHERE list=? AND seal!=?", (name, seal))
        wanted = "state=1" if not change.version else "state IN (0, 1) AND label=?"
        row = self._db.execute(
            f"SELECT id, state FROM versions WHERE list=? AND {wanted} ORDER BY state DESC",  # noqa: S608
            (name, change.version)[: 2 if change.version else 1],
        ).fetchone()
        if row is not None:
            return row[0], row[1]
        state = GATHERED if change.version else VALID
        if state == GATHERED:
            self._db.execute("UPDATE versions SET state=2 WHERE list=? AND state=0", (name,))
        made = self._db.execute(
            "INSERT INTO versions (list, label, seal, state) VALUES (?,?,?,?)", (name, change.version, seal, state)
        )
        return made.lastrowid or 0, state

    def _put(self, change: ChangeList, version: int) -> int:
        """Into the list that is valid; by how many codes it grew."""
        gone = [(version, self._code(change.name, code)) for code in change.remove]
        rows = [(version, self._code(change.name, code), until) for code, until in change.add]
        grown = -self._db.executemany("DELETE FROM entries WHERE version=? AND code=?", gone).rowcount if gone else 0
        if rows:
            grown += self._db.executemany("INSERT OR IGNORE INTO entries VALUES (?,?,?)", rows).rowcount
            later = [(until, number, code, until) for number, code, until in rows]
            self._db.executemany(
                "UPDATE entries SET expires_s=? WHERE version=? AND code=? AND expires_s IS NOT ?", later
            )
        if change.wall_s is not None:
            expired = self._db.execute("DELETE FROM entries WHERE version=? AND expires_s<=?", (version, change.wall_s))
            grown -= expired.rowcount
        return grown

    def _make_valid(self, name: str, version: int, count: int) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO entries SELECT * FROM gathered WHERE version=? ORDER BY code, rowid", (version,)
        )
        (codes,) = self._db.execute("SELECT COUNT(*) FROM entries WHERE version=?", (version,)).fetchone()
        if codes != count:
            raise WrongCountError(f"data.count: this version has {codes} codes, and not {count}: bring what is missing")
        self._db.execute("UPDATE versions SET state=2 WHERE list=? AND state=1", (name,))
        self._db.execute("UPDATE versions SET state=1, codes=? WHERE id=?", (codes, version))

    def sweep(self) -> bool:
        """Removes a part of what is no list any more; whether there may be more."""
        with self._transaction():
            swept = self._db.execute(
                "DELETE FROM gathered WHERE rowid IN (SELECT rowid FROM gathered"
                " WHERE version NOT IN (SELECT id FROM versions WHERE state=0) LIMIT ?)",
                (SWEEP_ROWS,),
            ).rowcount
            for (version,) in self._db.execute("SELECT id FROM versions WHERE state=2 LIMIT 1").fetchall():
                rows = self._db.execute(
                    "DELETE FROM entries WHERE version=? AND code IN"
                    " (SELECT code FROM entries WHERE version=? LIMIT ?)",
                    (version, version, SWEEP_ROWS),
                ).rowcount
                if not rows:
                    self._db.execute("DELETE FROM versions WHERE id=?", (version,))
                swept += 1
        return swept > 0

    # ---- how codes are kept

    def _code(self, name: str, code: str) -> bytes:
        if not self._lists[name].hashed:
            return code.encode()
        return site_hash(self._key, f"list {name}", code)

    def _seal(self, name: str) -> bytes:
        """How the codes of a list are kept: what was kept otherwise, or under another key, cannot be asked."""
        return self._code(name, "")[:SEAL_BYTES]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def damaged(path: Path) -> str:
    """What is wrong with the file, "" when nothing is. Reads all of it. Raises sqlite3.Error where the disk fails."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            return "" if said == "ok" else str(said)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return str(error)


def move_aside(path: Path) -> str:
    """A damaged file, its name now; a new one takes its place, and the lists are to be brought again."""
    second = int(time.time())
    while (aside := path.with_name(f"{path.name}.aside-{second}")).exists():
        second += 1
    for end in ("", "-wal"):
        file = path.with_name(f"{path.name}{end}")
        if file.exists():
            file.rename(aside.with_name(f"{aside.name}{end}"))
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside.name
