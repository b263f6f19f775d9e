"""Files that are no journal are moved aside, and a journal that another process reads."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from written import Opened, opened, path

from agent import schema
from agent.errors import BoxError
from agent.journal import FILE
from agent.kinds import EventClass
from agent.reader import PAGE_ROWS, Reader
from agent.storage import open_journal

__all__ = ["opened", "path"]  # fixtures


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
