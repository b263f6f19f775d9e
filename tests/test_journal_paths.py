"""The journal's rows of reports: written with their event, asked for in order, kept as long as they are owed."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from written import Opened, opened, path, sealed

from agent.journal import Journal
from agent.mail import Survey, Write
from agent.path_mail import FindDue, JudgedReport, OwedReport
from agent.reader import Reader
from agent.schema import STEPS

__all__ = ["opened", "path"]  # fixtures

TIME = "2026-11-22T01:33:20.123456Z"


def record(opened: Opened, cls: Any, *paths: str, spare: bool = False) -> int:
    event = sealed(opened.chain, cls)
    rows = tuple(OwedReport(path, event.seq, cls, spare) for path in paths)
    opened.journal.write([Write(events=(event,), reports=rows)])
    return event.seq


def due(opened: Opened, path: str = "receiver", through: int = 1000) -> int | None:
    found = opened.journal.find_due(FindDue(path, 7, through))
    assert (found.journal, found.path, found.token) == (opened.journal.name, path, 7)
    return found.event and found.event.seq


def judged(path: str, seq: int, state: Any, reason: str = "") -> Write:
    return Write(judged=(JudgedReport(path, seq, state, TIME, reason),))


def test_reports_come_alarms_first_and_oldest_first_each_by_its_path(opened: Opened) -> None:
    for cls in ("trouble", "alarm", "trouble", "alarm"):
        record(opened, cls, "receiver")
    record(opened, "alarm", "sms")
    order = []
    while (seq := due(opened)) is not None:
        order.append(seq)
        opened.journal.write([judged("receiver", seq, "delivered")])
    assert order == [2, 4, 1, 3]
    assert due(opened, "sms") == 5


def test_what_is_not_yet_due_is_not_found_and_is_counted(opened: Opened) -> None:
    record(opened, "alarm", "receiver")
    record(opened, "alarm", "receiver")
    assert due(opened, through=0) is None
    assert opened.journal.find_due(FindDue("receiver", 1, 1)).owed == 2


def test_what_central_has_is_not_needed_of_a_spare_path_and_still_owed_on_the_other(opened: Opened) -> None:
    event = sealed(opened.chain, "alarm")
    rows = (OwedReport("sms", 1, "alarm", spare=True), OwedReport("receiver", 1, "alarm", spare=False))
    opened.journal.write([Write(events=(event,), reports=rows)])
    opened.journal.write([Write(delivered=((1, 1),))])
    assert due(opened, "sms") is None
    assert due(opened) == 1


def test_a_path_that_is_no_more_is_owed_nothing(opened: Opened) -> None:
    record(opened, "alarm", "receiver", "sms")
    opened.journal.write([Write(paths=("sms",))])
    assert (due(opened), due(opened, "sms")) == (None, 1)
    opened.journal.write([Write(paths=())])
    assert due(opened, "sms") is None


def test_what_a_path_is_owed_stays_in_the_journal(opened: Opened) -> None:
    record(opened, "alarm", "receiver")
    record(opened, "status")
    opened.journal.write([Write(delivered=((1, 2),))])
    tiny = Survey("", 0, 0, 0, undelivered=False)
    assert opened.journal.survey(tiny).ranges == ()
    opened.journal.write([judged("receiver", 1, "delivered")])
    [(first, last, digest)] = opened.journal.survey(tiny).ranges
    assert (first, last) == (1, 1)
    opened.journal.write([Write(prune=((first, last, digest),))])
    assert opened.journal._sql.execute("SELECT count(*) FROM reports").fetchone() == (0,)


def test_rows_come_with_their_event_or_not_at_all(opened: Opened) -> None:
    event = sealed(opened.chain, "alarm")
    rows = (OwedReport("receiver", 1, "alarm", spare=False),) * 2  # the second breaks the transaction
    try:
        opened.journal.write([Write(events=(event,), reports=rows)])
    except sqlite3.IntegrityError:
        assert opened.journal.opened().seq == 0
    else:
        raise AssertionError("the same row twice was taken")


def test_a_reader_sees_by_which_ways_an_event_went(opened: Opened, path: Path) -> None:
    record(opened, "alarm", "receiver", "sms")
    opened.journal.write([judged("receiver", 1, "delivered"), judged("sms", 1, "refused", "no such number")])
    reader = Reader(path.parent)
    assert reader.reports(1) == [("receiver", "delivered", TIME, ""), ("sms", "refused", TIME, "no such number")]
    assert reader.reports(2) == []
    assert not reader.at_central(1)
    opened.journal.write([Write(delivered=((1, 1),))])
    assert reader.at_central(1)


def test_a_journal_of_before_gets_the_table(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as sql:
        for step in STEPS[:3]:
            step(sql)
        sql.execute("PRAGMA application_id=0x43424F58")
        sql.execute("PRAGMA user_version=3")
        sql.commit()
    journal = Journal(tmp_path / "journal.db")
    assert journal.find_due(FindDue("receiver", 1, 10)).event is None
    journal.close()
