"""The journal's file on its disk: opened at the start, moved aside when damaged, renewed when the disk is back."""

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from agent.errors import BoxError, sqlite_error
from agent.journal import FILE, Journal, connect

COPY: Final = f"{FILE}.new"
RETURN_S: Final = 10.0
"""How often a disk that failed is tried."""
T = TypeVar("T")
LEFT: Final = f"{FILE}-wal.left"
"""The WAL of a journal of which a whole copy lies beside it."""


def open_journal(state_dir: Path, wall_s: float) -> tuple[Journal, str]:
    """The box's journal, and why it had to be started anew ("" when it had not).

    A file that is no journal, damaged, or of a newer version is moved aside, never deleted. When the disk itself does
    not work, the journal is in memory: the box stays armed and says so.
    """
    path = state_dir / FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        _finish_renewal(state_dir)
        try:
            return _usable(path), ""
        except (sqlite3.OperationalError, OSError):
            raise
        except (sqlite3.DatabaseError, BoxError) as error:
            reason = str(sqlite_error(error) if isinstance(error, sqlite3.Error) else error)
            for file in state_dir.glob(f"{FILE}*"):
                if ".aside-" not in file.name:
                    file.rename(file.with_name(f"{file.name}.aside-{int(wall_s)}"))
            return _usable(path), reason
    except sqlite3.Error as error:
        return Journal(None), str(sqlite_error(error))
    except OSError as error:
        return Journal(None), f"{state_dir}: {error.strerror}; check the disk and whom state_dir belongs to"


def _usable(path: Path) -> Journal:
    """The journal of a file, read from once: damage shows here and not at the first press."""
    journal = Journal(path)
    try:
        journal.opened()
    except (KeyError, TypeError, ValueError) as error:  # no name, or a case that cannot be read
        journal.close()
        raise BoxError(f"{path} is damaged ({error!r})", "it was moved aside") from None
    except BaseException:
        journal.close()
        raise
    return journal


def renewed_journal(state_dir: Path) -> Journal:
    """The journal of a disk that failed and works again, in a new file. Raises sqlite3.Error, OSError, BoxError.

    After an fsync that failed the kernel holds pages for clean that never reached the disk, and no later fsync writes
    them. So the old file is only read, and all of it is written anew: copy, fsync, the old WAL aside (it must not be
    taken for the new file's), the copy in the old one's place, fsync of the directory after each step.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    _finish_renewal(state_dir)
    path, copy = state_dir / FILE, state_dir / COPY
    if path.exists():
        with closing(connect(str(path))) as old:
            old.execute("VACUUM INTO ?", [str(copy)])
        _sync(copy)
        _sync(state_dir)
        wal = path.with_name(f"{FILE}-wal")
        (wal if wal.exists() else _empty(wal)).rename(state_dir / LEFT)
        _sync(state_dir)
        _finish_renewal(state_dir)
    return _usable(path)


def _finish_renewal(state_dir: Path) -> None:
    """Whole or not at all: where the old WAL is aside, the copy is whole and takes the journal's place."""
    copy, left = state_dir / COPY, state_dir / LEFT
    if not left.exists():
        copy.unlink(missing_ok=True)
        return
    if copy.exists():
        copy.rename(state_dir / FILE)
    (state_dir / f"{FILE}-shm").unlink(missing_ok=True)
    _sync(state_dir)
    left.unlink()


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def await_disk(reopen: Callable[[], T], left: Callable[[], bool], back: Callable[[T], None]) -> None:
    """Tries, in a thread of its own and until it works, to have the journal on the disk again; then tells `back`.

    reopen: raises sqlite3.Error, OSError or BoxError as long as it does not. left: nobody is at the old file any more.
    """
    pause = threading.Event()

    def run() -> None:
        while True:
            pause.wait(RETURN_S)
            if not left():
                continue
            try:
                again = reopen()
            except (sqlite3.Error, OSError, BoxError):
                continue  # the trouble stands, and says why
            back(again)
            return

    threading.Thread(target=run, name="disk-return", daemon=True).start()
