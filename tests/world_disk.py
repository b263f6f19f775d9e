"""A disk that loses power: real SQLite files under a real journal, cut at a chosen statement.

What was synced stays. What was written since may be lost wholly or in part, sector by sector, or be garbage, as on a
card that lost its supply. SQLite's own order is kept: a WAL's header is synced before its frames, the WAL before the
database.
"""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from agent.journal import FILE
from simulators.tear import torn

WAL_HEADER: Final = 32
FULL: Final = 2

Where = Literal["before", "inside", "after"]
Files = dict[str, bytes]
"""By what follows the journal's name: "" and "-wal"."""


class PowerCutError(BaseException):
    """The power is gone. Nothing that calls itself an `Exception` may catch it."""


class _Frail(sqlite3.Connection):
    """A connection that asks the disk before each statement."""

    disk: "Disk"

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        sql = self.disk.rewrite(sql)
        cursor: sqlite3.Cursor = self.disk.statement(
            sql, self, lambda: sqlite3.Connection.execute(self, sql, parameters)
        )
        return cursor

    def close(self) -> None:
        if self.disk.connection is self and not self.disk.off:
            self.disk.statement("CLOSE", self, lambda: sqlite3.Connection.close(self))
        else:
            sqlite3.Connection.close(self)


class Disk:
    """The files of one journal. `path` changes with every restart, so that nothing of an earlier life reaches them."""

    def __init__(self, folder: Path, rng: random.Random, seen: Counter[str]) -> None:
        self._folder, self._rng, self._seen = folder, rng, seen
        self._generation = 0
        self._image: Files = {}
        self._durable: Files = {}
        self.connection: sqlite3.Connection | None = None
        self.statements = 0
        self.cut_at: int | None = None
        """The number of the statement at which the power fails."""
        self.cut_on: tuple[str, int] | None = None
        """Or a word in it, and how often it comes until then."""
        self.where: Where = "before"
        self.failing: str | None = None
        """Statements with this in them fail ("": all); the file is left as it is."""
        self.off = True
        self.rewrite: Callable[[str], str] = lambda sql: sql

    @property
    def path(self) -> Path:
        return self._folder / str(self._generation) / FILE

    def connect(self, path: str) -> sqlite3.Connection:
        """To be given to `Journal`."""
        frail: type[_Frail] = type("Frail", (_Frail,), {"disk": self})
        self.connection = sqlite3.connect(path, factory=frail)
        return self.connection

    # ---- power

    def power_on(self) -> None:
        """The files as the last cut left them; they are on the disk now."""
        if self.connection is not None:
            sqlite3.Connection.close(self.connection)
        self.connection = None
        self._generation += 1
        self.path.parent.mkdir(parents=True)
        for name, content in self._image.items():
            self.path.with_name(FILE + name).write_bytes(content)
        self._durable, self.off, self.failing = dict(self._image), False, None
        self.cut_at = self.cut_on = None

    def power_off(self, *, torn: bool = True) -> None:
        """The supply fails now; `torn` False: only the process dies, and the kernel keeps what it wrote."""
        self._lose_power(tear=torn)

    def statement(self, sql: str, connection: sqlite3.Connection, run: Callable[[], Any]) -> Any:
        """One statement of the journal's. Raises PowerCutError, then and ever after."""
        if self.off:
            raise PowerCutError(sql)
        self.statements += 1
        cut = self._is_due(sql)
        if cut and self.where == "before":
            self._cut(sql)
        if self.failing is not None and self.failing in sql and sql not in ("CLOSE", "ROLLBACK"):
            # The write may have reached the disk before the error did.
            if sql == "COMMIT" and self._rng.random() < 0.7:
                run()
                self._sync(sql)
                self._seen["commits that only seemed to fail"] += 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        if "wal_checkpoint" in sql:
            self._durable["-wal"] = self._read("-wal")  # synced before a page moves
        result = run()
        if cut and self.where == "inside":
            self._cut(sql)
        if sql == "CLOSE" or "wal_checkpoint" in sql or self._synced(sql, connection):
            self._sync(sql)
        if cut:
            self._cut(sql)
        return result

    def _is_due(self, sql: str) -> bool:
        if self.cut_on is not None and self.cut_on[0] in sql:
            self.cut_on = (self.cut_on[0], self.cut_on[1] - 1)
        return self.statements == self.cut_at or (self.cut_on is not None and self.cut_on[1] == 0)

    def _cut(self, sql: str) -> None:
        place = "COMMIT" if sql == "COMMIT" else "checkpoint" if "checkpoint" in sql else sql.split()[0]
        self._seen[f"cuts {self.where} {place}"] += 1
        self._lose_power(tear=True)
        raise PowerCutError(sql)

    def _lose_power(self, *, tear: bool) -> None:
        # A generator of its own: how much there is to tear depends on SQLite's salts, which no seed governs.
        self._tear = random.Random(self._rng.getrandbits(64))
        now = {name: self._read(name) for name in ("", "-wal")}
        self._image = self._torn(now) if tear else now
        self._image = {name: content for name, content in self._image.items() if content}
        self.off = True
        shutil.rmtree(self.path.parent, ignore_errors=True)

    # ---- what is on it

    def _synced(self, sql: str, connection: sqlite3.Connection) -> bool:
        """Whether SQLite has called fsync for this statement: it ended a transaction, and `synchronous` says so."""
        if connection.in_transaction or sql.startswith("SELECT"):
            return False
        level: int = sqlite3.Connection.execute(connection, "PRAGMA synchronous").fetchone()[0]
        return level >= FULL

    def _read(self, name: str) -> bytes:
        try:
            return self.path.with_name(FILE + name).read_bytes()
        except FileNotFoundError:
            return b""

    def _sync(self, sql: str) -> None:
        self._durable["-wal"] = self._read("-wal")
        if not self._durable["-wal"] or "checkpoint" in sql or sql == "CLOSE" or not self._durable.get(""):
            self._durable[""] = self._read("")

    def _torn(self, now: Files) -> Files:
        old, wal = self._durable, self._durable.get("-wal", b"")
        if not wal and not now["-wal"]:  # before there is a WAL: SQLite's rollback journal makes it all or nothing
            return dict(old if self._tear.random() < 0.5 else now)
        database = torn(old.get("", b""), now[""], self._tear) if wal else (now[""] or old.get("", b""))
        if wal and not now["-wal"]:  # closing: the database was written, the WAL was not yet removed
            return {"": database, "-wal": wal}
        return {"": database, "-wal": self._torn_wal(wal, now["-wal"])}

    def _torn_wal(self, old: bytes, new: bytes) -> bytes:
        if old == new:
            return new
        self._seen["torn WALs"] += 1
        if old[:WAL_HEADER] != new[:WAL_HEADER]:
            if self._tear.random() < 0.2:
                return old
            self._seen["torn WALs just restarted"] += 1
            old = new[:WAL_HEADER] + old[WAL_HEADER:]
        return torn(old, new, self._tear)
