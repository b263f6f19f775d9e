"""The journal's writer in virtual time: the turns of `agent.writer.Writer`, without its thread."""

import sqlite3
from typing import Any, Final, Protocol

from world_check import Checker
from world_wire import Around, Central

from agent.errors import sqlite_error
from agent.journal import Journal
from agent.mail import StorageFailed
from agent.writer import COMMIT_PAGES, Asked, Writer

PAGES_QUIET: Final = 2 * COMMIT_PAGES
PAGES_BUSY: Final = 6 * COMMIT_PAGES
"""Far less than the writer's own limits, so that short lives see checkpoints and a WAL begun anew."""


class Owner(Around, Protocol):
    """What the worker needs of the world."""

    life: int
    checker: Checker
    central: Central

    def disk_delay_s(self) -> float: ...


class Worker(Writer):
    """One journal and what waits for it. What it answers is told when the disk is done."""

    def __init__(self, world: Owner, journal: Journal) -> None:
        self._world, self._life = world, world.life
        self._answers: list[Any] = []
        self._start(journal, self._answers.append)
        self.volatile = journal.opened().volatile
        self._busy, self._dead, self._round_no = False, False, 0

    def ask(self, request: Asked) -> None:
        self._inbox.append(request)
        if not self._busy:
            self._plan(self._world.rng.uniform(0, 0.002))

    def _plan(self, delay_s: float) -> None:
        self._round_no += 1
        self._world.later(max(0.0, delay_s), self._round, self._round_no)

    def _round(self, number: int) -> None:
        world = self._world
        if number != self._round_no or self._dead or self._life != world.life:
            return
        self._busy = True
        due_s = world.t
        try:
            due_s = self.turn(world.t)
        except sqlite3.Error as error:
            world.note(f"journal {self.name}: {error}")
            self._answer(StorageFailed(self.name, str(sqlite_error(error))))
            self._dead = True
            self.journal.close()
        if not self.volatile and not self._dead:
            world.checker.written(world.central)
        did_something = self._answers or self._dead
        world.later(world.disk_delay_s() if did_something and not self.volatile else 0.0, self._done, due_s)

    def _care(self, *, quiet: bool) -> None:
        if self._pages > (PAGES_QUIET if quiet else PAGES_BUSY):
            self._pages = 0
            self.journal.checkpoint()

    def _done(self, due_s: float) -> None:
        if self._life != self._world.life:
            return
        self._busy = False
        answers = self._answers[:]
        self._answers.clear()
        if not self._dead:
            self._plan(0.0 if self._inbox else due_s - self._world.t)
        for answer in answers:
            self._world.tell(answer)

    @property
    def at_rest(self) -> bool:
        """Nothing waits, nothing is at work."""
        return self.idle and not (self._busy or self._answers or self._owing)

    def finish(self) -> None:
        """A clean stop: all that waits is written and the file closed."""
        while not self.idle and not self._dead:
            self.turn(self._world.t, closing=True)
        if not self._dead:
            self.journal.close()
