"""The journal's tables about evidence: files and what central has of each, clips under way, what is to be unlinked.

Each is called inside the journal's own transactions, or reads one row after the other; the pictures themselves are in
the spool (`agent/spool.py`), never here.
"""

import sqlite3
from typing import Final

from agent.kinds import CLASSES, Cause
from agent.mail import Write
from agent.media_mail import OwedFile, SurveyFiles
from agent.ranges import Range

GO_MAX: Final = 100
"""Files that go at once: they stand in one event, and that is at most 64 KB."""
COLUMNS: Final = "sha256, seq, case_id, class, camera, time, bytes, key_frame, stored"
OWED: Final = "stored < bytes AND NOT parked"
"""As the index on them says it, so that it is used."""
READABLE: Final = (
    "typeof(sha256)='text' AND length(sha256)=64 AND NOT sha256 GLOB '*[^0-9a-f]*' AND typeof(seq)='integer' AND seq>=0"
    " AND typeof(case_id)='text' AND NOT case_id GLOB '*[^0-9a-f-]*' AND class IN (0, 1, 2, 3, 4)"
    " AND typeof(camera)='text' AND NOT camera GLOB '*[^0-9A-Za-z_.-]*'"
    " AND typeof(time)='text' AND NOT time GLOB '*[^0-9TZ:.-]*'"
    " AND typeof(bytes)='integer' AND bytes>=0 AND key_frame IN (0, 1)"
    " AND typeof(stored)='integer' AND stored BETWEEN 0 AND bytes AND parked IN (0, 1)"
)
"""A row that the box may have written. Any other is passed over, until a start writes it anew (`agent/spool.py`)."""
COUNTED: Final = "typeof(bytes)='integer' AND typeof(stored)='integer'"
"""So much of it is asked where all rows are gone through."""
FILE: Final = (
    f"INSERT INTO files ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
    " ON CONFLICT DO UPDATE SET seq=excluded.seq, case_id=excluded.case_id, class=excluded.class,"
    " camera=excluded.camera, time=excluded.time, bytes=excluded.bytes, key_frame=excluded.key_frame,"
    f" stored=excluded.stored, parked=0 WHERE ({READABLE}) IS NOT 1"
)
"""A row that is there stays as it is, if it can be read."""
ORDER: Final = "key_frame DESC, case_id DESC, seq, sha256"
"""Pictures alone first, then the newest case; case ids are UUIDv7 and so are in the order of time."""


def apply(sql: sqlite3.Connection, write: Write) -> None:
    """What a write says of files and clips."""
    for file in write.files:
        sql.execute(
            FILE,
            (
                *(file.sha256, file.seq, file.case, CLASSES.index(file.cls), file.camera, file.time),
                *(file.bytes, file.key_frame, file.stored),
            ),
        )
    for name, size in write.stored.items():
        sql.execute("UPDATE files SET stored=?, parked=? WHERE sha256=?", (max(size, 0), size < 0, name))
    for name, body in write.clips.items():
        if body is None:
            sql.execute("DELETE FROM clips WHERE name=?", [name])
        else:
            sql.execute("INSERT OR REPLACE INTO clips VALUES (?,?)", (name, body))
    for name in write.gone:
        sql.execute("DELETE FROM files WHERE sha256=?", [name])
        sql.execute("INSERT OR IGNORE INTO garbage VALUES (?)", [name])
    for name in write.unlinked:
        sql.execute("DELETE FROM garbage WHERE sha256=?", [name])


def owe_again(sql: sqlite3.Connection, events: Range) -> None:
    """Central asks for these events again: perhaps it has lost their files too. What it has it says at the first piece.

    Inside a transaction.
    """
    sql.execute("UPDATE files SET stored=0, parked=0 WHERE seq BETWEEN ? AND ?", events)


def owed(sql: sqlite3.Connection, limit: int) -> tuple[tuple[OwedFile, ...], bool]:
    """Files that central has not, in the order of sending, and whether there are more."""
    query = f"SELECT {COLUMNS} FROM files WHERE {OWED} AND {READABLE} ORDER BY {ORDER} LIMIT ?"  # noqa: S608
    files = [_file(*row) for row in sql.execute(query, [limit + 1])]
    return tuple(files[:limit]), len(files) > limit


def some(sql: sqlite3.Connection, limit: int) -> tuple[OwedFile, ...]:
    """Files, whether central has them or not: so many of them, those that came last."""
    query = f"SELECT {COLUMNS} FROM files WHERE {READABLE} ORDER BY rowid DESC LIMIT ?"  # noqa: S608
    return tuple(_file(*row) for row in sql.execute(query, [limit]))


def owed_bytes(sql: sqlite3.Connection) -> int:
    """Bytes of evidence that central has not."""
    query = f"SELECT ifnull(sum(bytes - stored), 0) FROM files WHERE {OWED} AND {COUNTED}"  # noqa: S608
    [size] = sql.execute(query).fetchone()
    return int(size)


def may_go(sql: sqlite3.Connection, wish: SurveyFiles, free: int) -> tuple[Cause, tuple[OwedFile, ...], bool]:
    """Which files go next, why, and whether there are more: what central has first, the oldest first.

    What central has not goes only for want of room on the disk: what a command or a scan caused before what an alarm
    did, pictures alone last. free: bytes of room on the disk.
    """
    [used] = sql.execute(f"SELECT ifnull(sum(bytes), 0) FROM files WHERE {COUNTED}").fetchone()  # noqa: S608
    surplus = float("inf")
    if used and free < wish.free_min:
        cause: Cause = "disk"
        surplus = wish.free_min - free
    elif used > wish.used_max:
        cause, surplus = "size", used - wish.used_max
    else:
        cause = "days" if wish.before else ""
    if not cause:
        return "", (), False
    old = "AND time < :before" if cause == "days" else ""
    which = [f"stored >= bytes {old} ORDER BY time"]
    if cause == "disk":
        which.append("stored < bytes ORDER BY class DESC, key_frame, time")
    going: list[OwedFile] = []
    for these in which:
        query = f"SELECT {COLUMNS} FROM files WHERE {READABLE} AND {these} LIMIT {GO_MAX}"  # noqa: S608
        for file in (_file(*row) for row in sql.execute(query, {"before": wish.before})):
            if surplus > 0 and len(going) < GO_MAX:
                going.append(file)
                surplus -= file.bytes
    return (cause if going else ""), tuple(going), bool(going) and surplus > 0


def _file(
    sha256: str, seq: int, case: str, cls: int, camera: str, time: str, size: int, key_frame: int, stored: int
) -> OwedFile:
    return OwedFile(sha256, seq, case, CLASSES[cls], camera, time, size, bool(key_frame), stored)


def names(sql: sqlite3.Connection) -> tuple[set[str], tuple[str, ...], set[str]]:
    """Files that the journal knows, those that are to be unlinked, and those whose row cannot be read."""
    rows = sql.execute(f"SELECT sha256, ({READABLE}) IS 1 FROM files").fetchall()  # noqa: S608
    garbage = tuple(name for [name] in sql.execute("SELECT sha256 FROM garbage"))
    return {name for name, right in rows if right}, garbage, {str(name) for name, right in rows if not right}
