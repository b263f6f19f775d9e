"""`callbox fsck`: whether a journal is as the box's promises need it, rule by rule (docs/architecture.md).

It may run beside the daemon and holds it up nowhere: the events, which may be millions, are read in pages, as far as
there are any; then, in one read transaction, those that came meanwhile and every table, so that what is compared is of
one moment. While a transaction is open the daemon's WAL cannot be emptied: only SQLite's own check and the tables have
one, and the signatures, which take long, have none.

Mending needs the box's lock. It derives debts, counts, holes and cases from the events, and never changes these.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from agent import fsck_files, schema
from agent.errors import BoxError, sqlite_error
from agent.identity import PRUNED, ChainCheck, Wrong, b64, named_holes
from agent.journal import FILE, connect
from agent.kinds import CLASSES, class_of
from agent.ranges import Hole
from agent.reader import PAGE_ROWS
from agent.rules import MENDABLE, Facts, Rule, broken, mend, press_of
from agent.storage import LEFT, promised_by_wal
from agent.text import t

SHOWN: Final = 5
"""Places named of each rule that is broken."""
WRONG: Final[dict[Wrong, Rule]] = {"bytes": Rule.ROWS, "prevhash": Rule.CHAIN, "signature": Rule.SIGNATURES}
UNTOUCHED: Final = (Rule.FILE, Rule.KIND)
"""Nothing is mended in a file that SQLite, or this agent, does not understand."""


@dataclass
class Tally:
    """How often each rule is broken, and the first places."""

    counts: dict[Rule, int] = field(default_factory=dict)
    places: dict[Rule, list[str]] = field(default_factory=dict)

    def add(self, rule: Rule, place: object) -> None:
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if self.counts[rule] <= SHOWN:
            self.places.setdefault(rule, []).append(str(place))


@dataclass(frozen=True)
class Fault:
    """A rule that is broken: how often, where (the first places), how much of it can be mended, and how much was."""

    rule: Rule
    count: int
    places: tuple[str, ...]
    mendable: int
    mended: int

    @property
    def what(self) -> str:
        """For people: what is wrong, and where."""
        places = ", ".join(self.places)
        if more := self.count - len(self.places):
            places = t("fsck.more", places=places, more=more)
        return t(f"fsck.what_{int(self.rule)}", count=self.count, places=places)

    @property
    def next(self) -> str:
        """What was done about it, or what is to be done next."""
        if self.mended == self.count:
            return t("fsck.mended")
        if self.mendable > self.mended:
            return t("fsck.mendable")
        return t("fsck.after") if self.rule in MENDABLE else t(f"fsck.next_{int(self.rule)}")


class Fsck:
    """One look at the journal of a state directory. Raises BoxError when it cannot be read at all."""

    def __init__(self, state_dir: Path, public: bytes) -> None:
        """public: the box's key."""
        self._path = path = state_dir / FILE
        if not path.exists():
            raise BoxError(f"{path}: no journal there", "name the box with --config or --state-dir")
        self.name = ""
        self.check = ChainCheck(public)
        self._facts, self._told = Facts(), fsck_files.Told(public)
        self._events, self._tables, self._left = Tally(), Tally(), Tally()
        try:
            promised = promised_by_wal(path)
            self._folder = fsck_files.Folder(state_dir)
            with closing(self._connect("ro")) as sql:
                read = self._look(sql)
        except sqlite3.Error as error:
            raise sqlite_error(error) from error
        except OSError as error:
            raise BoxError(
                f"{error.filename or path}: {error.strerror}", "run this as root or as the callbox user"
            ) from error
        if read and self.check.seq < promised:
            self._events.add(Rule.FILE, f"it ends at boxseq {self.check.seq}, its WAL held {promised}")
        if path.with_name(LEFT).exists():
            self._events.add(Rule.FILE, f"{LEFT}: it is being renewed")
        self._left = self._tables

    def repair(self) -> None:
        """Mends what can be mended, in one transaction. The caller holds the box's lock."""
        if not self._tables.counts or self._untouched:
            return
        self._left = Tally()
        try:
            with closing(self._connect("rw")) as sql:
                sql.execute("PRAGMA synchronous=FULL")
                sql.execute("BEGIN IMMEDIATE")
                mend(sql, self._facts)
                fsck_files.mend(sql, self._facts, self._told, self._folder)
                for rule, place in self._broken(sql):
                    self._left.add(rule, place)
                sql.execute("COMMIT")
        except sqlite3.Error as error:
            raise sqlite_error(error) from error

    @property
    def faults(self) -> list[Fault]:
        """By the number of the rule."""
        return [self._fault(rule) for rule in sorted({*self._events.counts, *self._tables.counts})]

    def _fault(self, rule: Rule) -> Fault:
        places = [*self._events.places.get(rule, ()), *self._tables.places.get(rule, ())]
        fixed, before = self._events.counts.get(rule, 0), self._tables.counts.get(rule, 0)
        mended = before - min(before, self._left.counts.get(rule, 0))
        return Fault(rule, fixed + before, tuple(places[:SHOWN]), 0 if self._untouched else before, mended)

    @property
    def _untouched(self) -> bool:
        return any(rule in self._events.counts for rule in UNTOUCHED)

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        sql = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None)
        sql.text_factory = lambda raw: raw.decode("utf-8", "replace")
        return sql

    def _look(self, sql: sqlite3.Connection) -> bool:
        """All the rules; False when not all of it could be read."""
        try:
            for [found] in sql.execute(f"PRAGMA integrity_check({SHOWN})").fetchall():
                if found != "ok":
                    self._events.add(Rule.FILE, found)
            for found in _unlike_a_journal(sql):
                self._events.add(Rule.KIND, found)
            if Rule.KIND in self._events.counts:
                return False
            self._read(sql)
            sql.execute("BEGIN")
            self._read(sql)
            for [seq] in sql.execute("SELECT seq FROM events WHERE seq<1"):
                self._events.add(Rule.MISSING, seq)
            self._settle()
            for rule, place in self._broken(sql):
                self._tables.add(rule, place)
            for place in fsck_files.on_disk(sql, self._facts, self._told, self._folder):
                self._events.add(Rule.FILES, place)
            named = sql.execute("SELECT value FROM settings WHERE name='journal'").fetchone()
            self.name = self._facts.journal or str(named[0] if named else "")
            sql.execute("COMMIT")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            self._events.add(Rule.FILE, error)
            return False
        return True

    def _broken(self, sql: sqlite3.Connection) -> Iterator[tuple[Rule, str]]:
        """In the tables."""
        yield from broken(sql, self._facts)
        yield from fsck_files.broken(sql, self._facts, self._told, self._folder)

    def _read(self, sql: sqlite3.Connection) -> None:
        """The events behind those that were read, to the end."""
        query = "SELECT seq, class, CAST(body AS BLOB), typeof(body) FROM events WHERE seq>? ORDER BY seq LIMIT ?"
        while rows := sql.execute(query, [self.check.seq, PAGE_ROWS]).fetchall():
            for seq, number, body, kind in rows:
                wrong = self.check.see(seq, body)
                for what in wrong:
                    self._events.add(WRONG[what], seq)
                if not (event := self.check.event):
                    self._facts.changed.add(seq)
                    continue
                if not wrong:
                    self._believe(sql, event)
                self._learn_case(event, seq)
                if "signature" not in wrong:
                    self._told.learn(event, seq)
                if (cls := _class(event)) not in (None, number):
                    self._facts.classes[seq] = cls
                if kind != "blob" or number != cls or self._facts.journal not in ("", event.get("journal")):
                    self._events.add(Rule.ROWS, seq)

    def _believe(self, sql: sqlite3.Connection, event: dict[str, Any]) -> None:
        """What an event without a fault says of the journal and its holes."""
        facts = self._facts
        facts.journal = facts.journal or str(event.get("journal"))
        for hole in named_holes(event) if event.get("type") == PRUNED else ():
            if _still_there(sql, hole):
                self._events.add(Rule.HOLES, f"{hole[0]}-{hole[1]}")

    def _learn_case(self, event: dict[str, Any], seq: int) -> None:
        """What an event says of its case, whoever signed it: where a key or the chain broke, alarms stay open."""
        facts = self._facts
        with suppress(KeyError, TypeError):  # an event of another version of the agent may have another shape
            if event["type"] == "callbox.audit.closed":
                facts.cases.pop(event["data"]["case"], None)
            elif (press := press_of(event, seq)) is not None:
                known = facts.cases.get(press.id)
                if known is None or press.count >= known.count:
                    facts.cases[press.id] = press

    def _settle(self) -> None:
        """What is missing, now that every record was read."""
        self._facts.holes = self.check.holes
        for first, last, digest in self.check.missing.values():
            self._facts.missing.append((first, last, digest))
            if last in self.check.misnamed:
                self._events.add(Rule.CHAIN, last + 1)
            else:
                self._events.add(Rule.MISSING, f"{first}-{last}")


def _unlike_a_journal(sql: sqlite3.Connection) -> Iterator[str]:
    """Where the file is not one of this version."""
    [application] = sql.execute("PRAGMA application_id").fetchone()
    [version] = sql.execute("PRAGMA user_version").fetchone()
    if application != schema.APPLICATION_ID:
        yield f"application id {application:#x}, not {schema.APPLICATION_ID:#x}"
    elif version != schema.SCHEMA_VERSION:
        yield f"version {version}, not {schema.SCHEMA_VERSION}"
    else:
        with closing(connect(":memory:")) as fresh:
            schema.bring_up_to_date(fresh)
            wanted, found = _tables(fresh), _tables(sql)
        yield from sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))


def _tables(sql: sqlite3.Connection) -> dict[str, str]:
    """Tables and triggers with what made them; those of tables that begin with _ are the migrations' own."""
    rows = sql.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^'")
    return {name: text for name, table, text in rows if not table.startswith("_")}


def _class(event: dict[str, Any]) -> int | None:
    """The number of the class that an event's type is of."""
    try:
        return CLASSES.index(class_of(event["type"].removeprefix("callbox.")))
    except (ValueError, KeyError, AttributeError):
        return None


def _still_there(sql: sqlite3.Connection, hole: Hole) -> bool:
    """Whether events stand where a record says that they went.

    Its hash tells whether it speaks of this journal: a record that came over from another has that one's numbers.
    """
    first, last, digest = hole
    if sql.execute("SELECT 1 FROM events WHERE seq BETWEEN ? AND ?", [first, last]).fetchone() is None:
        return False
    rows = dict(sql.execute("SELECT seq, CAST(body AS BLOB) FROM events WHERE seq IN (?, ?)", [last, last + 1]))
    named = f'"prevhash":"{digest}"'.encode()
    return b64(sha256(rows.get(last, b"")).digest()) == digest or named in rows.get(last + 1, b"")
