"""The door to the code lists: one thread answers scans, another one changes the lists, so that no scan waits for that.

What is wrong with the file or its disk costs the lists and nothing else: scans are recorded without, and it is tried
again. A damaged file is moved aside, never deleted, and that is said until the lists are brought again.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from agent import threads
from agent.list_file import FILE, ListFile, damaged, move_aside
from agent.lists_mail import ChangeList, ListAction, ListChanged, ListMessage, ListsStand, LookedUp, LookUp

if TYPE_CHECKING:
    from agent.config import Config

RETURN_S: Final = 10.0
"""How often a file that cannot be used is tried."""
SWEEP_S: Final = 0.05
"""Between two parts of what is removed: the disk is the journal's first."""
FAULTS: Final = (sqlite3.Error, OSError, ValueError)
"""Of the file, its disk, and the site's key."""


class ListStore:
    """The lists of a config; where it has none, there are no threads and no file."""

    def __init__(self, config: "Config", answer: Callable[[ListMessage], None]) -> None:
        """answer: called in these threads; never blocks."""
        self._lists = {entry.name: entry for entry in config.lists}
        self._path, self._answer = config.state_dir / FILE, answer
        self._key = config.site_key
        self._questions: SimpleQueue[LookUp | None] = SimpleQueue()
        self._changes: SimpleQueue[ChangeList | None] = SimpleQueue()
        self._file: ListFile | None = None
        """Of the thread that changes the lists; it alone makes the file, and moves it aside."""
        self._opened = 0
        """How often it was opened; 0: not now."""
        self._openings, self._reason, self._aside = 0, "", ""
        self._tried = threading.Event()
        """To open it, for the first time: before that a scan waits."""
        self._closing = False
        runs = {"lists": self._answer_all, "lists-change": self._change_all} if config.lists else {}
        self._threads = [threads.start(run, name) for name, run in runs.items()]

    def ask(self, request: ListAction) -> None:
        """Queues a request; `LookedUp` or `ListChanged` answers it. The asker bounds what it asks at once."""
        if isinstance(request, LookUp):
            self._questions.put(request)
        else:
            self._changes.put(request)

    def close(self, timeout_s: float) -> None:
        """Ends both threads; a change that is being written comes to its end, if the disk lets it in time."""
        self._closing = True
        self._tried.set()
        self._questions.put(None)
        self._changes.put(None)
        until_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _connect(self) -> ListFile:
        if not self._key and any(entry.hashed for entry in self._lists.values()):
            raise ValueError("the site's key could not be read: see key_file in the config, and reload")
        return ListFile(self._path, self._lists, self._key)

    # ---- scans

    def _answer_all(self) -> None:
        file: ListFile | None = None
        opened = 0
        self._tried.wait()
        while (asked := self._questions.get()) is not None:
            try:
                if opened != self._opened:  # the file is another one now, or there is none
                    if file is not None:
                        file.close()
                    file, opened = None, self._opened
                if file is None and opened:
                    file = self._connect()
                answer = file.look_up(asked) if file else LookedUp(asked.ref, (), f"{FILE}: {self._reason}")
            except FAULTS as error:
                opened = -1
                self._changes.put(None)  # look at the file
                answer = LookedUp(asked.ref, (), f"{FILE}: {error}")
            self._answer(answer)
        if file is not None:
            file.close()

    # ---- changes

    def _change_all(self) -> None:
        self._open()
        self._tried.set()
        more = True
        while not self._closing:
            try:
                change = self._changes.get(timeout=SWEEP_S if more and self._file else RETURN_S)
                more = True
            except Empty:
                more = self._idle()
                continue
            if change is not None:
                self._answer(self._changed(change))
            elif not self._closing:
                self._open(check=True)
        if self._file is not None:
            self._file.close()

    def _changed(self, change: ChangeList) -> ListChanged:
        if self._file is None:
            return ListChanged(change.ref, 0, f"{FILE}: {self._reason}")
        try:
            changed = self._file.change(change)
            self._answer(ListsStand(self._file.codes(), self._aside))
            return changed
        except FAULTS as error:
            self._open(check=True)
            return ListChanged(change.ref, 0, f"{FILE}: {error}")

    def _idle(self) -> bool:
        """Removes a part of what is no list any more, or tries a file that could not be used; whether there is more."""
        if self._file is None:
            self._open(check=True)
            return True
        try:
            return self._file.sweep()
        except FAULTS:
            self._open(check=True)
            return False

    def _open(self, *, check: bool = False) -> None:
        """Opens the file, or says why not. check: a damaged one goes aside, and an empty one takes its place."""
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()
        self._file, self._opened = None, 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if check and self._path.exists() and (found := damaged(self._path)):
                self._aside = f"{FILE} was damaged ({found}) and is now {move_aside(self._path)}"
            self._file = self._connect()
            stand = ListsStand(self._file.codes(), self._aside)
        except FAULTS as error:
            if not check and isinstance(error, sqlite3.DatabaseError):
                self._open(check=True)
                return
            self._file, self._reason = None, str(error)
            self._answer(ListsStand({}, f"{FILE}: {error}"))
            return
        self._openings += 1
        self._opened = self._openings
        self._answer(stand)
