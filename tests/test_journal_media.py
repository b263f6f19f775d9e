"""Files of evidence in the journal: what is owed in which order, what may go, what is to be unlinked; real SQLite."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from uploads_bench import owed_file
from written import Opened, opened, path

from agent import journal_files, schema
from agent.journal import Journal
from agent.kinds import CLASSES, EventClass
from agent.mail import Recorded, Write
from agent.media_mail import FetchedFiles, FetchFiles, OwedFile, SurveyedFiles, SurveyFiles
from agent.writer import Answer, Writer

__all__ = ["opened", "path"]  # fixtures

PLENTY = 1 << 40
NO_LIMIT = SurveyFiles("", PLENTY, 0)


def file(number: int, size: int = 1_000, **more: object) -> OwedFile:
    made, _ = owed_file(number, 16, **{"seq": number, **more})  # type: ignore[arg-type]
    return replace(made, bytes=size)


def keep(opened: Opened, *files: OwedFile) -> tuple[OwedFile, ...]:
    """Files with their event."""
    opened.record("status", files=files)
    return files


def store(opened: Opened, *files: OwedFile, size: int | None = None) -> None:
    """Central has all of these, or so many bytes."""
    opened.journal.write([Write(stored={one.sha256: one.bytes if size is None else size for one in files})])


def owed(opened: Opened, limit: int = 1_000) -> tuple[OwedFile, ...]:
    return opened.journal.fetch_files(FetchFiles(limit)).files


def may_go(opened: Opened, wish: SurveyFiles, free: int = PLENTY) -> tuple[str, list[int], bool]:
    """The cause, which files by their boxseq, and whether there are more."""
    cause, files, more = journal_files.may_go(opened.journal._sql, wish, free)
    return cause, [one.seq for one in files], more


# ---- what is owed


def test_files_are_owed_with_their_event_and_over_a_restart(opened: Opened, path: Path) -> None:
    one, two = keep(opened, file(1, 1_000), file(2, 500))
    assert (owed(opened), opened.journal.media_bytes) == ((one, two), 1_500)
    opened.journal.close()
    again = Journal(path)
    assert again.fetch_files(FetchFiles(9)).files == (one, two)
    assert again.opened().media_bytes == again.media_bytes == 1_500
    again.close()


def test_of_a_write_that_fails_no_file_is_there_and_none_is_counted(opened: Opened) -> None:
    event_that_is_there = opened.journal.write
    keep(opened, file(1))
    body = opened.journal.everything()
    with pytest.raises(sqlite3.IntegrityError):
        event_that_is_there([Write(files=(file(2),), stored={file(1).sha256: 1_000}), Write(events=(body[0],))])
    assert owed(opened) == (file(1),)
    assert opened.journal.media_bytes == 1_000


def test_a_file_that_is_named_again_keeps_its_row(opened: Opened) -> None:
    [one] = keep(opened, file(1))
    store(opened, one, size=400)
    keep(opened, replace(one, seq=9, case="another", stored=0))
    assert owed(opened) == (replace(one, stored=400),)
    assert opened.journal.media_bytes == 600


def test_the_order_is_pictures_alone_then_the_newest_case_then_the_oldest_file(opened: Opened) -> None:
    wanted = [
        file(3, case=2, key_frame=True),
        file(1, case=1, key_frame=True),
        file(4, case=2),
        file(5, case=2),
        file(2, case=1),
    ]
    keep(opened, *wanted[::-1])
    assert owed(opened) == tuple(wanted)
    assert opened.journal.fetch_files(FetchFiles(2)) == FetchedFiles(opened.journal.name, tuple(wanted[:2]), True)
    assert opened.journal.fetch_files(FetchFiles(5)) == FetchedFiles(opened.journal.name, tuple(wanted), False)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT * FROM files WHERE OWED ORDER BY ORDERED LIMIT 9", "USING INDEX files_owed"),
        ("SELECT sum(bytes - stored) FROM files WHERE OWED", "USING COVERING INDEX files_owing"),
        ("UPDATE files SET stored=0, parked=0 WHERE seq BETWEEN 1 AND 9", "USING INDEX files_by_seq"),
        ("SELECT * FROM files WHERE stored >= bytes AND time < '2026' ORDER BY time LIMIT 9", "USING INDEX files_by_"),
    ],
)
def test_what_is_asked_often_is_looked_up_and_not_searched_for(opened: Opened, query: str, index: str) -> None:
    query = query.replace("OWED", journal_files.OWED).replace("ORDERED", journal_files.ORDER)
    plan = [row[3] for row in opened.journal._sql.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert any(index in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), "sorted by hand"


def test_what_central_has_whole_or_cannot_take_is_owed_no_more(opened: Opened) -> None:
    one, two, three = keep(opened, file(1), file(2), file(3))
    store(opened, one)
    store(opened, two, size=-1)
    store(opened, three, size=1)
    assert owed(opened) == (replace(three, stored=1),)
    assert opened.journal.media_bytes == 999


def test_what_is_asked_for_again_is_owed_from_the_first_byte_and_a_parked_file_too(opened: Opened) -> None:
    one, two, other = keep(opened, file(1), file(1_000), file(2))
    one, two = (replace(one, seq=1) for one in (one, two))
    opened.journal._sql.execute("UPDATE files SET seq=1 WHERE sha256=?", [two.sha256])
    store(opened, one, other)
    store(opened, two, size=-1)
    assert opened.journal.media_bytes == 0
    opened.owe((1, 1))
    assert set(owed(opened)) == {one, two}
    assert opened.journal.media_bytes == 2_000


# ---- what is to be unlinked


def test_a_file_that_goes_is_garbage_until_it_is_unlinked(opened: Opened, path: Path) -> None:
    one, two = keep(opened, file(1), file(2))
    opened.record("audit", gone=(one.sha256,))
    assert opened.journal.file_names() == ({two.sha256}, (one.sha256,), set())
    assert (owed(opened), opened.journal.media_bytes) == ((two,), 1_000)
    opened.journal.close()
    again = Journal(path)
    assert again.file_names() == ({two.sha256}, (one.sha256,), set())
    again.write([Write(unlinked=(one.sha256,))])
    again.write([Write(unlinked=(one.sha256,))])
    assert again.file_names() == ({two.sha256}, (), set())
    again.close()


def test_clips_under_way_are_kept_over_a_restart_until_they_end(opened: Opened, path: Path) -> None:
    opened.record("alarm", clips={"c front": "{1}", "c back": "{2}"})
    opened.record("status", clips={"c front": "{3}", "c back": None})
    opened.journal.close()
    again = Journal(path)
    assert again.opened().clips == {"c front": "{3}"}
    again.close()


# ---- what may go


def test_with_room_and_no_limit_nothing_goes(opened: Opened) -> None:
    store(opened, *keep(opened, file(1), file(2)))
    assert may_go(opened, NO_LIMIT) == ("", [], False)


def test_by_days_goes_what_central_has_and_is_older(opened: Opened) -> None:
    files = keep(opened, *(file(number) for number in range(6)))
    store(opened, *files[:4])
    before = files[3].time
    assert may_go(opened, replace(NO_LIMIT, before=before)) == ("days", [0, 1, 2], True)
    assert may_go(opened, replace(NO_LIMIT, before=files[0].time)) == ("", [], False)


def test_by_size_goes_what_central_has_the_oldest_first_and_no_more_than_has_to(opened: Opened) -> None:
    files = keep(opened, *(file(number) for number in range(6)))
    store(opened, *files[1:5])
    assert may_go(opened, replace(NO_LIMIT, used_max=6_000)) == ("", [], False)
    assert may_go(opened, replace(NO_LIMIT, used_max=4_500)) == ("size", [1, 2], False)
    assert may_go(opened, replace(NO_LIMIT, used_max=0)) == ("size", [1, 2, 3, 4], True)


def test_what_central_has_not_goes_neither_by_days_nor_by_size(opened: Opened) -> None:
    files = keep(opened, file(1), file(2))
    store(opened, files[0], size=999)
    assert may_go(opened, SurveyFiles("2099", 0, 0)) == ("", [], False)


def test_for_want_of_room_goes_what_central_has_before_anything_else(opened: Opened) -> None:
    files = keep(opened, file(1, cls="audit"), file(2, cls="alarm"), file(3, cls="alarm"))
    store(opened, files[2])
    assert may_go(opened, replace(NO_LIMIT, free_min=10_000), free=9_500) == ("disk", [3], False)
    assert may_go(opened, replace(NO_LIMIT, free_min=10_000), free=10_000) == ("", [], False)


def test_for_want_of_room_commands_and_scans_go_before_troubles_and_these_before_alarms_pictures_last(
    opened: Opened,
) -> None:
    numbers = itertools.count(1)
    made: list[OwedFile] = []
    for cls in CLASSES:  # alarms first, and each class with its picture first
        for key_frame in (True, False):
            made += [file(next(numbers), cls=cls, key_frame=key_frame) for _ in range(2)]
    keep(opened, *made)
    cause, seqs, more = may_go(opened, replace(NO_LIMIT, free_min=1_000_000), free=0)
    found = {one.seq: one for one in made}
    order: list[tuple[EventClass, bool]] = [(found[seq].cls, found[seq].key_frame) for seq in seqs]
    assert (cause, more) == ("disk", True)
    assert [cls for cls, _ in order[::4]] == ["audit", "status", "scan", "trouble", "alarm"]
    assert all(order[at : at + 4] == [(order[at][0], False)] * 2 + [(order[at][0], True)] * 2 for at in range(0, 20, 4))
    assert all(seqs[at] < seqs[at + 1] for at in range(0, 20, 2)), "the oldest first"


def test_so_many_go_at_once_that_their_record_is_an_event(opened: Opened) -> None:
    files = keep(opened, *(file(number) for number in range(150)))
    store(opened, *files)
    cause, seqs, more = may_go(opened, replace(NO_LIMIT, used_max=0))
    assert (cause, len(seqs), more) == ("size", journal_files.GO_MAX, True)


def test_a_journal_without_files_is_asked_in_vain(opened: Opened) -> None:
    assert opened.journal.survey_files(SurveyFiles("2099", 0, PLENTY)) == SurveyedFiles(
        opened.journal.name, "", (), False
    )


def test_on_a_small_disk_an_eighth_is_room_enough(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    store(opened, *keep(opened, file(1)))
    monkeypatch.setattr(opened.journal, "room", lambda: (0, 1_001, 8_000))
    assert opened.journal.survey_files(replace(NO_LIMIT, free_min=PLENTY)).files == ()
    assert len(opened.journal.survey_files(replace(NO_LIMIT, free_min=PLENTY), lent=2).files) == 1


# ---- the thread that answers


def test_what_is_asked_about_files_is_answered_with_all_that_was_written_before(opened: Opened) -> None:
    """A write that nobody waits for is written a moment later; an answer from before it would bring a file back."""
    answers: list[Answer] = []
    writer = Writer.__new__(Writer)
    writer._start(opened.journal, answers.append)
    [one] = keep(opened, file(1))
    writer.turn(100.0)
    writer._written_s = 100.0
    writer._inbox += [Write(stored={one.sha256: 1_000}), FetchFiles(50)]
    now_s = 100.0
    while not any(isinstance(answer, FetchedFiles) for answer in answers):
        writer.turn(now_s)
        now_s += 0.001
    recorded, fetched = answers[-2:]
    assert isinstance(recorded, Recorded) and recorded.media_bytes == 0
    assert isinstance(fetched, FetchedFiles) and fetched.files == ()


# ---- from an older agent


@pytest.fixture
def second_version(path: Path) -> Iterator[Path]:
    """A journal as the agent before evidence left it, with events and a case."""
    with closing(sqlite3.connect(path, isolation_level=None)) as sql:
        sql.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
        for step in schema.STEPS[:2]:
            step(sql)
        sql.execute("PRAGMA user_version=2")
        sql.executemany("INSERT INTO events VALUES (?,?,?)", [(1, 0, b'{"n":1}'), (2, 3, b'{"n":2}')])
        sql.execute("DELETE FROM owed WHERE seq=1")
        sql.execute('INSERT INTO cases VALUES (\'c\', \'{"id": "c", "last_seq": 1}\')')
    yield path


def test_a_journal_of_the_version_before_keeps_all_and_takes_files(second_version: Path) -> None:
    journal = Journal(second_version)
    found = journal.opened()
    assert (found.seq, found.pending["status"], found.pending["alarm"]) == (2, 1, 0)
    assert found.cases == (('{"id": "c", "last_seq": 1}', False),)
    assert (found.clips, found.media_bytes) == ({}, 0)
    journal.write([Write(files=(file(1),), clips={"c front": "{}"})])
    journal.close()
    again = Journal(second_version)
    assert again.opened().media_bytes == 1_000
    assert again.file_names() == ({file(1).sha256}, (), set())
    again.close()


def test_a_migration_that_was_cut_goes_on(second_version: Path) -> None:
    Journal(second_version).close()
    with closing(sqlite3.connect(second_version, isolation_level=None)) as sql:
        sql.execute("PRAGMA user_version=2")  # the power failed before it was written
    journal = Journal(second_version)
    assert journal.opened().seq == 2
    journal.close()
