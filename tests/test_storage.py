"""The disk of the journal: a copy in the place of a file that cannot be trusted, and the reserve."""

import os
import shutil
import sqlite3
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from bad_disk import flip
from driver_host import DEADLINE_S
from written import SIGNER, Opened, chain, crashed, sealed, thirty

from agent import storage
from agent.errors import BoxError
from agent.journal import FILE, Journal
from agent.kinds import EventClass
from agent.mail import Recorded, StorageFailed, StorageTight, Survey, Surveyed, Write
from agent.reserve import FILE as RESERVE
from agent.reserve import Reserve
from agent.salvage import salvage
from agent.storage import COPY, LEFT, await_disk, open_journal, promised_by_wal, renewed_journal
from agent.writer import Answer, Writer

CLASSES: tuple[EventClass, ...] = ("alarm", "scan", "audit")


class CutError(BaseException):
    """The power is gone."""


def content(journal: Journal) -> tuple[Any, ...]:
    return journal.opened(), journal.everything(), journal.pending


def test_a_renewed_journal_is_the_same_in_another_file(tmp_path: Path) -> None:
    made = Opened(tmp_path / FILE)
    for _ in range(30):
        made.record(*CLASSES, settings={"raised door": "1"}, cases={"c": '{"id": "c", "last_seq": 1}'})
    made.journal.write([Write(delivered=((1, 40),))])
    before, inode = content(made.journal), (tmp_path / FILE).stat().st_ino
    made.journal.close()
    again = renewed_journal(tmp_path).journal
    assert content(again) == before
    assert (tmp_path / FILE).stat().st_ino != inode
    assert not (tmp_path / COPY).exists() and not (tmp_path / LEFT).exists()
    again.write([Write(events=(sealed(made.chain),))])
    again.close()


def test_what_stood_in_the_old_wal_alone_is_in_the_copy_and_the_old_wal_is_not_taken_for_the_new_ones(
    tmp_path: Path,
) -> None:
    made = Opened(tmp_path / FILE)
    made.record("alarm")
    made.journal.checkpoint()
    made.record("scan", "scan")
    for name in (FILE, f"{FILE}-wal"):  # as a crash leaves them
        shutil.copy(tmp_path / name, tmp_path / f"kept-{name}")
    made.journal.close()
    for name in (FILE, f"{FILE}-wal"):
        (tmp_path / f"kept-{name}").rename(tmp_path / name)
    again = renewed_journal(tmp_path).journal
    assert again.opened().seq == 3
    again.close()


def test_a_power_cut_at_any_step_of_it_leaves_the_old_journal_or_the_new_one_whole(tmp_path: Path) -> None:
    calls = ("rename", "unlink", "touch")
    for cut_at in range(1, 60):
        place = tmp_path / str(cut_at)
        place.mkdir()
        made = Opened(place / FILE)
        made.record(*CLASSES * 5)
        before = content(made.journal)
        made.journal._sql.execute("PRAGMA wal_checkpoint(PASSIVE)")
        made.record("alarm")
        before = content(made.journal)
        for name in (FILE, f"{FILE}-wal"):
            shutil.copy(place / name, place / f"kept-{name}")
        made.journal.close()
        for name in (FILE, f"{FILE}-wal"):
            (place / f"kept-{name}").rename(place / name)
        counted = 0

        def cut(what: Callable[..., Any], now: bool = False, cut_at: int = cut_at) -> Callable[..., Any]:
            def step(*args: Any, **more: Any) -> Any:
                nonlocal counted
                counted += 1
                if counted == cut_at:
                    raise CutError
                return what(*args, **more)

            return step

        patches = [mock.patch.object(Path, name, cut(getattr(Path, name))) for name in calls]
        patches.append(mock.patch.object(storage, "_sync", cut(storage._sync)))
        done = False
        for patch in patches:
            patch.start()
        try:
            renewed_journal(place).journal.close()
            done = True
        except CutError:
            pass
        finally:
            mock.patch.stopall()
        found = open_journal(place)
        journal = found.journal
        assert (content(journal), found.reason) == (before, ""), f"cut at step {cut_at}"
        assert {file.name for file in place.iterdir()} <= {FILE, f"{FILE}-wal", f"{FILE}-shm"}
        journal.close()
        if done:
            assert cut_at > 8
            return
    raise AssertionError("it has no end")


def test_a_disk_is_tried_until_it_works_and_only_when_the_old_writer_has_left_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(storage, "RETURN_S", 0.01)
    left, back, tries = threading.Event(), threading.Event(), []

    def reopen() -> str:
        assert left.is_set()
        tries.append(1)
        match len(tries):
            case 1:
                raise OSError("not yet")
            case 2:
                raise sqlite3.OperationalError("disk I/O error")
            case 3:
                raise BoxError("locked", "wait")
        return "journal"

    got: list[str] = []

    def take(found: str) -> None:
        got.append(found)
        back.set()

    await_disk(reopen, left.is_set, take)
    assert not back.wait(0.05)
    left.set()
    assert back.wait(DEADLINE_S)
    assert (got, len(tries)) == (["journal"], 4)


# ---- the reserve


def test_the_reserve_takes_its_room_and_gives_it_back_as_a_whole(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, 1_000_000)
    reserve.hold()
    assert reserve.held
    stat = (tmp_path / RESERVE).stat()
    assert (stat.st_size, stat.st_blocks * 512 >= 1_000_000) == (1_000_000, True), "no hole in it"
    assert reserve.give_up()
    assert not (tmp_path / RESERVE).exists() and not reserve.held
    assert not reserve.give_up(), "there is no second one"


def test_no_reserve_is_made_where_it_would_take_the_rest_of_the_disk(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    reserve = Reserve(tmp_path, disk.f_bavail * disk.f_frsize)
    reserve.hold()
    assert not reserve.held and not (tmp_path / RESERVE).exists()


def test_a_reserve_of_an_earlier_run_is_known_again_and_one_of_another_size_made_anew(tmp_path: Path) -> None:
    Reserve(tmp_path, 4_096).hold()
    again = Reserve(tmp_path, 4_096)
    again.hold()
    assert again.held
    Reserve(tmp_path, 8_192).hold()
    assert (tmp_path / RESERVE).stat().st_size == 8_192


class Full:
    """A journal whose disk is full until the reserve is given up."""

    def __init__(self, path: Path, reserve: Reserve | None) -> None:
        self.answers: list[Answer] = []
        self.writer = Writer.__new__(Writer)
        self.writer._start(Journal(path), self.answers.append, reserve)
        self.chain = chain(self.writer.name)
        write = self.writer.journal.write

        def full(writes: Any) -> None:
            if reserve is None or (path.parent / RESERVE).exists() or self.hopeless:
                list(writes)
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            write(writes)

        self.hopeless, self.checkpoints = False, 0
        self.writer.journal.checkpoint = self.checkpoint  # type: ignore[method-assign]
        self.writer.journal.write = full  # type: ignore[method-assign]

    def checkpoint(self) -> None:
        self.checkpoints += 1


def test_on_a_full_disk_the_reserve_is_given_up_and_the_same_events_are_written(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, 4_096)
    reserve.hold()
    made = Full(tmp_path / FILE, reserve)
    made.writer._inbox.append(Write(events=(sealed(made.chain, "scan"),)))
    made.writer._inbox.append(Write(events=(sealed(made.chain, "alarm"),)))
    made.writer.turn(1.0)
    assert [type(answer) for answer in made.answers] == [StorageTight, Recorded]
    assert made.checkpoints == 2, "one before it, one into its room: the WAL is room again"
    assert [event.seq for event in made.writer.journal.everything()] == [1, 2]


@pytest.mark.parametrize("held", [True, False])
def test_a_disk_that_is_full_without_a_reserve_or_in_spite_of_it_has_failed(tmp_path: Path, held: bool) -> None:
    reserve = Reserve(tmp_path, 4_096)
    if held:
        reserve.hold()
    made = Full(tmp_path / FILE, reserve)
    made.hopeless = True
    made.writer._inbox.append(Write(events=(sealed(made.chain, "alarm"),)))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        made.writer.turn(1.0)
    assert made.writer.journal.everything() == []


def test_a_fault_of_ours_in_the_writer_is_a_failed_disk_and_not_a_silence(tmp_path: Path) -> None:
    told = threading.Event()
    answers: list[Answer] = []

    def answer(one: Answer) -> None:
        answers.append(one)
        told.set()

    journal = Journal(tmp_path / FILE)
    journal.write = lambda _: 1 / 0  # type: ignore[method-assign,assignment]
    writer = Writer(journal, answer)
    writer.ask(Write(settings={"a": "b"}))
    assert told.wait(DEADLINE_S)
    assert isinstance(answers[0], StorageFailed) and "ZeroDivisionError" in answers[0].reason
    writer.close(DEADLINE_S)


def test_the_room_of_a_reserve_that_was_given_up_is_the_reserves_until_it_is_made_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, 4_096)
    reserve.hold()
    made = Full(tmp_path / FILE, reserve)
    made.writer.journal.room = lambda: (5_000_000, 4_096, 10**9)  # type: ignore[method-assign]
    wish = Survey(before="", used_max=10**12, free_min=100, after=0, undelivered=False)
    causes = []
    for change in (lambda: None, reserve.give_up, reserve.hold):
        change()
        made.writer._others.append(wish)
        made.writer.turn(1.0)
        [found] = [answer for answer in made.answers if isinstance(answer, Surveyed)]
        causes.append(found.cause)
        made.answers.clear()
    assert causes == ["", "disk", ""]


def test_on_a_small_disk_the_wal_stays_small_in_a_storm_that_leaves_no_quiet_second(tmp_path: Path) -> None:
    writer = Writer.__new__(Writer)
    writer._start(Journal(tmp_path / FILE), lambda _: None)
    writer.journal.room = lambda: (0, 2**22, 2**22)  # type: ignore[method-assign]
    sealing = chain(writer.name)
    for tenth in range(300):
        writer._inbox.extend(Write(events=(sealed(sealing, "scan"),)) for _ in range(10))
        writer.turn(tenth / 10)
        writer.turn(tenth / 10)
    assert writer.journal.wal_bytes() < 2**20
    writer.journal.close()


# ---- damage


@pytest.mark.parametrize("where", [2, 100, 0.3, 0.5, 0.9], ids=str)
def test_a_flipped_bit_in_the_wal_is_damage_and_not_the_torn_end_of_it(tmp_path: Path, where: float) -> None:
    wal = crashed(tmp_path, thirty)
    flip(wal, int(where * wal.stat().st_size) if where < 1 else int(where))
    found = open_journal(tmp_path)
    assert "its WAL held" in found.reason or "cannot be read" in found.reason
    assert found.journal.opened().seq == 0 and not found.journal.opened().volatile
    found.journal.close()


@pytest.mark.parametrize("cut", range(1, 12_000, 997))
def test_a_torn_end_of_the_wal_is_no_damage(tmp_path: Path, cut: int) -> None:
    """The last transaction, which nobody was promised, is cut off somewhere, or full of what stood there before."""
    wal = crashed(tmp_path, thirty)
    whole = wal.read_bytes()
    wal.write_bytes(whole[:-cut] if cut % 2 else whole[:-cut] + bytes(cut))
    found = open_journal(tmp_path)
    assert (found.reason, found.aside) == ("", None)
    assert found.journal.opened().seq >= 54
    found.journal.close()


def test_the_wal_is_read_a_little_at_a_time(tmp_path: Path) -> None:
    """Read whole, it would make the process keep megabytes for each thread, as long as it lives."""

    def much(made: Opened) -> None:
        while made.journal.wal_bytes() < 2**21:
            made.record(*CLASSES * 30)

    wal = crashed(tmp_path, much)
    tracemalloc.start()
    try:
        assert promised_by_wal(tmp_path / FILE) > 0
        assert tracemalloc.get_traced_memory()[1] < wal.stat().st_size / 16
    finally:
        tracemalloc.stop()


def test_what_a_damaged_journal_owed_is_read_out_of_it_alarms_first_and_nothing_that_is_not_ours(
    tmp_path: Path,
) -> None:
    wal = crashed(tmp_path, thirty)
    flip(wal, wal.stat().st_size // 2)
    found = open_journal(tmp_path)
    found.journal.close()
    assert found.aside is not None
    events = salvage(found.aside, SIGNER.public)
    assert [event.cls for event in events] == sorted((event.cls for event in events), key=lambda cls: cls != "alarm")
    seqs = {event.seq for event in events}
    assert {event.seq for event in events if event.cls == "alarm"} >= set(range(1, 50, 2))
    assert len(seqs) >= 55, "most of what the WAL alone had is there too"
    assert salvage(found.aside, bytes(32)) == [], "another key's events are nobody's"


def test_a_journal_that_cannot_be_copied_makes_place_for_a_new_one(tmp_path: Path) -> None:
    made = Opened(tmp_path / FILE)
    for _ in range(200):
        made.record("alarm", "scan")
    made.journal.checkpoint()
    made.journal.close()
    flip(tmp_path / FILE, 20 * 4096)
    found = renewed_journal(tmp_path)
    assert found.aside is not None and found.aside.exists() and "moved aside" in found.reason
    assert found.journal.opened().seq == 0
    found.journal.close()
    assert 380 < len(salvage(found.aside, SIGNER.public)) < 400


def test_two_journals_moved_aside_in_one_second_keep_names_of_their_own(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        (tmp_path / FILE).write_bytes(b"not a database" * 1_000)
        found = open_journal(tmp_path)
        found.journal.close()
        assert found.aside is not None
        names.add(found.aside.name)
    assert len(names) == 3 and all((tmp_path / name).exists() for name in names)
