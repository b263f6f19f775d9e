"""What must hold of evidence, for `callbox fsck`: rules 16 to 18 of docs/architecture.md.

The folder is looked at first, and the tables afterwards: a file is on the disk before its row, and its row goes before
the file does. So what the daemon does meanwhile looks like no fault.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

from agent.events import Stamp, rfc3339
from agent.evidence import restored
from agent.identity import signed_by
from agent.journal_files import COLUMNS, READABLE
from agent.kinds import CLASSES
from agent.media_mail import OwedFile
from agent.rules import Facts, Rule, is_gone
from agent.spool import FOLDER, NAME, TEMPORARY

# ---- what the events say


@dataclass
class Told:
    """What events of the box's own key say of files.

    public: that key. named: by the first event that names each, but for those that were discarded. discarded: names of
    these, half as long as in hexadecimal. started_s: wall second at which the last run began.
    """

    public: bytes
    named: dict[str, OwedFile] = field(default_factory=dict)
    discarded: set[bytes] = field(default_factory=set)
    started_s: float = 0.0

    def learn(self, event: dict[str, Any], seq: int) -> None:
        """What has another shape, as of another version of the agent, is left out."""
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            match event["type"]:
                case "callbox.status.evidence":
                    for file in _named(event, seq):
                        if bytes.fromhex(file.sha256) not in self.discarded:
                            self.named.setdefault(file.sha256, file)
                case "callbox.audit.discarded":
                    for name in [file["sha256"] for file in event["data"]["files"]]:
                        self.named.pop(name, None)
                        self.discarded.add(bytes.fromhex(name))
                case "callbox.status.started" if event["data"]["last_end"] != "storage":
                    self.started_s = datetime.fromisoformat(event["time"]).timestamp()


def _named(event: dict[str, Any], seq: int) -> list[OwedFile]:
    """The files of a `status.evidence`; `learn` knows what an odd one raises.

    What caused them stands elsewhere; an alarm, whose files go last.
    """
    data, files = event["data"], []
    for file in data["files"]:
        texts = file["sha256"], data["case"], data["camera"], file["to"]
        if NAME.fullmatch(file["sha256"]) and {*map(type, texts)} == {str} and type(file["bytes"]) is int:
            key_frame = file.get("key_frame", False) is True
            files.append(
                OwedFile(
                    file["sha256"], seq, data["case"], "alarm", data["camera"], file["to"], file["bytes"], key_frame
                )
            )
    return files


# ---- what is on the disk


class File(NamedTuple):
    """A file on the disk. wrong: why its bytes are not those of its name, "" when they are."""

    bytes: int
    written_s: float
    wrong: str


class Folder:
    """`state_dir/media` as it was at one time, each file of it read whole, in pieces. Raises OSError."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FOLDER
        self.files: dict[str, File] = {}
        self._temporary: dict[str, float] = {}
        for path in sorted(self.path.iterdir()) if self.path.exists() else ():
            with suppress(FileNotFoundError):  # it has just gone
                status = path.stat()
                if path.name.endswith(TEMPORARY):
                    self._temporary[path.name] = status.st_mtime
                elif NAME.fullmatch(path.name):
                    self.files[path.name] = File(status.st_size, status.st_mtime, _changed(path))

    def wrong(self, name: str) -> str:
        """Why a file is not as it must be, "" when it is; what came since the look is not looked at."""
        if (found := self.files.get(name)) is not None:
            return found.wrong
        return "" if (self.path / name).exists() else "it is not there"

    def left(self, before_s: float) -> Iterator[str]:
        """What was written before this wall second and still is as it was: finished files, and those half done."""
        for name, written_s in [
            *((name, file.written_s) for name, file in self.files.items()),
            *self._temporary.items(),
        ]:
            with suppress(FileNotFoundError):
                if written_s < before_s and (self.path / name).stat().st_mtime == written_s:
                    yield name


def _changed(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if found == path.name else f"its bytes were changed, their SHA-256 is {found[:16]}..."


# ---- the tables


class Row(NamedTuple):
    """A row of `files`; the types hold where it is readable."""

    id: int
    readable: int
    sha256: str
    seq: int
    case: str
    cls: int
    camera: str
    time: str
    bytes: int
    key_frame: int
    stored: int
    parked: int


@dataclass(frozen=True)
class Mending:
    """A row that is not as it must be: where, what stands there (None: nothing), what is to (None: nothing)."""

    place: str
    row: Row | None
    file: OwedFile | None


def on_disk(sql: sqlite3.Connection, facts: Facts, told: Told, folder: Folder) -> Iterator[str]:
    """Where rule 16 is broken, once rule 17 is kept. The tables are read in the caller's transaction."""
    rows = _rows(sql)
    wanted = {row.sha256: (row.case, row.camera) for row in rows}
    for mending in _mendings(sql, facts, told, folder, rows):
        if mending.row is not None:
            wanted.pop(mending.row.sha256, None)
        if mending.file is not None:
            wanted[mending.file.sha256] = mending.file.case, mending.file.camera
    for name, (case, camera) in wanted.items():
        if wrong := folder.wrong(name):
            yield f"{name} ({f'camera {camera}, case {case}' if case else 'of another journal'}): {wrong}"
    garbage = {name for [name] in sql.execute("SELECT sha256 FROM garbage")}
    for name in folder.left(told.started_s):
        if name not in wanted and name not in garbage:
            yield f"{name}: no row and no event names it"


def broken(sql: sqlite3.Connection, facts: Facts, told: Told, folder: Folder) -> Iterator[tuple[Rule, str]]:
    """Where rules 17 and 18 are broken. The tables are read in the caller's transaction."""
    for mending in _mendings(sql, facts, told, folder, _rows(sql)):
        yield Rule.EVIDENCE, mending.place
    for name, wrong in _unreadable_clips(sql):
        yield Rule.CLIPS, f"{name.decode('utf-8', 'replace')}: {wrong}"


def mend(sql: sqlite3.Connection, facts: Facts, told: Told, folder: Folder) -> None:
    """Rows as the events and the files say. The caller has a transaction, and the lock of the box.

    The row of a file that is not there stays, and comes back: so the box finds that out, and says in a signed event
    what nobody else can. Only what no event and no file knows of goes.
    """
    for mending in [*_mendings(sql, facts, told, folder, _rows(sql))]:
        row, file = mending.row, mending.file
        cls = stored = parked = 0  # central says what it has
        if row is not None:
            sql.execute("DELETE FROM files WHERE rowid=?", [row.id])
            cls = row.cls if row.cls in range(len(CLASSES)) else 0
            parked = int(row.parked == 1)
        if file is not None:
            if row is not None and type(row.stored) is int and 0 <= row.stored <= file.bytes:
                stored = row.stored
            values = (file.sha256, file.seq, file.case, cls, file.camera, file.time, file.bytes, file.key_frame)
            query = f"INSERT INTO files ({COLUMNS}, parked) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
            sql.execute(query, (*values, stored, parked))
    for name, _ in [*_unreadable_clips(sql)]:
        sql.execute("DELETE FROM clips WHERE CAST(name AS BLOB)=?", [name])


def _rows(sql: sqlite3.Connection) -> list[Row]:
    query = f"SELECT rowid, ({READABLE}) IS 1, {COLUMNS}, parked FROM files ORDER BY seq"  # noqa: S608
    return [Row(*row) for row in sql.execute(query)]


def _mendings(sql: sqlite3.Connection, facts: Facts, told: Told, folder: Folder, rows: list[Row]) -> Iterator[Mending]:
    """Rows that are not as the events and the files say, and those that are missing.

    Where the event at its boxseq is pruned, missing, changed or in another journal (0), a row is believed, but for the
    size of its file.
    """
    seq, event, named = 0, _event(sql, 0), dict[str, OwedFile]()
    for row in rows:
        found = folder.files.get(row.sha256)
        if not row.readable:
            file = told.named.get(row.sha256) or _adopted(row, found)
            yield Mending(f"{row.sha256!r}: its row cannot be read", row, file)
            continue
        if row.seq != seq:
            seq, event, named = row.seq, _event(sql, row.seq), {}
            with suppress(KeyError, TypeError, AttributeError):
                named = {file.sha256: file for file in _named(event or {}, seq)}
        file = named.get(row.sha256)
        if file == _named_by(row):
            continue
        if (seq == 0 or is_gone(sql, facts, seq)) if event is None else not signed_by(told.public, event):
            if found and not found.wrong and found.bytes != row.bytes:
                place = f"{row.sha256}: its row says {row.bytes} bytes, it has {found.bytes}"
                yield Mending(place, row, replace(_named_by(row), bytes=found.bytes))
        else:
            file = file or told.named.get(row.sha256) or _adopted(row, found)
            yield Mending(f"{row.sha256}: its row is not as event {seq} says", row, file)
    known = {row.sha256 for row in rows} | {name for [name] in sql.execute("SELECT sha256 FROM garbage")}
    # Where events behind the one that names it are no more, one of them may have told that it went: then it is missed
    # only if it is there.
    behind = max((last for _, last, _ in [*facts.holes, *facts.missing]), default=0)
    for name, file in told.named.items():
        if name not in known and (file.seq > behind or name in folder.files):
            place = f"{name} (camera {file.camera}, case {file.case}): event {file.seq} names it, and no row does"
            yield Mending(place, None, file)


def _named_by(row: Row) -> OwedFile:
    """The file as a row that can be read tells it, and as `_named` an event."""
    return OwedFile(row.sha256, row.seq, row.case, "alarm", row.camera, row.time, row.bytes, row.key_frame == 1)


def _adopted(row: Row, found: File | None) -> OwedFile | None:
    """A file that is there and that no event here names, as one of another journal: kept, and sent."""
    if found is None:
        return None
    return OwedFile(row.sha256, 0, "", "alarm", "", rfc3339(round(found.written_s * 1e6)), found.bytes)


def _event(sql: sqlite3.Connection, seq: int) -> dict[str, Any] | None:
    """What it says; None where there is none, and nothing where that cannot be read."""
    found = sql.execute("SELECT CAST(body AS BLOB) FROM events WHERE seq=?", [seq]).fetchone()
    if found is None:
        return None
    with suppress(ValueError, RecursionError):
        if isinstance(event := json.loads(found[0]), dict):
            return event
    return {}


def _unreadable_clips(sql: sqlite3.Connection) -> Iterator[tuple[bytes, str]]:
    """The bytes of the name, which may be no text, and what is wrong."""
    for raw, name, body in sql.execute("SELECT CAST(name AS BLOB), name, body FROM clips"):
        try:
            restored(name, body, "", Stamp(0.0, 0))
        except ValueError as error:
            yield bytes(raw), str(error)
