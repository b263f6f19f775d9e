"""A file that holds a part of the disk for the day on which it is full, so that alarms can still be recorded."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE: Final = "reserve"


class Reserve:
    """The file. It is given up as a whole, and made again when there is room for it and as much again."""

    def __init__(self, state_dir: Path, size: int) -> None:
        """size: bytes; 0 for none."""
        self._path, self._size = state_dir / FILE, size
        self.held = False
        self.lent = 0
        """Bytes of the disk's free room that were the reserve: for alarms, until it is made again."""

    def hold(self) -> None:
        """Makes the file where it is missing and the disk has room for it and as much again."""
        with suppress(OSError):  # a disk that cannot give it now is asked again
            disk = os.statvfs(self._path.parent)
            size = self._path.stat().st_size if self._path.exists() else 0
            if size == self._size:
                self.held, self.lent = True, 0
            elif disk.f_bavail * disk.f_frsize + size >= 2 * self._size:
                with self._path.open("wb") as file:
                    if self._size:
                        os.posix_fallocate(file.fileno(), 0, self._size)
                    os.fsync(file.fileno())
                self.held, self.lent = True, 0

    def give_up(self) -> bool:
        """Gives its room to the disk; False when there was none."""
        held, self.held = self._path.exists(), False
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        if held:
            self.lent = self._size
        return held and self._size > 0
