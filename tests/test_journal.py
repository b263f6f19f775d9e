"""The journal: on the disk before anybody hears of it, and nothing of a transaction that failed."""

import json
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_box import BOX_KEY, WALL_US
from sqlite_utils import Database, Migrations

from agent import schema
from agent.errors import BoxError
from agent.events import ZERO_HASH, Chain, Draft, Event, Stamp, rfc3339
from agent.identity import Ed25519Signer, verify_chain
from agent.journal import FILE, LOOK_ROWS, MEMORY_BYTES, PRUNE_TIGHT, Journal
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Survey, Surveyed, Write
from agent.reader import PAGE_ROWS, Reader
from agent.storage import open_journal

DEADLINE_S = 10.0
TYPES = {
    "alarm": "alarm.panic",
    "trouble": "trouble.ac",
    "scan": "scan.code",
    "status": "status.test",
    "audit": "audit.config",
}


def chain(name: str) -> Chain:
    return Chain("/callbox/s/b", name, "5f0c2a9e", Ed25519Signer(BOX_KEY))


def sealed(made: Chain, cls: EventClass = "scan") -> Event:
    data: Any = {"input": "desk"}
    return made.seal(Draft(f"id-{made.seq + 1}", TYPES[cls], "desk", Stamp(1.0, 1), data))


class Opened:
    """An open journal with the chain that goes on in it."""

    def __init__(self, path: Path | None) -> None:
        self.journal = Journal(path)
        self.chain = chain(self.journal.opened().name)

    def record(self, *classes: EventClass, **more: Any) -> None:
        events = tuple(sealed(self.chain, cls) for cls in classes)
        self.journal.write([Write(events=events, **more)])

    def owe(self, *ranges: tuple[int, int]) -> None:
        """Central asks for them again; the journal does all of it."""
        self.journal.write([Write(owe=ranges)])
        while self.journal.owe_some():
            pass

    def owed(self) -> list[int]:
        return sorted(
            event.seq for cls in CLASSES for event in self.journal.fetch(Fetch(cls, 0, 1000))[0] if event.cls == cls
        )

    def counted(self) -> int:
        assert sum(self.journal.pending.values()) == len(self.owed())
        return len(self.owed())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    made = Opened(path)
    yield made
    made.journal.close()


# ---- what is written


def test_a_new_journal_has_a_name_and_counts_from_nothing(opened: Opened) -> None:
    found = opened.journal.opened()
    assert len(found.name) == 8
    assert int(found.name, 16) >= 0
    assert (found.seq, found.prevhash, found.cases, found.seen, found.volatile) == (0, ZERO_HASH, (), {}, False)
    assert found.pending == dict.fromkeys(CLASSES, 0)


def test_every_commit_is_synced_in_full(opened: Opened) -> None:
    sql = opened.journal._sql
    pragmas = [sql.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2], "NORMAL loses committed rows at a power cut"
    assert sql.execute("PRAGMA wal_autocheckpoint").fetchone()[0] == 0


def test_an_event_is_owed_from_its_commit_on_and_comes_back_byte_for_byte(opened: Opened) -> None:
    event = sealed(opened.chain, "alarm")
    opened.journal.write([Write(events=(event,))])
    assert opened.journal.fetch(Fetch("alarm", 0, 10)) == ((event,), False)
    assert opened.journal.pending["alarm"] == 1


def test_everything_is_still_there_after_it_is_opened_again(opened: Opened, path: Path) -> None:
    opened.record("alarm", "scan", cases={"c-1": '{"last_seq": 1}'}, seen={"k": 9e12}, settings={"last_end": "clean"})
    opened.record("audit", delivered=((2, 2),))
    before = opened.journal.opened()
    opened.journal.close()
    again = Journal(path)
    assert again.opened() == before
    assert before.seq == 3
    assert before.pending == {"alarm": 1, "trouble": 0, "scan": 0, "status": 0, "audit": 1}
    assert before.cases == (('{"last_seq": 1}', True),)
    assert (before.seen, before.settings["last_end"]) == ({"k": 9e12}, "clean")
    again.close()


def test_a_chain_goes_on_over_a_restart(opened: Opened, path: Path) -> None:
    opened.record("scan", "scan")
    opened.journal.close()
    again = Journal(path)
    found = again.opened()
    later = Chain("/callbox/s/b", found.name, "5f0c2a9e", Ed25519Signer(BOX_KEY), found.seq, found.prevhash)
    again.write([Write(events=(sealed(later),))])
    again.close()
    reader = Reader(path.parent)
    assert verify_chain(reader.events(), Ed25519Signer(BOX_KEY).public) is None
    reader.close()


def test_a_transaction_is_whole_or_nothing_of_it(opened: Opened) -> None:
    opened.record("alarm", cases={"c": '{"last_seq": 1}'})
    good = sealed(opened.chain)
    before = opened.journal.opened()
    twice = good._replace(seq=1)
    writes = [
        Write(events=(good,), delivered=((1, 1),), cases={"c": None}),
        Write(events=(twice,), settings={"x": "y"}),
    ]
    with pytest.raises(sqlite3.IntegrityError):
        opened.journal.write(writes)
    assert opened.journal.opened() == before
    assert opened.counted() == 1


def test_a_case_is_kept_changed_and_removed_with_the_event_that_does_it(opened: Opened) -> None:
    opened.record("alarm", cases={"a": '{"last_seq": 1}', "b": '{"last_seq": 1}'})
    opened.record("alarm", cases={"a": '{"last_seq": 2}', "b": None})
    assert opened.journal.opened().cases == (('{"last_seq": 2}', True),)
    opened.journal.write([Write(delivered=((1, 2),))])
    assert opened.journal.opened().cases == (('{"last_seq": 2}', False),)


def test_what_is_delivered_is_owed_no_more_and_stays_in_the_journal(opened: Opened, path: Path) -> None:
    opened.record(*CLASSES * 3)
    opened.journal.write([Write(delivered=((1, 10), (12, 12)))])
    assert opened.owed() == [11, 13, 14, 15]
    assert opened.counted() == 4
    opened.journal.write([Write(delivered=((1, 2**53),))])
    assert opened.counted() == 0
    assert opened.journal.opened().seq == 15


def test_what_central_asks_for_again_is_owed_again_once(opened: Opened) -> None:
    opened.record(*CLASSES * 2)
    opened.journal.write([Write(delivered=((1, 10),))])
    for _ in range(2):
        opened.owe((3, 4), (4, 6), (9, 1000))
    assert opened.owed() == [3, 4, 5, 6, 9, 10]
    assert opened.counted() == 6


def test_a_case_whose_last_press_nobody_could_take_is_not_said_to_be_at_central(opened: Opened) -> None:
    opened.record("alarm", cases={"id-1": '{"last_seq": 1}'})
    opened.journal.write([Write(parked={1: "too large"})])
    assert opened.journal.opened().cases == (('{"last_seq": 1}', True),)


def test_what_is_parked_is_owed_no_more_until_central_asks_for_it(opened: Opened, path: Path) -> None:
    opened.record("scan", "scan", "scan")
    for _ in range(2):
        opened.journal.write([Write(parked={2: "too large"})])
    assert opened.owed() == [1, 3]
    with closing(sqlite3.connect(path)) as reader:
        parked = "SELECT seq, reason FROM parked"
        assert reader.execute(parked).fetchall() == [(2, "too large")]
        opened.owe((2, 2))
        assert opened.owed() == [1, 2, 3]
        assert reader.execute(parked).fetchall() == []
    assert opened.counted() == 3


def test_the_counts_of_what_is_owed_are_right_after_any_sequence(opened: Opened) -> None:
    rng = random.Random(5)
    owed: set[int] = set()
    for step in range(300):
        first = rng.randint(1, opened.chain.seq + 1)
        span = (first, first + rng.randrange(20))
        match rng.randrange(5):
            case 0 | 1:
                events = tuple(sealed(opened.chain, rng.choice(CLASSES)) for _ in range(rng.randrange(4)))
                write, change = Write(events=events), owed.union(event.seq for event in events)
            case 2:
                write, change = Write(delivered=(span,)), {seq for seq in owed if not span[0] <= seq <= span[1]}
            case 3:
                write, change = Write(parked={span[0]: "x"}), owed - {span[0]}
            case _:
                again = {seq for seq in range(span[0], span[1] + 1) if seq <= opened.chain.seq}
                write, change = Write(), owed.union(again)
                opened.owe(span)
        opened.journal.write([write])
        owed = change
        assert set(opened.owed()) == owed, f"step {step}"
        assert opened.counted() == len(owed)


def test_a_fetch_pages_through_what_is_owed_oldest_first(opened: Opened) -> None:
    classes: tuple[EventClass, ...] = ("scan", "alarm")
    opened.record(*classes * 5)
    opened.journal.write([Write(delivered=((3, 3),))])
    events, more = opened.journal.fetch(Fetch("scan", 0, 2))
    assert ([event.seq for event in events], more) == ([1, 5], True)
    events, more = opened.journal.fetch(Fetch("scan", 5, 2))
    assert ([event.seq for event in events], more) == ([7, 9], False)
    assert opened.journal.fetch(Fetch("scan", 9, 2)) == ((), False)


def test_ids_of_commands_are_forgotten_when_they_have_expired(opened: Opened) -> None:
    opened.journal.write([Write(seen={"old": 1.0})])
    opened.journal.write([Write(seen={"new": 9e12})])
    assert opened.journal.opened().seen == {"new": 9e12}


def test_a_long_resend_is_done_in_parts_and_goes_on_after_a_restart(
    opened: Opened, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.journal.OWING_SEQS", 4)
    opened.record(*CLASSES * 2)
    opened.journal.write([Write(delivered=((1, 10),)), Write(owe=((2, 9),))])
    assert opened.journal.owe_some() == (2, 5)
    assert opened.owed() == [2, 3, 4, 5]
    opened.journal.close()
    opened.journal = Journal(path)
    opened.journal.write([Write(owe=((6, 7),))])  # asked for again, and shorter: nothing of the first is forgotten
    assert [opened.journal.owe_some(), opened.journal.owe_some()] == [(6, 9), None]
    assert opened.owed() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert opened.counted() == 8


def of_the_first_version(path: Path) -> Database:
    """A journal as the first version made it, with no events."""
    db = Database(sqlite3.connect(path, isolation_level=None))
    schema.m001_first(db)
    migrations = Migrations("callbox.journal")
    migrations(name="m001_first")(lambda _: None)
    migrations.apply(db)
    db.conn.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    db.conn.execute("PRAGMA user_version=1")
    return db


def test_migrations_applied_twice_do_nothing(path: Path) -> None:
    of_the_first_version(path).conn.close()
    for _ in range(2):
        sql = sqlite3.connect(path, isolation_level=None)
        schema.bring_up_to_date(sql)
        names = [row[0] for row in sql.execute("SELECT value FROM settings WHERE name='journal'")]
        sql.execute("PRAGMA user_version=1")  # the power failed before it was written
        sql.close()
    journal = Journal(path)
    assert [journal.opened().name] == names
    journal.close()


def test_a_new_journal_is_made_without_code_that_may_be_on_a_disk_that_failed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlite_utils", None)  # as if it could not be read
    for where in (None, path):
        journal = Journal(where)
        journal.write([Write(events=(sealed(chain(journal.name)),))])
        assert journal.opened().seq == 1
        journal.close()


def test_a_journal_of_the_first_version_keeps_its_events_and_what_it_owes(path: Path) -> None:
    db = of_the_first_version(path)
    made = chain(db.conn.execute("SELECT value FROM settings WHERE name='journal'").fetchone()[0])
    events = [sealed(made, cls) for cls in CLASSES * 2]
    for event in events:
        row = (event.seq, CLASSES.index(event.cls), event.id, event.body)
        db.conn.execute("INSERT INTO events VALUES (?,?,?,?)", row)
        if event.seq > 3:
            db.conn.execute("INSERT INTO owed VALUES (?,?)", (row[1], event.seq))
    db.conn.close()
    journal = Journal(path)
    assert journal.pending == {"alarm": 1, "trouble": 1, "scan": 1, "status": 2, "audit": 2}
    assert journal.fetch(Fetch("audit", 0, 10)) == ((events[4], events[9]), False)
    journal.write([Write(events=(sealed(made, "audit"),), delivered=((4, 5),))])
    assert journal.pending == {"alarm": 1, "trouble": 1, "scan": 1, "status": 1, "audit": 2}
    assert journal.opened().seq == 11
    journal.close()


# ---- files that are no journal


def aside(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if ".aside-" in file.name)


def test_a_file_that_is_no_database_is_moved_aside_whole(path: Path) -> None:
    path.write_bytes(b"a love letter, and not a database at all" * 100)
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert "moved aside" in reason
    assert aside(path.parent) == [found.aside.name if found.aside else ""]
    assert found.aside is not None
    assert found.aside.read_bytes().startswith(b"a love letter")
    assert (journal.opened().seq, journal.opened().volatile) == (0, False)
    journal.close()


def test_a_journal_of_a_newer_agent_is_moved_aside_and_not_touched(opened: Opened, path: Path) -> None:
    opened.record("alarm")
    opened.journal._sql.execute(f"PRAGMA user_version={schema.SCHEMA_VERSION + 1}")
    opened.journal.close()
    content = path.read_bytes()
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert "install the newer agent" in reason
    assert found.aside is not None
    assert found.aside.read_bytes() == content
    journal.close()


def test_another_programs_database_is_moved_aside(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert "another program's database" in reason
    assert aside(path.parent) == [found.aside.name if found.aside else ""]
    journal.close()


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_half_written_file_is_moved_aside_and_the_box_starts(path: Path, keep: float) -> None:
    made = Opened(path)
    classes: tuple[EventClass, ...] = ("scan",)
    made.record(*classes * 400)
    made.journal.checkpoint()
    made.journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert reason != ""
    assert found.aside is not None and found.aside.exists()
    assert journal.opened().seq == 0
    journal.close()


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.touch()
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert (reason, journal.opened().seq) == ("", 0)
    journal.close()


def test_a_file_with_our_mark_and_no_content_is_a_new_journal(path: Path) -> None:
    """The power went between the mark and the first table."""
    sql = sqlite3.connect(path)
    sql.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    sql.close()
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert (reason, journal.opened().seq) == ("", 0)
    journal.close()


@pytest.mark.parametrize(
    "damage", ["DELETE FROM settings", "INSERT INTO cases VALUES ('x', '{')", "INSERT INTO cases VALUES ('x', '{}')"]
)
def test_a_journal_whose_rows_are_damaged_is_moved_aside(opened: Opened, path: Path, damage: str) -> None:
    opened.journal._sql.execute(damage)
    opened.journal.close()
    found = open_journal(path.parent)
    journal, reason = found.journal, found.reason
    assert reason != ""
    assert aside(path.parent) == [found.aside.name if found.aside else ""]
    journal.close()


def test_where_the_disk_takes_no_file_the_journal_is_in_memory_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = open_journal(tmp_path / "file" / "state")
    journal, reason = found.journal, found.reason
    assert "check the disk and whom state_dir belongs to" in reason
    assert journal.opened().volatile
    journal.close()


def test_where_the_journal_cannot_be_opened_it_is_in_memory_and_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    found = open_journal(tmp_path)
    journal, reason = found.journal, found.reason
    assert "state_dir cannot be written" in reason
    assert journal.opened().volatile
    assert aside(tmp_path) == []
    journal.close()


# ---- another process


def test_a_reader_reads_while_the_writer_writes(opened: Opened, path: Path) -> None:
    opened.record("alarm", "scan", "audit")
    reader = Reader(path.parent)
    found = reader.events()
    first = next(found)
    opened.record("alarm", delivered=((2, 2),))
    assert [first[0], *(seq for seq, _ in found)] == [1, 2, 3], "one moment"
    assert [seq for seq, _ in reader.events(after=2)] == [3, 4]
    assert [seq for seq, _ in reader.events(cls="alarm")] == [1, 4]
    assert [seq for seq, _ in reader.events(pending=True)] == [1, 3, 4]
    assert reader.name == opened.chain.journal
    reader.close()


def test_a_reader_that_stops_half_way_keeps_no_wal_from_being_emptied(opened: Opened, path: Path) -> None:
    scans: list[EventClass] = ["scan"] * (PAGE_ROWS + 2)
    opened.record(*scans)
    events = Reader(path.parent).events()
    next(events)
    with closing(sqlite3.connect(path)) as db:
        [(busy, _, _)] = db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert busy == 0
    assert len(list(events)) == PAGE_ROWS + 1


def test_a_reader_can_write_nothing(opened: Opened, path: Path) -> None:
    reader = Reader(path.parent)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._sql.execute("DELETE FROM events")
    reader.close()


def test_a_reader_without_a_journal_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(BoxError, match=r"journal\.db: no journal there"):
        Reader(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_a_reader_of_something_else_says_so(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BoxError):
        Reader(path.parent)


def test_a_reader_of_a_journal_without_a_name_says_so(opened: Opened, path: Path) -> None:
    opened.journal._sql.execute("DELETE FROM settings")
    with pytest.raises(BoxError):
        Reader(path.parent)


# ---- what may go


def survey(opened: Opened, **more: Any) -> Surveyed:
    wish = Survey(before="", used_max=10**12, free_min=0, after=0, undelivered=False)
    return opened.journal.survey(replace(wish, **more))


SCANS: tuple[EventClass, ...] = ("scan",) * 100
ALARMS: tuple[EventClass, ...] = ("alarm",) * 9
FULL: Any = {"free_min": 1_000_000}


def fill_disk(opened: Opened) -> None:
    opened.journal.room = lambda: (5_000_000, 0, 10**9)  # type: ignore[method-assign]


def test_while_there_is_room_nothing_has_to_go(opened: Opened) -> None:
    opened.record("scan", "scan", delivered=((1, 2),))
    assert survey(opened) == Surveyed(opened.journal.name, "", (), 0, 0, 0)


def test_what_central_has_may_go_with_the_hash_that_the_next_event_names_and_the_last_event_stays(
    opened: Opened,
) -> None:
    opened.record("scan", "alarm", "scan", "scan", "scan")
    opened.journal.write([Write(delivered=((1, 3), (5, 5)))])
    found = survey(opened, used_max=0)
    assert (found.cause, found.count, found.undelivered) == ("size", 3, 0)
    [(first, last, digest)] = found.ranges
    next_body = opened.journal.fetch(Fetch("scan", 0, 1))[0][0].body
    assert (first, last, digest) == (1, 3, json.loads(next_body)["prevhash"])


def test_what_is_old_is_told_by_its_own_time(opened: Opened) -> None:
    for day in range(1, 8):
        at = Stamp(1.0, WALL_US + day * 86_400_000_000)
        opened.journal.write([Write(events=(opened.chain.seal(Draft("id", "scan.code", "d", at, {"input": "d"})),))])
    opened.journal.write([Write(delivered=((1, 7),))])
    found = survey(opened, before=rfc3339(WALL_US + 3 * 86_400_000_000))
    assert (found.cause, [hole[:2] for hole in found.ranges]) == ("days", [(1, 2)])


def test_what_is_owed_or_parked_never_goes_for_age_or_size(opened: Opened) -> None:
    opened.record(*CLASSES * 3)
    opened.journal.write([Write(delivered=((1, 2),), parked={2: "too large"})])
    for wish in ({"used_max": 0}, {"before": "9999"}, FULL):
        if wish is FULL:
            fill_disk(opened)
        assert [hole[:2] for hole in survey(opened, **wish).ranges] == [(1, 1)]


def test_on_a_full_disk_scans_and_status_go_that_nobody_has_and_never_an_alarm(opened: Opened) -> None:
    opened.record(*CLASSES * 2, "scan", "scan", "audit")
    fill_disk(opened)
    found = survey(opened, **FULL, undelivered=True)
    assert [hole[:2] for hole in found.ranges] == [(3, 4), (8, 9), (11, 12)]
    assert (found.cause, found.count, found.undelivered) == ("disk", 6, 6)
    opened.journal.write([Write(delivered=((3, 3), (8, 8)))])
    assert survey(opened, **FULL, undelivered=True).undelivered == 4
    del opened.journal.room
    assert survey(opened, used_max=0, undelivered=True).count == 2, "only the disk's own need takes what nobody has"


def test_a_small_disk_is_full_when_a_sixteenth_of_it_is_left(opened: Opened) -> None:
    opened.record("scan", "scan", delivered=((1, 1),))
    opened.journal.write([Write(delivered=((1, 1),))])
    for free, cause in ((62_500, ""), (62_499, "disk")):
        opened.journal.room = lambda free=free: (1, free, 1_000_000)  # type: ignore[misc,method-assign]
        assert survey(opened, **FULL).cause == cause


def test_a_look_through_all_of_it_comes_to_its_end_also_while_events_come(opened: Opened) -> None:
    opened.record(*SCANS * (LOOK_ROWS // len(SCANS)), "scan")
    fill_disk(opened)
    first = survey(opened, **FULL)
    opened.record("scan")
    assert (first.after, survey(opened, **FULL, after=first.after).after) == (LOOK_ROWS, 0)


def test_to_prune_on_a_full_disk_writes_little(opened: Opened) -> None:
    for _ in range(10):
        opened.record(*SCANS)
    opened.journal.write([Write(delivered=((1, 1_000),))])
    opened.journal.checkpoint()
    found = survey(opened, used_max=0)
    opened.journal.write([Write(prune=found.ranges)])
    spare, [_, written, _] = (
        opened.journal._sql.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "wal_checkpoint")
    )
    assert written < spare[0] * 0.75


def test_without_a_reserve_what_goes_goes_in_small_parts(opened: Opened) -> None:
    opened.record(*SCANS * (PRUNE_TIGHT // len(SCANS) + 1))
    fill_disk(opened)
    wish = Survey("", 10**12, 1_000_000, 0, undelivered=True)
    assert opened.journal.survey(wish, lent=1).count == PRUNE_TIGHT
    assert opened.journal.survey(wish).count == PRUNE_TIGHT + len(SCANS) - 1


def test_what_goes_is_gone_with_its_debts_and_holes_side_by_side_become_one(opened: Opened, path: Path) -> None:
    opened.record(*SCANS[:12], "alarm")
    opened.journal.write([Write(delivered=((4, 6),), parked={8: "x"})])
    first = survey(opened, used_max=0)
    opened.journal.write([Write(prune=first.ranges)])
    assert opened.journal.pending["scan"] == 8
    opened.journal.write([Write(delivered=((1, 3), (7, 8)))])
    second = survey(opened, used_max=0)
    assert [hole[:2] for hole in second.ranges] == [(1, 8)]
    assert second.count == 5
    opened.journal.write([Write(prune=second.ranges)])
    with closing(sqlite3.connect(path)) as db:
        assert [seq for [seq] in db.execute("SELECT seq FROM events")] == [9, 10, 11, 12, 13]
        assert db.execute("SELECT seq FROM owed ORDER BY seq").fetchall() == [(9,), (10,), (11,), (12,), (13,)]
        assert db.execute("SELECT * FROM parked").fetchall() == []
        assert db.execute("SELECT first, last FROM pruned").fetchall() == [(1, 8)]
    assert opened.counted() == 5


def test_a_record_of_what_went_never_goes_itself(opened: Opened) -> None:
    no_holes: Any = {"holes": []}
    record = opened.chain.seal(Draft("id", "audit.pruned", "journal", Stamp(1.0, 1), no_holes))
    opened.journal.write([Write(events=(record,))])
    opened.record("scan", "scan", delivered=((1, 3),))
    opened.journal.write([Write(delivered=((1, 3),))])
    assert [hole[:2] for hole in survey(opened, used_max=0).ranges] == [(2, 2)]


def test_a_survey_looks_at_a_part_and_says_where_to_go_on(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.journal.LOOK_ROWS", 4)
    opened.record(*ALARMS, "scan", "scan", "scan")
    opened.journal.write([Write(delivered=((10, 11),))])
    found, after = survey(opened, used_max=0), []
    while found.after:
        after.append(found.after)
        found = survey(opened, used_max=0, after=found.after)
    assert (after, [hole[:2] for hole in found.ranges]) == ([4, 8], [(10, 11)])


def test_the_room_of_a_journal_in_memory_is_bounded_and_what_was_pruned_is_room_again() -> None:
    made = Opened(None)
    used, free, size = made.journal.room()
    assert used + free == size == MEMORY_BYTES
    for _ in range(20):
        made.record(*SCANS)
    grown, left, _ = made.journal.room()
    assert grown > used + 500_000 and grown + left == MEMORY_BYTES
    made.journal.write([Write(prune=((1, 1_999, "h"),))])
    assert made.journal.room()[0] < used + 50_000
    assert [event.seq for event in made.journal.everything()] == [2_000]
