"""The journal's writer: when what waits is written, and that nothing is said before it is on the disk."""

import sqlite3
import threading
from dataclasses import fields
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from driver_host import DEADLINE_S
from real_box import until
from written import chain, path, sealed

from agent.events import Event
from agent.journal import Journal
from agent.kinds import EventClass
from agent.mail import Fetch, Fetched, OwedAgain, Recorded, StorageFailed, Write, one_transaction
from agent.media_mail import OwedFile
from agent.path_mail import JudgedReport, OwedReport
from agent.writer import MARKS_MAX, PACE_S, PACE_WRITES, SETTLE_S, Answer, Asked, Writer

__all__ = ["path"]  # a fixture

# ---- when, in virtual time


class Turns(Writer):
    """A writer without its thread: each turn is taken by hand."""

    def __init__(self, path: Path) -> None:
        self.answers: list[Answer] = []
        self._start(Journal(path), self.answers.append)
        self.chain = chain(self.name)
        self.cared: list[bool] = []
        self.joins: list[Write] = []
        write = self.journal.write

        def joined(writes: Any) -> None:
            def while_it_is_written() -> Any:
                for one in writes:
                    yield one
                    self._inbox.extend(self.joins)
                    self.joins.clear()

            write(while_it_is_written())

        self.journal.write = joined  # type: ignore[method-assign]

    def _care(self, *, quiet: bool) -> None:
        self.cared.append(quiet)

    def add(self, *classes: EventClass, **more: Any) -> Write:
        return Write(events=tuple(sealed(self.chain, cls) for cls in classes), **more)

    def ask(self, request: Asked) -> None:
        self._inbox.append(request)

    def commits(self, now_s: float) -> list[int]:
        """Takes all turns that are due; the boxseq that each commit reached."""
        before = len(self.answers)
        while self.turn(now_s) <= now_s:
            pass
        return [answer.through for answer in self.answers[before:] if isinstance(answer, Recorded)]


@pytest.fixture
def turns(path: Path) -> Turns:
    return Turns(path)


def test_a_scan_that_comes_alone_is_written_at_once(turns: Turns) -> None:
    for now_s in (10.0, 11.0, 12.0):
        turns.ask(turns.add("scan"))
        assert len(turns.commits(now_s)) == 1


def test_a_storm_of_scans_is_written_twenty_times_a_second_and_a_flood_in_groups(turns: Turns) -> None:
    commits = []
    for number in range(1_000):  # 500 a second
        turns.ask(turns.add("scan"))
        commits += turns.commits(10 + number / 500)
    assert 30 <= len(commits) <= 41
    for _ in range(PACE_WRITES):
        turns.ask(turns.add("scan"))
    assert turns.commits(12.0)[-1] == 1_000 + PACE_WRITES


@pytest.mark.parametrize(
    "hurry",
    [
        lambda turns: turns.add("alarm"),
        lambda turns: turns.add("audit"),
        lambda turns: turns.add("scan", cases={"c": "{}"}),
        lambda _: Write(seen={"command": 9e12}),
    ],
)
def test_what_somebody_waits_for_is_written_at_once_with_all_that_waits(turns: Turns, hurry: Any) -> None:
    turns.ask(turns.add("scan"))
    assert turns.commits(10.0) == [1]
    turns.ask(turns.add("scan"))
    assert turns.commits(10.01) == []
    turns.ask(hurry(turns))
    assert len(turns.commits(10.02)) == 1
    assert turns.idle


def test_an_alarm_that_comes_while_scans_are_being_written_goes_with_them(turns: Turns) -> None:
    for _ in range(5):
        turns.ask(turns.add("scan"))
    turns.joins.append(turns.add("alarm"))
    assert turns.commits(10.0) == [6]


def test_marks_wait_for_the_next_event_or_a_second(turns: Turns) -> None:
    turns.ask(turns.add("scan", "scan"))
    turns.commits(10.0)
    turns.ask(Write(delivered=((1, 1),)))
    assert turns.commits(10.5) == []
    turns.ask(Write(delivered=((2, 2),)))
    assert turns.turn(10.6) == pytest.approx(10.5 + SETTLE_S)
    assert turns.commits(10.5 + SETTLE_S) == [2]
    turns.ask(Write(delivered=tuple((seq, seq) for seq in range(1, 20_000, 2))))
    turns.ask(turns.add("scan"))
    turns.turn(20.0)
    assert len(turns._marks) == 10_000 - MARKS_MAX, "the rest comes later"
    assert turns.answers[-1].through == 3  # type: ignore[union-attr]


def test_no_alarm_carries_marks_and_a_flood_of_alarms_holds_them_up_for_no_more_than_a_second(turns: Turns) -> None:
    turns.ask(turns.add("scan"))
    turns.commits(10.0)
    turns.ask(Write(delivered=((1, 1),)))
    owed = []
    for number in range(14):
        turns.ask(turns.add("alarm"))
        turns.turn(10.1 + number / 10)  # one transaction: the next alarm is there before another could be
        owed.append(turns.journal.pending["scan"])
    assert owed == [1] * 10 + [0] * 4


def test_what_central_asks_for_again_is_owed_after_the_marks_that_came_before(turns: Turns) -> None:
    turns.ask(turns.add("scan", "scan"))
    turns.commits(10.0)
    turns.ask(Write(delivered=((1, 2),)))
    turns.ask(turns.add("audit", owe=((1, 1),)))
    turns.commits(11.0)
    turns.commits(11.0 + SETTLE_S)
    again = [answer for answer in turns.answers if isinstance(answer, OwedAgain)]
    assert [(answer.first, answer.pending["scan"]) for answer in again] == [(1, 1)]


def test_the_file_is_cared_for_only_when_nothing_waits(turns: Turns) -> None:
    turns.ask(turns.add("alarm"))
    turns.ask(Fetch("alarm", 0, 10))
    turns.turn(10.0)
    turns.turn(10.0)
    assert turns.cared == []
    turns.turn(10.0)
    turns.turn(10.0 + SETTLE_S)
    assert turns.cared == [False, True]


def test_a_writer_that_waits_for_its_pace_looks_by_itself(turns: Turns) -> None:
    turns.ask(turns.add("scan"))
    turns.commits(10.0)
    turns.ask(turns.add("scan"))
    assert turns.turn(10.04) == pytest.approx(10.0 + PACE_S)


# ---- the thread


class Worker:
    """A writer over a journal, with a gate in front of its commits."""

    def __init__(self, path: Path, *, fail_at: int = 0) -> None:
        self.answers = Queue[Answer]()
        self.gate = threading.Event()
        self.gate.set()
        self.commits: list[int] = []
        journal = Journal(path)
        self.chain = chain(journal.opened().name)
        write = journal.write

        def gated(writes: Any) -> None:
            assert self.gate.wait(DEADLINE_S)
            writes = list(writes)
            self.commits.append(sum(len(one.events) for one in writes))
            if len(self.commits) == fail_at:
                raise sqlite3.OperationalError("disk I/O error")
            write(writes)

        journal.write = gated  # type: ignore[method-assign]
        self.writer = Writer(journal, self.answers.put)

    def answer(self) -> Answer:
        return self.answers.get(timeout=DEADLINE_S)


def test_recorded_is_said_only_after_the_commit(path: Path) -> None:
    made = Worker(path)
    made.gate.clear()
    made.writer.ask(Write(events=(sealed(made.chain, "alarm"),)))
    with pytest.raises(Empty):
        made.answers.get(timeout=0.05)
    made.gate.set()
    answer = made.answer()
    assert isinstance(answer, Recorded)
    assert (answer.journal, answer.through, answer.pending["alarm"]) == (made.writer.name, 1, 1)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT seq FROM events").fetchall() == [(1,)]
    other.close()
    assert made.writer.close(DEADLINE_S)


def test_what_waits_goes_into_one_transaction(path: Path) -> None:
    made = Worker(path)
    made.gate.clear()
    made.writer.ask(Write(events=(sealed(made.chain),)))
    for _ in range(50):
        made.writer.ask(Write(events=(sealed(made.chain),)))
    made.gate.set()
    through = 0
    while through < 51:
        answer = made.answer()
        assert isinstance(answer, Recorded)
        through = answer.through
    assert sum(made.commits) == 51
    assert len(made.commits) <= 3, "group commit"
    assert made.writer.close(DEADLINE_S)


def test_a_fetch_sees_everything_that_was_asked_before_it(path: Path) -> None:
    made = Worker(path)
    made.writer.ask(Write(events=(sealed(made.chain), sealed(made.chain))))
    made.writer.ask(Write(delivered=((1, 1),)))
    made.writer.ask(Fetch("scan", 0, 10))
    while isinstance(answer := made.answer(), Recorded):
        pass
    assert isinstance(answer, Fetched)
    assert [event.seq for event in answer.events] == [2]
    assert made.writer.close(DEADLINE_S)


def test_delivered_marks_alone_are_committed_before_long(path: Path) -> None:
    made = Worker(path)
    made.writer.ask(Write(events=(sealed(made.chain),)))
    made.answer()
    made.writer.ask(Write(delivered=((1, 1),)))
    answer = made.answer()
    assert isinstance(answer, Recorded)
    assert answer.pending["scan"] == 0
    assert made.writer.close(DEADLINE_S)


def test_a_close_writes_what_waits(path: Path) -> None:
    made = Worker(path)
    made.gate.clear()
    for _ in range(10):
        made.writer.ask(Write(events=(sealed(made.chain),)))
    made.writer.ask(Write(settings={"last_end": "clean"}))
    made.gate.set()
    assert made.writer.close(DEADLINE_S)
    journal = Journal(path)
    assert (journal.opened().seq, journal.opened().settings["last_end"]) == (10, "clean")
    journal.close()


def test_after_an_error_it_says_so_once_and_writes_no_more(path: Path) -> None:
    made = Worker(path, fail_at=2)
    made.writer.ask(Write(events=(sealed(made.chain),)))
    assert isinstance(made.answer(), Recorded)
    made.writer.ask(Write(events=(sealed(made.chain),)))
    answer = made.answer()
    assert isinstance(answer, StorageFailed)
    assert answer.reason.startswith("disk I/O error; ")
    made.writer.ask(Write(events=(sealed(made.chain),)))
    assert made.writer.close(DEADLINE_S)
    assert made.answers.empty()
    journal = Journal(path)
    assert journal.opened().seq == 1
    journal.close()


def test_a_disk_that_hangs_does_not_hold_the_end_of_the_box(path: Path) -> None:
    made = Worker(path)
    made.gate.clear()
    made.writer.ask(Write(events=(sealed(made.chain),)))
    assert not made.writer.close(0.05)
    made.gate.set()
    assert made.writer.close(DEADLINE_S)


def test_a_checkpoint_beside_the_writing_moves_the_wal_into_the_database(path: Path) -> None:
    made = Worker(path)
    for _ in range(60):
        made.writer.ask(Write(events=(sealed(made.chain, "alarm"),)))
        made.answer()

    until(lambda: b'"boxseq":60,' in path.read_bytes(), "the last event is in the database itself")
    made.writer.ask(Write(events=(sealed(made.chain, "alarm"),)))
    assert isinstance(made.answer(), Recorded)
    assert made.writer.close(DEADLINE_S)


def test_the_writes_of_one_step_lose_nothing_when_they_become_one() -> None:
    whole: dict[str, Any] = {
        "events": (Event(1, "scan", b"{}"),),
        "cases": {"c": "{}"},
        "delivered": ((1, 1),),
        "owe": ((2, 2),),
        "parked": {3: "too large"},
        "seen": {"command": 9e12},
        "settings": {"a": "b"},
        "prune": ((4, 5, "hash"),),
        "files": (OwedFile("c0" * 32, 1, "case", "scan", "front", "2026-11-22T01:33:20Z", 9),),
        "stored": {"c1" * 32: 9},
        "clips": {"case front": "{}"},
        "gone": ("c2" * 32,),
        "unlinked": ("c3" * 32,),
        "reports": (OwedReport("sms", 1, "alarm", spare=True),),
        "judged": (JudgedReport("sms", 1, "delivered", "2026-11-22T01:33:20Z"),),
        "paths": ("sms",),
    }
    assert set(whole) == {field.name for field in fields(Write)}
    assert one_transaction([Write(**{name: value}) for name, value in whole.items()]) == [Write(**whole)]
