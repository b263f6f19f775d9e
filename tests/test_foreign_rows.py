"""What the journal says of evidence and nobody can read: the box starts all the same, says so, and loses no file."""

import logging
from hashlib import sha256
from queue import Queue
from typing import Any

import pytest
from bench_box import YAML, Bench
from fake_journal import FakeJournal
from fsck_box import CLIP, box, broken, filmed
from written import Written

from agent.mail import Say, Write
from agent.media_mail import CameraFile, FetchFiles, Filed, FilesFound, SurveyFiles
from agent.spool import Spool
from agent.storage import open_journal

__all__ = ["box", "filmed"]  # fixtures

DEADLINE_S = 10.0
DONE: Any = object()
FILM = (
    YAML.replace("pin: 17, kind: panic", "pin: 17, kind: panic, cameras: [front]")
    + """
cameras:
  - {id: front, source: "rtsp://10.0.0.20/1"}
"""
)
FOREIGN = [
    ("bytes", "'many'"),
    ("bytes", "1e999"),
    ("stored", "'none'"),
    ("class", "9"),
    ("class", "'alarm'"),
    ("case_id", "'case'"),
    ("case_id", "CAST(x'ff' AS TEXT)"),
    ("camera", "CAST(x'ff' AS TEXT)"),
    ("time", "x'ff'"),
    ("seq", "'x'"),
    ("key_frame", "x'01'"),
    ("parked", "'x'"),
]


@pytest.mark.parametrize(("column", "value"), FOREIGN)
def test_a_row_of_a_file_that_nobody_can_read_is_passed_over_until_a_start_writes_it_anew(
    filmed: Written, caplog: pytest.LogCaptureFixture, column: str, value: str
) -> None:
    [(name, size)] = filmed.journal._sql.execute(
        "SELECT sha256, bytes FROM files WHERE key_frame AND seq=30"
    ).fetchall()
    filmed.change(f"UPDATE files SET {column}={value} WHERE sha256='{name}'")  # noqa: S608
    filmed.journal.close()
    found = open_journal(filmed.state_dir)
    journal = found.journal
    assert (found.reason, journal.opened().volatile) == ("", False)
    told = [*journal.fetch_files(FetchFiles(10)).files, *journal.survey_files(SurveyFiles("", 0, 2**60)).files]
    assert name not in [file.sha256 for file in told]
    assert len({file.sha256 for file in told}) == 2, "and the others are not"

    answers: Queue[Any] = Queue()
    with caplog.at_level(logging.ERROR, "callbox"):
        Spool(filmed.state_dir, answers.put).begin(journal.file_names, lambda: answers.put(DONE))
        while answers.get(timeout=DEADLINE_S) is not DONE:
            pass
        found_again = answers.get(timeout=DEADLINE_S)
    assert isinstance(found_again, FilesFound)
    [adopted] = found_again.files
    assert (adopted.sha256, adopted.seq, adopted.bytes) == (name, 0, size)
    assert name in caplog.text
    journal.write([Write(files=(adopted,))])
    assert broken(filmed) == {}
    journal.close()


@pytest.mark.parametrize("body", [b"\xff", b"{}", CLIP.stored("5f0c2a9e", 1).replace("alarm", "alerm").encode()])
def test_a_clip_that_nobody_can_read_is_forgotten_and_the_others_go_on(filmed: Written, body: bytes) -> None:
    filmed.change("INSERT INTO clips VALUES ('odd', CAST(? AS TEXT))", body)
    filmed.journal.close()
    found = open_journal(filmed.state_dir)
    opened = found.journal.opened()
    found.journal.close()
    assert (found.reason, set(opened.clips)) == ("", {CLIP.name, "odd"})
    bench = Bench(FILM, FakeJournal(clips=opened.clips))
    assert set(bench.journal.clips) == {CLIP.name}
    [said] = [action.text for action in bench.did if isinstance(action, Say) and action.level == "error"]
    assert "odd" in said and "forgotten" in said


@pytest.mark.parametrize("table", ["cases", "settings", "clips", "files", "garbage", "parked"])
def test_text_that_is_none_is_no_error_of_the_disks(filmed: Written, table: str) -> None:
    """The box would go on in memory, and never come back to this disk."""
    column = {"settings": "name", "files": "camera", "garbage": "sha256", "parked": "reason"}.get(table, "body")
    filmed.change(f"UPDATE {table} SET {column}=CAST({column} || x'ff' AS TEXT) WHERE {column}<>'journal'")  # noqa: S608
    filmed.journal.close()
    found = open_journal(filmed.state_dir)
    assert found.journal.path is not None
    found.journal.close()


# ---- into another journal


def film(bench: Bench, content: bytes, *, key_frame: bool = False) -> str:
    """The camera has filed something; its name."""
    name, now_s = sha256(content).hexdigest(), bench.now_s
    file = CameraFile(name, name, len(content), "video/mp2t", now_s, now_s, now_s, key_frame=key_frame)
    bench.spool[name] = content
    bench.say(Filed("front", (file,), now_s))
    return name


def test_files_that_go_along_into_another_journal_have_no_boxseq_there() -> None:
    bench = Bench(FILM)
    bench.press("alarm-1")
    before = film(bench, b"before")
    disk = bench.journal
    bench.disk_works = False
    waiting = film(bench, b"not yet on the disk")
    bench.fail_disk()
    inside = film(bench, b"in memory")
    there = [event["boxseq"] for event in bench.events if event["type"] == "callbox.status.evidence"]
    assert {name: file.seq for name, file in bench.journal.files.items()} == dict(
        zip((before, waiting, inside), (0, *there), strict=True)
    )
    bench.disk_returns(disk)
    assert {name: file.seq > 0 for name, file in disk.files.items()} == {before: True, waiting: False, inside: False}


def test_a_file_that_central_got_from_memory_has_its_row_on_the_disk_that_is_back() -> None:
    bench = Bench(FILM)
    bench.connect()
    bench.press("alarm-1")
    disk = bench.journal
    bench.fail_disk()
    name = film(bench, b"in memory", key_frame=True)
    bench.receipt(media={name: 9})
    assert bench.journal.files[name].stored == 9
    bench.disk_returns(disk)
    assert (disk.files[name].stored, disk.files[name].seq) == (9, 0)
