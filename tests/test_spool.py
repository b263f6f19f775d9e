"""Files of evidence on a real disk: pieces, what was changed or is gone, unlinking, what a start puts in order."""

import os
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from driver_host import DEADLINE_S

from agent.mail import Message
from agent.media_mail import FilesFound, PieceRead, ReadPiece, Unlink, Unlinked
from agent.spool import FOLDER, Spool

DATA = bytes(range(256)) * 40


class Bench:
    """A spool, and what it answers."""

    def __init__(self, state_dir: Path) -> None:
        self.answers: Queue[Message] = Queue()
        self.spool = Spool(state_dir, self.answers.put)
        self.folder = self.spool.folder

    def put(self, data: bytes = DATA) -> str:
        self.folder.mkdir(exist_ok=True)
        name = sha256(data).hexdigest()
        (self.folder / name).write_bytes(data)
        return name

    def next(self) -> Message:
        return self.answers.get(timeout=DEADLINE_S)

    def piece(self, name: str, offset: int = 0, size: int = 100, *, check: bool = False) -> PieceRead:
        self.spool.ask(ReadPiece(name, offset, size, check))
        answer = self.next()
        assert isinstance(answer, PieceRead)
        return answer

    def begin(self, known: set[str], garbage: tuple[str, ...] = ()) -> list[Message]:
        """Puts the folder in order; what it says before the cameras may start."""
        done: Queue[bool] = Queue()
        self.spool.begin(lambda: (known, garbage, set()), lambda: done.put(True))
        assert done.get(timeout=DEADLINE_S)
        said = []
        while not self.answers.empty():
            said.append(self.answers.get())
        return said

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path)


# ---- pieces


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (0, len(DATA)), (4_096, 100), (len(DATA) - 1, 1)])
def test_a_piece_is_the_bytes_of_the_file_from_there(bench: Bench, offset: int, size: int) -> None:
    name = bench.put()
    assert bench.piece(name, offset, size) == PieceRead(name, offset, DATA[offset : offset + size])


def test_pieces_are_answered_in_the_order_of_asking(bench: Bench) -> None:
    name = bench.put()
    for offset in range(0, 1_000, 100):
        bench.spool.ask(ReadPiece(name, offset, 100))
    answers = [bench.next() for _ in range(10)]
    assert answers == [PieceRead(name, offset, DATA[offset : offset + 100]) for offset in range(0, 1_000, 100)]


def test_a_byte_that_was_changed_is_found_when_it_is_asked_for(bench: Bench) -> None:
    name = bench.put()
    assert bench.piece(name, check=True).data == DATA[:100]
    path = bench.folder / name
    path.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    assert bench.piece(name).data == DATA[:100], "to look at each file for each piece is not asked"
    assert bench.piece(name, check=True) == PieceRead(name, 0, b"", "its bytes were changed on the disk", gone=True)


def test_a_file_that_was_cut_says_so_and_never_comes(bench: Bench) -> None:
    name = bench.put()
    os.truncate(bench.folder / name, 150)
    assert bench.piece(name, 100, 100) == PieceRead(name, 100, b"", "it ends after 150 bytes", gone=True)
    assert bench.piece(name, 50, 100).data == DATA[50:150]


def test_a_file_that_is_not_there_says_so_and_never_comes(bench: Bench) -> None:
    bench.put()
    name = "0" * 64
    assert bench.piece(name) == PieceRead(name, 0, b"", "the file is not there", gone=True)


def test_where_the_folder_itself_is_away_its_disk_is_and_the_file_may_come_back(bench: Bench) -> None:
    name = "0" * 64
    assert bench.piece(name) == PieceRead(name, 0, b"", "the file is not there", gone=False)


def test_a_file_that_cannot_be_read_may_be_later(bench: Bench) -> None:
    bench.folder.mkdir()
    name = "0" * 64
    (bench.folder / name).mkdir()
    answer = bench.piece(name)
    assert (answer.reason, answer.gone) == ("it cannot be read: Is a directory", False)


# ---- unlinking


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the disk, in its order."""
    done: list[str] = []
    unlink, fsync = Path.unlink, os.fsync

    def unlinked(path: Path, *args: Any, **more: Any) -> None:
        done.append(f"unlink {path.name[:4]}")
        unlink(path, *args, **more)

    def synced(fd: int) -> None:
        done.append(f"fsync {Path(f'/proc/self/fd/{fd}').readlink().name}")
        fsync(fd)

    monkeypatch.setattr(Path, "unlink", unlinked)
    monkeypatch.setattr("agent.spool.os.fsync", synced)
    return done


def test_files_are_unlinked_then_the_folder_is_synced_and_only_then_it_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, kept = (bench.put(data) for data in (b"1", b"2", b"3"))
    done = watched(monkeypatch)

    def answer(message: Message) -> None:
        done.append(type(message).__name__)
        bench.answers.put(message)

    bench.spool._answer = answer
    bench.spool.ask(Unlink((one, two)))
    assert bench.next() == Unlinked((one, two))
    assert done == [f"unlink {one[:4]}", f"unlink {two[:4]}", f"fsync {FOLDER}", "Unlinked"]
    assert bench.names() == {kept}


def test_a_file_that_is_gone_already_is_unlinked(bench: Bench) -> None:
    bench.put()
    bench.spool.ask(Unlink(("0" * 64,)))
    assert bench.next() == Unlinked(("0" * 64,))


def test_a_spool_that_stumbles_goes_on(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("agent.spool.os.fsync", broken)
    name = bench.put()
    bench.spool.ask(Unlink(("0" * 64,)))
    assert bench.piece(name).data == DATA[:100]
    assert "the spool of evidence stumbled, and goes on" in caplog.text


# ---- a start


def test_a_start_makes_the_folder_for_its_owner_alone(bench: Bench) -> None:
    assert bench.begin(set()) == []
    assert bench.folder.stat().st_mode & 0o777 == 0o700


def test_a_start_removes_what_a_cut_left_and_keeps_what_the_journal_knows(bench: Bench) -> None:
    known, garbage = (bench.put(data) for data in (b"known", b"garbage"))
    (bench.folder / ".front.tmp").write_bytes(b"half of a fi")
    assert bench.begin({known}, (garbage, "0" * 64)) == [Unlinked((garbage, "0" * 64))]
    assert bench.names() == {known}


def test_a_start_syncs_before_it_says_what_is_gone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = bench.put()
    done = watched(monkeypatch)
    bench.spool._answer = lambda message: done.append(type(message).__name__)
    bench.begin(set(), (garbage,))
    assert done == [f"unlink {garbage[:4]}", f"fsync {FOLDER}", "Unlinked"]


def test_a_start_keeps_and_sends_the_files_that_its_journal_does_not_know(bench: Bench) -> None:
    known, unknown = bench.put(b"known"), bench.put(b"unknown")
    (bench.folder / ".front.tmp").write_bytes(b"half of a fi")
    os.utime(bench.folder / unknown, (1_795_311_200, 1_795_311_200))
    assert bench.begin({known}) == []
    found = bench.next()
    assert isinstance(found, FilesFound)
    [file] = found.files
    assert (file.sha256, file.bytes, file.stored, file.seq) == (unknown, 7, 0, 0)
    assert file.time == "2026-11-22T01:33:20Z"
    assert bench.names() == {known, unknown}


def test_many_such_files_are_told_in_parts_and_hold_up_no_piece(bench: Bench) -> None:
    known, unknown = bench.put(b"known"), {bench.put(b"%d" % number) for number in range(250)}
    bench.begin({known})
    parts: list[FilesFound] = []
    while sum(len(part.files) for part in parts) < 250:
        answer = bench.next()
        assert isinstance(answer, FilesFound)
        parts.append(answer)
        assert bench.piece(known, 0, 5).data == b"known"
    assert [len(part.files) for part in parts] == [100, 100, 50]
    assert {file.sha256 for part in parts for file in part.files} == unknown


def test_a_start_leaves_what_is_no_file_of_evidence(bench: Bench) -> None:
    bench.folder.mkdir()
    (bench.folder / "readme.txt").write_text("somebody's")
    (bench.folder / ("A" * 64)).write_text("somebody's")
    bench.begin(set())
    assert bench.names() == {"readme.txt", "A" * 64}


def test_a_start_that_cannot_read_the_disk_touches_nothing_and_the_cameras_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    bench = Bench(tmp_path)
    assert bench.begin(set()) == []
    assert "evidence that lies there is left as it is" in caplog.text


def test_a_start_that_cannot_read_the_journal_touches_nothing_and_the_cameras_start(bench: Bench) -> None:
    name = bench.put()
    done: Queue[bool] = Queue()

    def known() -> tuple[set[str], tuple[str, ...], set[str]]:
        raise sqlite3.OperationalError("disk I/O error")

    bench.spool.begin(known, lambda: done.put(True))
    assert done.get(timeout=DEADLINE_S)
    assert bench.names() == {name}
