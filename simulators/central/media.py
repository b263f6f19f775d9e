"""Files of evidence on central's disk, next to the store: what comes piece by piece, proven by its hash when whole.

`{sha256}` is a whole file; `{site}.{box}.{sha256}.part` what has come of one so far, of each box by itself, so that
what a lying box sends harms no other box's file.
"""

import hashlib
import logging
import os
import time
from pathlib import Path

from simulators.central.evidence import File, Have
from simulators.central.store import Store
from simulators.central.wire import SHA256, rfc3339

log = logging.getLogger("central")
NAMELESS_BYTES_MAX = 64 * 1024 * 1024  # of all files together that no event has named yet
NAMELESS_S = 24 * 3600.0  # and no longer than this
BLOCK_BYTES = 4096  # a file costs at least so much, however small it is
TOLD_S = 24 * 3600.0  # what became whole in this time is told to a box that has come back
LOOK_EVERY_S = 3600.0

Key = tuple[str, str]  # box, sha256


class Media:
    """What is here of each file. Everything in the hub's thread, inside a transaction of the store; `flush` before its
    end. Raises OSError when the disk does not do its part: then nothing may be acknowledged, and memory made anew."""

    def __init__(self, store: Store) -> None:
        """Looks at what is on the disk. Raises OSError, sqlite3.Error."""
        self._store = store
        self.directory = store.path.with_name(f"{store.path.name}.media")
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._parts: dict[Key, int] = {}  # bytes on the disk
        self._open: dict[Key, int] = {}  # file descriptors of what was written to since the last flush
        self._unsettled: dict[Key, None] = {}
        self._looked_s = time.monotonic()
        for path in self.directory.glob("*.part"):
            match path.name.split("."):
                case [site, box, sha256, "part"] if SHA256.fullmatch(sha256):
                    key = f"{site}/{box}", sha256
                    self._parts[key] = path.stat().st_size
                    self._open[key] = os.open(path, os.O_WRONLY | os.O_APPEND)  # it may not be on the disk yet
        self._unsettled.update(dict.fromkeys(store.unfinished_files()))
        self.flush()
        self._forget_nameless()

    def have(self, box: str, sha256: str) -> Have:
        """What is here of this file of this box."""
        row = self._store.file(box, sha256)
        if row is not None and row.whole_at:
            return Have(row.bytes, whole=True, wrong=row.wrong)
        gone = self._store.is_discarded(box, sha256)
        return Have(self._parts.get((box, sha256), 0), whole=False, wrong=row.wrong if row else 0, gone=gone)

    def told(self, box: str) -> list[str]:
        """What a box that has come back is told of: all that is not whole, and what became so within the last day."""
        since = rfc3339(time.time() - TOLD_S)
        nameless = [sha256 for name, sha256 in self._parts if name == box and not self._store.is_discarded(box, sha256)]
        return list(dict.fromkeys([*self._store.files_since(box, since), *nameless]))

    def path(self, sha256: str) -> Path:
        """Where the whole file is."""
        return self.directory / sha256

    def _part(self, key: Key) -> Path:
        box, sha256 = key
        return self.directory / f"{box.replace('/', '.')}.{sha256}.part"

    def named(self, box: str, file: File) -> None:
        """A proven event of this box names the file and its size; the first one counts."""
        self._store.name_file(box, file.sha256, file.bytes)
        self._unsettled[box, file.sha256] = None

    def discarded(self, box: str, sha256: str) -> None:
        """A proven event of this box says that it has this file no more."""
        self._store.discard_file(box, sha256)

    def piece(self, box: str, sha256: str, offset: int, payload: bytes) -> None:
        """Bytes from `offset` on. Kept from where the last ones ended; a gap is not filled, the box has to go back."""
        key = box, sha256
        row = self._store.file(box, sha256)
        if row is not None and row.whole_at:
            return
        have = self._parts.get(key, 0)
        limit = row.bytes if row is not None else have + self._room(key)
        end = min(offset + len(payload), limit)
        if offset > have or end <= have:
            return
        if key not in self._open:
            self._open[key] = os.open(self._part(key), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        rest = memoryview(payload)[have - offset : end - offset]
        while rest:
            rest = rest[os.write(self._open[key], rest) :]
        self._parts[key] = end
        self._unsettled[key] = None

    def _room(self, key: Key) -> int:
        """How many bytes more there is room for in a file that nobody has named."""
        used = sum(
            max(size, BLOCK_BYTES)
            for other, size in self._parts.items()
            if other != key and self._store.file(*other) is None
        )
        return max(0, NAMELESS_BYTES_MAX - used - max(self._parts.get(key, 0), BLOCK_BYTES))

    def flush(self) -> None:
        """All that has come is on the disk; what has come whole is checked, and has its name."""
        new = bool(self._open)
        try:
            for key, fd in self._open.items():
                try:
                    os.fsync(fd)
                except OSError:  # what it lost, no later fsync writes
                    self._drop(key)
                    raise
        finally:
            self.close()
        for key in self._unsettled:
            new = self._settle(key) or new
        self._unsettled.clear()
        if new:
            fd = os.open(self.directory, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """No file is open any more."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _settle(self, key: Key) -> bool:
        """Is it whole now? True when a name in the directory has changed."""
        row = self._store.file(*key)
        if row is None or row.whole_at:
            return False
        part, path = self._part(key), self.path(key[1])
        if path.exists() and path.stat().st_size == row.bytes:  # of another box, or named just before a crash
            self._drop(key)
        elif self._parts.get(key, 0) < row.bytes:
            return False
        else:
            os.truncate(part, row.bytes)
            with part.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != key[1]:
                log.warning("%s: file %s came with the hash %s; it is asked for again", *key, found)
                self._drop(key)
                self._store.file_wrong(*key)
                return True
            part.rename(path)
            del self._parts[key]
        self._store.file_whole(*key, rfc3339(time.time()))
        return True

    def _drop(self, key: Key) -> None:
        self._part(key).unlink(missing_ok=True)
        self._parts.pop(key, None)

    def tick(self, now_s: float) -> None:
        """Once an hour: what nobody has named for a day goes."""
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._forget_nameless()

    def _forget_nameless(self) -> None:
        for key in [key for key in self._parts if self._store.file(*key) is None]:
            if time.time() - self._part(key).stat().st_mtime > NAMELESS_S:
                log.warning("%s: no event names the file %s; what came of it is removed", *key)
                self._drop(key)
