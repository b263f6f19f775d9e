"""The events of one case, out of a file of events, and what proves their places in the chain.

The file is what `callbox events --json` printed, a box's journal, or central's store.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.canonical import canonical
from agent.errors import BoxError, sqlite_error
from agent.identity import PRUNED, ChainCheck, named_holes, signed_by, unb64
from agent.text import t

EVIDENCE: Final = "callbox.status.evidence"
SQLITE: Final = b"SQLite format 3\0"
PREFIX_CHARS_MIN: Final = 8
NAMED_MAX: Final = 5
SHAPE: Final[dict[str, type]] = {
    **dict.fromkeys(("id", "type", "source", "subject", "journal", "time", "timequality", "prevhash"), str),
    "boxseq": int,
    "data": dict,
}


class Fault(NamedTuple):
    """What is wrong: a code (`export.fault_{code}` of the catalogue), where, and what else its text names."""

    code: str
    where: str = ""
    values: dict[str, Any] = {}  # noqa: RUF012  never changed

    def told(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {"code": self.code, "values": self.values, "text": t(f"export.fault_{self.code}", "en", **self.values)}


class Row(NamedTuple):
    """An event as the file has it. where: the place in the file. received_at, box: "" where the file does not say."""

    where: str
    body: bytes
    received_at: str = ""
    box: str = ""


class Stored(NamedTuple):
    """A row that can be read."""

    row: Row
    event: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.event["boxseq"])

    @property
    def name(self) -> str:
        """For people: which event it is."""
        return f"{self.event['journal']} {self.seq} ({self.event['type'].removeprefix('callbox.')})"


@dataclass
class Case:
    """A case: its events, and around them what the chain is proven with.

    runs: per journal, in order, everything the file has from the event before the case's first to the one after its
    last, and the signed records of holes in it. key: the box's public key, None where nobody said it.
    """

    id: str
    source: str = ""
    key: bytes | None = None
    runs: dict[str, list[Stored]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def mine(self) -> list[Stored]:
        """The events of the case itself, by the box's clock; one that came over into another journal, once."""
        found = [stored for run in self.runs.values() for stored in run if belongs(stored.event, self.id)]
        once = {stored.event["id"]: stored for stored in reversed(found)}
        return sorted(once.values(), key=lambda stored: (stored.event["time"], stored.seq))


def belongs(event: dict[str, Any], case: str) -> bool:
    """Whether an event is the case's first one, or about it."""
    return case in (event["id"], event["data"].get("case"), event["data"].get("alarm"))


def read_case(file: Path, name: str, key: bytes | None) -> Case:
    """The case whose id is, or begins with, `name`, checked.

    key: the box's; without it, the one that central has pinned in its store. Raises BoxError when there is no such
    case, or more than one, or the file cannot be read.
    """
    box, case = _find(file, name)
    seqs: dict[str, list[int]] = {}
    for row in _rows(file, box):
        stored = _read(row)
        if stored is None:
            case.faults.append(Fault("unreadable", row.where))
        elif not belongs(stored.event, case.id):
            continue
        elif stored.event["source"] != case.source:
            case.faults.append(Fault("source", row.where, {"source": stored.event["source"]}))
        else:
            seqs.setdefault(stored.event["journal"], []).append(stored.seq)
    spans = {journal: range(min(found) - 1, max(found) + 2) for journal, found in seqs.items()}
    case.key = key or next(filter(None, (_pinned(file, box, journal) for journal in spans)), None)
    seen: dict[str, dict[int, Stored]] = {journal: {} for journal in spans}
    records: dict[str, list[Stored]] = {journal: [] for journal in spans}
    for row in _rows(file, box):
        stored = _read(row)
        if stored is None or stored.event["source"] != case.source or (at := stored.event["journal"]) not in spans:
            continue
        if stored.event["type"] == PRUNED:
            records[at].append(stored)
        if stored.seq in spans[at]:
            twin = seen[at].setdefault(stored.seq, stored)
            if twin.row.body != stored.row.body:
                if case.key and not signed_by(case.key, twin.event):
                    seen[at][stored.seq], stored = stored, twin
                case.faults.append(Fault("twin", stored.row.where, {"event": stored.name}))
    for journal, events in seen.items():
        case.runs[journal] = [events[seq] for seq in sorted(events)]
    for journal, run in case.runs.items():
        case.faults += _check(case.key or bytes(32), run, spans[journal].start, records[journal], signed=bool(case.key))
    if case.key is None:
        case.faults.append(Fault("no_key", file.name))
    if case.id not in {stored.event["id"] for stored in case.mine()}:
        case.faults.append(Fault("no_first", file.name, {"case": case.id}))
    return case


def _find(file: Path, name: str) -> tuple[str, Case]:
    """(box in central's store, the case) of which there is one."""
    ids: dict[str, tuple[str, str]] = {}
    cases: set[str] = set()
    for row in _rows(file):
        if name.encode() not in row.body or (stored := _read(row)) is None:
            continue
        event = stored.event
        case = event["data"].get("case") or event["data"].get("alarm")
        if isinstance(case, str) and (case.startswith(name) or event["id"].startswith(name)):
            cases.add(case)
            ids.setdefault(case, (row.box, event["source"]))
        elif event["id"].startswith(name):
            ids.setdefault(event["id"], (row.box, event["source"]))
    found = sorted(cases or ids)
    if name in found:
        found = [name]
    if not found:
        raise BoxError(f"{file}: no event {name!r} in it", "a case is named by the id of its first event")
    if len(found) > 1 or len(name) < PREFIX_CHARS_MIN:
        shown = ", ".join(found[:NAMED_MAX]) + (" ..." if len(found) > NAMED_MAX else "")
        raise BoxError(f"{name!r} may be {shown}", f"{PREFIX_CHARS_MIN} characters and more, of one case alone")
    box, source = ids[found[0]]
    return box, Case(found[0], source)


def _read(row: Row) -> Stored | None:
    """None for what is no event."""
    try:
        event = json.loads(row.body)
        canonical(event)  # what has no canonical form (a lone surrogate) could not be written into a manifest either
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or any(type(event.get(name)) is not kind for name, kind in SHAPE.items()):
        return None
    return Stored(row, event)


def _check(public: bytes, run: list[Stored], first: int, records: list[Stored], *, signed: bool) -> Iterator[Fault]:
    """A run's events against each other and the key. first: the boxseq that it should begin with, 0 for none.

    What a hole is proven with joins the run. signed: whether the key is known.
    """
    begin = run[0]
    try:
        prevhash = unb64(begin.event["prevhash"], 32) if begin.seq > 1 else bytes(32)
    except ValueError:
        prevhash = bytes(32)
    check = ChainCheck(public, begin.seq - 1, prevhash)
    for stored in run:
        for what in check.see(stored.seq, stored.row.body):
            if what != "signature" or signed:
                yield Fault(what, stored.row.where, {"event": stored.name})
    missing = list(check.missing.values())
    if begin.seq > max(first, 1):
        missing.append((max(first, 1), begin.seq - 1, begin.event["prevhash"]))
    for gap_first, gap_last, digest in missing:
        record = next(
            (
                record
                for record in records
                for low, high, named in named_holes(record.event)
                if low <= gap_first and high == gap_last and digest == named and signed_by(public, record.event)
            ),
            None,
        )
        if record is None:
            journal = begin.event["journal"]
            yield Fault("missing", f"{journal} {gap_first}-{gap_last}", {"first": gap_first, "last": gap_last})
        elif record not in run:
            run.append(record)


# ---- the three kinds of file


def _rows(file: Path, box: str = "") -> Iterator[Row]:
    """Every event in it; of one box, where the file is central's. Raises BoxError."""
    try:
        with file.open("rb") as opened:
            if opened.read(len(SQLITE)) != SQLITE:
                opened.seek(0)
                for number, line in enumerate(opened, 1):
                    if body := line.removesuffix(b"\n"):
                        yield Row(f"{file.name}, line {number}", body)
                return
        with closing(_open(file)) as sql:
            if _of_central(sql):
                query = "SELECT id, payload, received_at, box FROM events WHERE ?='' OR box=? ORDER BY rowid"
                for id, body, received_at, of in sql.execute(query, [box, box]):
                    yield Row(f"{file.name}, id {id}", _bytes(body), str(received_at), str(of))
            else:
                for seq, body in sql.execute("SELECT seq, body FROM events ORDER BY seq"):
                    yield Row(f"{file.name}, seq {seq}", _bytes(body))
    except OSError as error:
        raise BoxError(f"{file}: {error.strerror}", "--events: what `callbox events --json` printed") from error
    except sqlite3.Error as error:
        raise BoxError(f"{file}: {sqlite_error(error).found}", "--events: a journal.db, or central's store") from error


def _pinned(file: Path, box: str, journal: str) -> bytes | None:
    """The key that central trusts for this journal of the box."""
    with file.open("rb") as opened:
        if opened.read(len(SQLITE)) != SQLITE:
            return None
    try:
        with closing(_open(file)) as sql:
            if not _of_central(sql):
                return None
            row = sql.execute("SELECT key FROM journals WHERE box=? AND journal=?", [box, journal]).fetchone()
            return unb64(str(row[0]), 32) if row else None
    except (sqlite3.Error, ValueError):
        return None


def _open(file: Path) -> sqlite3.Connection:
    sql = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    sql.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return sql


def _of_central(sql: sqlite3.Connection) -> bool:
    return "received_at" in {name for _, name, *_ in sql.execute("PRAGMA table_info(events)")}


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else str(body).encode()
