"""The journal: on the disk before anybody hears of it, and nothing of a transaction that failed."""

import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations
from written import SIGNER, Opened, chain, opened, path, sealed

from agent import schema
from agent.events import ZERO_HASH
from agent.identity import verify_chain
from agent.journal import ROWS, Journal
from agent.kinds import CLASSES, EventClass
from agent.mail import Fetch, Write
from agent.reader import Reader

__all__ = ["opened", "path"]  # fixtures


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
    later = chain(found.name, found.seq, found.prevhash)
    again.write([Write(events=(sealed(later),))])
    again.close()
    reader = Reader(path.parent)
    assert verify_chain(reader.events(), SIGNER.public) is None
    reader.close()


def test_of_many_events_in_one_transaction_each_is_there_and_what_is_said_of_one_of_them_holds(opened: Opened) -> None:
    events = [sealed(opened.chain) for _ in range(3 * ROWS + 7)]
    early, late = events[2], events[-2]
    writes = [Write(events=(event,)) for event in events]
    writes[2] = Write(events=(early,), parked={early.seq: "too large"})
    writes[-2] = Write(events=(late,), delivered=((late.seq, late.seq),))
    opened.journal.write(writes)
    owed = [event for event in events if event not in (early, late)]
    assert opened.journal.fetch(Fetch("scan", 0, 500)) == (tuple(owed), False)
    assert opened.journal.everything() == events
    assert opened.journal.pending["scan"] == len(owed)


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
