"""The journal's worker in virtual time: the rounds of `agent.journal.JournalWorker`, without its thread."""

import sqlite3
from collections import deque
from typing import Any, Final, Protocol

from world_check import Checker
from world_wire import Around, Central

from agent.errors import sqlite_error
from agent.journal import GROUP_MAX, SETTLE_S, Journal, JournalWorker
from agent.mail import Fetch, Fetched, StorageFailed, Write

ROWS_QUIET: Final = 2
ROWS_MAX: Final = 6
"""Far less than the journal's own limits, so that short lives see checkpoints and a WAL begun anew."""


class Owner(Around, Protocol):
    """What the worker needs of the world."""

    life: int
    checker: Checker
    central: Central

    def disk_delay_s(self) -> float: ...


class Worker(JournalWorker):
    """One journal and what waits for it. What it answers is told when the disk is done."""

    def __init__(self, world: Owner, journal: Journal) -> None:
        self._world, self._journal, self._life = world, journal, world.life
        self._answers: list[Any] = []
        self._answer = self._answers.append
        opened = journal.opened()
        self.name, self._through, self.volatile = opened.name, opened.seq, opened.volatile
        self._inbox = deque()
        self._held: list[Write] = []
        self._held_s = 0.0
        self._busy, self._dead, self._round_no = False, False, 0

    def ask(self, request: Write | Fetch) -> None:
        self._inbox.append(request)
        if not self._busy:
            self._plan(self._world.rng.uniform(0, 0.002), awake=True)

    def _plan(self, delay_s: float, *, awake: bool) -> None:
        self._round_no += 1
        self._world.later(delay_s, self._round, self._round_no, awake)

    def _round(self, number: int, awake: bool) -> None:
        world = self._world
        if number != self._round_no or self._dead or self._life != world.life:
            return
        self._busy = True
        try:
            self.work(awake=awake)
        except sqlite3.Error as error:
            world.note(f"journal {self.name}: {error}")
            self._answer(StorageFailed(self.name, str(sqlite_error(error))))
            self._dead = True
            self._journal.close()
        if not self.volatile and not self._dead:
            world.checker.written(world.central)
        world.later(0.0 if self.volatile else world.disk_delay_s(), self._done)

    def work(self, *, awake: bool, closing: bool = False) -> None:
        """As `JournalWorker._run` between two waits."""
        fetches = []
        while self._inbox and len(self._held) < GROUP_MAX:
            request = self._inbox.popleft()
            if isinstance(request, Write):
                self._held_s = self._held_s if self._held else self._world.t
                self._held.append(request)
            else:
                fetches.append(request)
        settled = self._world.t >= self._held_s + SETTLE_S or len(self._held) >= GROUP_MAX
        if self._held and (settled or fetches or closing or any(write.urgent for write in self._held)):
            self._write(self._held)
            self._held = []
        for fetch in fetches:
            self._answer(Fetched(self.name, fetch.cls, fetch.after, *self._journal.fetch(fetch)))
        self._journal.checkpoint(ROWS_MAX if awake else ROWS_QUIET)

    def _done(self) -> None:
        if self._life != self._world.life:
            return
        self._busy = False
        answers = self._answers[:]
        self._answers.clear()
        if not self._dead:
            self._plan(0.0 if self._inbox else SETTLE_S, awake=bool(self._inbox))
        for answer in answers:
            self._world.tell(answer)

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is at work."""
        return not (self._inbox or self._held or self._busy or self._answers)

    def finish(self) -> None:
        """A clean stop: all that waits is written and the file closed."""
        while (self._inbox or self._held) and not self._dead:
            self.work(awake=False, closing=True)
        if not self._dead:
            self._journal.close()
