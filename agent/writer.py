"""The thread of the journal: takes what waits in as few transactions as an alarm can bear, and answers when fsync did.

What somebody waits for (an alarm, its case, an operator's command) is written at once, with all that waits beside it.
What nobody waits for (scans, status) is written at once too when it comes alone, and at most twenty times a second in
a storm: an alarm that comes while the disk is busy has to wait for it, and every sync wears a flash card. Marks of what
is delivered go with the next event that nobody waits for, or after a second: to lose them costs a repeat, and in a
drain there are hundreds.
"""

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from agent import threads
from agent.errors import disk_full, sqlite_error
from agent.journal import Journal
from agent.mail import Fetch, Fetched, OwedAgain, Recorded, StorageFailed, StorageTight, Survey, Surveyed, Write
from agent.media_mail import FetchedFiles, FetchFiles, SurveyedFiles, SurveyFiles
from agent.path_mail import DueReport, FindDue
from agent.ranges import Range, joined
from agent.reserve import Reserve

PACE_S: Final = 0.05
PACE_WRITES: Final = 200
"""Writes that nobody waits for are held so long after a transaction, or until they are so many."""
GROUP_MAX: Final = 1_000
"""Writes in one transaction."""
SETTLE_S: Final = 1.0
"""Delivered marks without an event beside them are committed after this long."""
MARKS_MAX: Final = 500
"""Ranges struck off in one transaction."""
PAGES_QUIET: Final = 100
PAGES_BUSY: Final = 1_000
"""Checkpoint above the first after a quiet second, above the second while the writing goes on (4 MB)."""
PAGES_TIGHT: Final = 10
"""The same as long as the reserve is given up: a WAL that grows takes the last room, and then cannot be emptied."""
SMALL_PART: Final = 16
PAGE_BYTES: Final = 4_096
"""On a small disk the WAL has about this part of it: moved into the database it needs as much room once again."""
COMMIT_PAGES: Final = 6
EVENTS_A_PAGE: Final = 6
"""About what a transaction adds to the WAL."""
WAL_BYTES_MAX: Final = 67_108_864
"""Above this the writing waits for a checkpoint: beside a writing without pause it may never come to its end."""

Other = FetchFiles | FindDue | Survey | SurveyFiles
Asked = Write | Fetch | Other
Answer = (
    Recorded | Fetched | FetchedFiles | DueReport | OwedAgain | Surveyed | SurveyedFiles | StorageTight | StorageFailed
)
T = TypeVar("T")


class Writer:
    """The journal's one writer. After an error it says `StorageFailed` and stops; nothing is retried blindly."""

    def __init__(self, journal: Journal, answer: Callable[[Answer], None], reserve: Reserve | None = None) -> None:
        """answer: called in this thread; never blocks."""
        self._start(journal, answer, reserve)
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._closing = self._keep = False
        self.progress_s = time.monotonic()
        self._thread = threads.start(self._run, "journal")

    def _start(self, journal: Journal, answer: Callable[[Answer], None], reserve: Reserve | None = None) -> None:
        self.journal, self._answer, self._reserve = journal, answer, reserve
        self.name, self._through = journal.name, 0  # of what this writer has written
        self._inbox: deque[Asked] = deque()
        self._writes: deque[Write] = deque()
        self._fetches: deque[Fetch] = deque()
        self._others: deque[Other] = deque()
        self._marks: list[Range] = []
        self._marked_s = self._written_s = float("-inf")
        self._in_a_hurry, self._sleeps_long = False, True
        self._helper: threading.Thread | None = None
        self._owing = True  # perhaps: a start looks
        self._pages = PAGES_BUSY  # of an earlier run

    def ask(self, request: Asked) -> None:
        """Queues a request; each has its answer in `Answer`. The asker bounds what it asks at once."""
        self._inbox.append(request)
        # A writer that looks by itself within PACE_S is left alone: in a storm each wake-up costs more than the row.
        if self._sleeps_long or not isinstance(request, Write) or request.at_once or len(self._inbox) >= PACE_WRITES:
            self._bell.put(None)

    def close(self, timeout_s: float, *, keep: bool = False) -> bool:
        """Writes what waits and closes the file; False when the disk did not let it in time. keep: leaves it open."""
        self._closing, self._keep = True, keep
        self._bell.put(None)
        self._thread.join(timeout_s)
        return self.ended

    @property
    def ended(self) -> bool:
        """Its thread is no more."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        due_s = 0.0
        try:
            while not (self._closing and self.idle):
                now_s = self.progress_s = time.monotonic()
                if due_s > now_s and not self._closing:
                    self._sleeps_long = True
                    if not self._inbox:
                        self._sleeps_long = due_s > now_s + PACE_S
                        with suppress(Empty):
                            self._bell.get(timeout=due_s - now_s)
                due_s = self.turn(time.monotonic(), closing=self._closing)
        except sqlite3.Error as error:
            self._answer(StorageFailed(self.name, str(sqlite_error(error))))
        except Exception as error:  # noqa: BLE001  whatever ends this thread, the box hears of it and goes on in memory
            self._answer(StorageFailed(self.name, f"{type(error).__name__}: {error}; a fault of ours: report it"))
        if self._helper is not None:
            self._helper.join()
        with suppress(sqlite3.Error):  # the promise was made, or refused, before
            if not self._keep:
                self.journal.close()

    # ---- what to do next; without a thread or a clock, so that the simulated world can do it too

    @property
    def idle(self) -> bool:
        """Nothing waits."""
        return not (self._inbox or self._writes or self._fetches or self._others or self._marks)

    def _accept(self, now_s: float) -> None:
        while self._inbox:
            request = self._inbox.popleft()
            if isinstance(request, Fetch):
                self._fetches.append(request)
                continue
            if not isinstance(request, Write):
                self._others.append(request)
                continue
            if request.delivered:
                self._marked_s = self._marked_s if self._marks else now_s
                self._marks += request.delivered
                request = replace(request, delivered=())
            if request.something:
                self._writes.append(request)
                self._in_a_hurry |= request.at_once

    def turn(self, now_s: float, *, closing: bool = False) -> float:
        """One piece of work: a transaction, a fetch, or care of the file. The monotonic second of the next."""
        self._accept(now_s)
        # A fetch does not bring what is marked as delivered; what it does not read anyway holds nobody up.
        marked = self._fetches and any(last > self._fetches[0].after for _, last in self._marks)
        # What is asked about files and reports is answered with all that was said of them before.
        asked = marked or bool(self._others)
        now = closing or self._in_a_hurry or len(self._writes) >= PACE_WRITES or asked or now_s >= self._due_s()
        if now and (self._writes or self._marks):
            self._commit(now_s)
            return now_s
        if self._fetches:
            fetch = self._fetches.popleft()
            self._answer(Fetched(self.name, fetch.cls, fetch.after, *self.journal.fetch(fetch)))
            return now_s
        if self._others:
            self._answer(self._other(self._others.popleft()))
            return now_s
        if self._owing and not self._marks and not closing:
            if (owed := self._with_room(self.journal.owe_some)) is not None:
                self._answer(OwedAgain(self.name, owed[0], dict(self.journal.pending), self.journal.media_bytes))
                return now_s
            self._owing = False
        self._care(quiet=now_s >= self._written_s + SETTLE_S)
        return min(self._due_s(), now_s + SETTLE_S)

    def _other(self, request: Other) -> Answer:
        lent = self._reserve.lent if self._reserve else 0
        match request:
            case FetchFiles():
                return self.journal.fetch_files(request)
            case FindDue():
                return self.journal.find_due(request)
            case Survey():
                return self.journal.survey(request, lent)
            case SurveyFiles():
                return self.journal.survey_files(request, lent)

    def _due_s(self) -> float:
        """When what waits is to be written, whoever waits for it or not."""
        dues = [self._written_s + PACE_S] if self._writes else []
        return min([*dues, self._marked_s + SETTLE_S] if self._marks else dues, default=float("inf"))

    def _commit(self, now_s: float) -> None:
        taken: list[Write] = []
        self._with_room(lambda: self.journal.write([*taken] or self._group(taken, now_s)))
        self._written_s, self._in_a_hurry = now_s, any(write.at_once for write in self._writes)
        self._pages += COMMIT_PAGES + sum(len(write.events) for write in taken) // EVENTS_A_PAGE
        for write in taken:
            if write.events:
                self._through = write.events[-1].seq
            self._owing |= bool(write.owe)
            self._pages += len(write.delivered)
        self._answer(Recorded(self.name, self._through, dict(self.journal.pending), self.journal.media_bytes))
        self._bound_wal()

    def _with_room(self, work: Callable[[], T]) -> T:
        """Does it; on a full disk again, in the WAL's room and then in the reserve's. What failed was rolled back."""
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not disk_full(error) or self.journal.path is None:
                raise
        try:
            self._empty_wal()  # what is in the database already can be written over
            return work()
        except sqlite3.OperationalError as error:
            if not disk_full(error) or self._reserve is None or not self._reserve.give_up():
                raise
            self._answer(StorageTight(self.name, str(sqlite_error(error))))
        with suppress(sqlite3.OperationalError):
            self._empty_wal()  # into that room; then its own is room again
        return work()

    def _group(self, taken: list[Write], now_s: float) -> Iterator[Write]:
        """What goes into one transaction; what arrives while it is being written still joins."""
        while self._writes and len(taken) < GROUP_MAX:
            taken.append(self._writes.popleft())
            yield taken[-1]
            self._accept(now_s)
        if self._marks and not (self._in_a_hurry and now_s < self._marked_s + SETTLE_S):
            marks = joined(self._marks)
            self._marks = marks[MARKS_MAX:]
            taken.append(Write(delivered=tuple(marks[:MARKS_MAX])))
            yield taken[-1]

    def _care(self, *, quiet: bool) -> None:
        """Keeps the WAL small, beside the writing (with a large one each commit gets slower), and the reserve held."""
        if quiet and self._reserve is not None and not self._reserve.held:
            self._reserve.hold()
        lent = self._reserve is not None and self._reserve.lent > 0
        if self.journal.path is None or self._pages <= (PAGES_TIGHT if lent else PAGES_QUIET):
            return
        if not quiet and not lent and self._pages <= min(PAGES_BUSY, self._part // PAGE_BYTES):
            return
        if lent or self.journal.wal_bytes() > min(WAL_BYTES_MAX, 2 * self._part):
            self._pages = 0
            with suppress(sqlite3.Error):  # as beside the writing: the next commit shows it, and knows what to do
                self._empty_wal()
        elif self._helper is None or not self._helper.is_alive():
            self._pages = 0
            self._helper = threads.start(self._checkpoint, "journal-checkpoint")

    def _bound_wal(self) -> None:
        """In a flood nothing else ends: a helper that checkpoints beside it never catches up on a small disk."""
        if self.journal.path is None or self._pages <= PAGES_TIGHT:
            return
        if self._pages * PAGE_BYTES > min(WAL_BYTES_MAX, self._part) and self.journal.wal_bytes() > 2 * self._part:
            self._pages = 0
            with suppress(sqlite3.Error):
                self._empty_wal()

    @cached_property
    def _part(self) -> int:
        """Bytes of the disk that its WAL is to have about, however many it might."""
        return self.journal.room()[2] // SMALL_PART

    def _empty_wal(self) -> None:
        if self._helper is not None:
            self._helper.join()  # two at once: the second does nothing
        self.journal.checkpoint()

    def _checkpoint(self) -> None:
        with suppress(sqlite3.Error), closing(self.journal.second()) as beside:
            beside.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
