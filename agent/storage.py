"""The journal's file on its disk: opened at the start, moved aside when damaged, renewed when the disk is back."""

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from agent import threads
from agent.errors import BoxError, sqlite_error
from agent.journal import FILE, Journal, connect

COPY: Final = f"{FILE}.new"
LEFT: Final = f"{FILE}-wal.left"
"""The WAL of a journal of which a whole copy lies beside it."""
RETURN_S: Final = 10.0
"""How often a disk that failed is tried."""
WAL_HEADER: Final = 32
FRAME_HEADER: Final = 24
BOXSEQ: Final = re.compile(rb'"boxseq":(\d{1,15}),')

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """An open journal. reason: why it is a new one, "" when it is not; aside: where the one before is now."""

    journal: Journal
    reason: str = ""
    aside: Path | None = None


def open_journal(state_dir: Path) -> Found:
    """The box's journal.

    A file that is no journal, damaged, or of a newer version is moved aside, never deleted. When the disk itself does
    not work, the journal is in memory: the box stays armed and says so.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        _finish_renewal(state_dir)
        return _usable_or_new(state_dir)
    except sqlite3.Error as error:
        return Found(Journal(None), str(sqlite_error(error)))
    except OSError as error:
        return Found(Journal(None), f"{state_dir}: {error.strerror}; check the disk and whom state_dir belongs to")


def renewed_journal(state_dir: Path) -> Found:
    """The journal of a disk that failed and works again, in a new file. Raises sqlite3.Error, OSError, BoxError.

    After an fsync that failed the kernel holds pages for clean that never reached the disk, and no later fsync writes
    them. So the old file is only read, and all of it is written anew: copy, fsync, the old WAL aside (it must not be
    taken for the new file's), the copy in the old one's place, fsync of the directory after each step.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    _finish_renewal(state_dir)
    path, copy = state_dir / FILE, state_dir / COPY
    if not path.exists():
        return _usable_or_new(state_dir)
    try:
        with closing(connect(str(path))) as old:
            old.execute("VACUUM INTO ?", [str(copy)])
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return _new(state_dir, str(error))
    _sync(copy)
    _sync(state_dir)
    wal = path.with_name(f"{FILE}-wal")
    (wal if wal.exists() else _empty(wal)).rename(state_dir / LEFT)
    _sync(state_dir)
    _finish_renewal(state_dir)
    return _usable_or_new(state_dir)


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

    threads.start(run, "disk-return")


def _usable_or_new(state_dir: Path) -> Found:
    try:
        return Found(_usable(state_dir / FILE))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return _new(state_dir, str(error))
    except BoxError as error:
        return _new(state_dir, str(error))


def _usable(path: Path) -> Journal:
    """The journal of a file, read from once: damage shows here and not at the first press."""
    promised, fresh = promised_by_wal(path), not path.exists()
    journal = Journal(path)
    try:
        seq, wal = journal.opened().seq, path.with_name(f"{FILE}-wal")
        if promised > seq:
            content = wal.read_bytes()
            journal.close()  # which removes the WAL, and with it what is not yet read out of it
            wal.write_bytes(content)
            raise BoxError(f"{path} ends at boxseq {seq}, its WAL held {promised} and cannot be read", "it is damaged")
        if fresh:
            journal.checkpoint()  # its name must not depend on its WAL
    except (KeyError, TypeError, ValueError) as error:  # no name, or a case that cannot be read
        journal.close()
        raise BoxError(f"{path} cannot be read ({error!r})", "it is damaged") from None
    except BaseException:
        journal.close()
        raise
    return journal


def promised_by_wal(path: Path) -> int:
    """The highest boxseq in the WAL's transactions but for the last: that one alone may be torn by a power cut.

    SQLite takes a frame whose checksum is wrong for the torn end of the WAL, and forgets without a word all that stands
    behind it; frames of an earlier use of the file have other salts (sqlite.org/fileformat2.html, section 4).

    Read frame by frame: twice the largest block that a process ever frees is what glibc lets each thread's arena keep
    from then on (mallopt(3), M_MMAP_THRESHOLD). A WAL read whole would leave the caches of a copied journal, 4 MB
    (`renewed_journal`), in one arena after the other for as long as the process lives.
    """
    promised = whole = highest = 0
    try:
        with path.with_name(f"{FILE}-wal").open("rb") as wal:
            page_size = int.from_bytes(wal.read(WAL_HEADER)[8:12], "big")
            size = FRAME_HEADER + (page_size if 512 <= page_size <= 65_536 else 4_096)
            salts = b""
            while len(frame := wal.read(size)) == size and frame[8:16] == (salts := salts or frame[8:16]):
                highest = max([highest, *map(int, BOXSEQ.findall(frame))])
                if frame[4:8] != bytes(4):
                    promised, whole = whole, highest
    except FileNotFoundError:
        return 0
    return promised


def _new(state_dir: Path, reason: str) -> Found:
    """Moves the files aside, so that SQLite still finds the WAL of the journal, and begins a new one."""
    second = int(time.time())
    while (aside := state_dir / f"{FILE}.aside-{second}").exists():
        second += 1
    for end in ("", "-wal"):
        file = state_dir / f"{FILE}{end}"
        if file.exists():
            file.rename(aside.with_name(f"{aside.name}{end}"))
    (state_dir / f"{FILE}-shm").unlink(missing_ok=True)
    return Found(_usable(state_dir / FILE), f"{reason}; the file was moved aside as {aside.name}", aside)


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
