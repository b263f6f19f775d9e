"""Disks that fail: one that does so on request under a real program (with tests/bad_disk.c), and real small ones."""

import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

NO_GCC: Final = "" if shutil.which("gcc") else "no gcc here: apt-get install gcc libc6-dev"
NO_MOUNT: Final = (
    "mounting wants root"
    if os.geteuid() != 0
    else ""
    if shutil.which("mkfs.ext4")
    else "no mkfs.ext4 here: apt-get install e2fsprogs"
)
NO_FUSE: Final = "" if Path("/dev/fuse").exists() else "/dev/fuse is not there: this kernel has no FUSE"
"""Why this machine cannot do it; empty where it can."""
SOURCE = Path(__file__).with_name("bad_disk.c")
FIELDS = 6
FSYNC_ERRNO, FSYNC_MS, WRITE_ERRNO, WRITE_MS, LEFT, FAILED = range(FIELDS)


class BadDisk:
    """Files whose path contains `part` are on it, in each program that is started with `environment`.

    directory: for the library, which gcc makes here, and for the file that controls it. The disk begins well.
    Raises FileNotFoundError without gcc.
    """

    def __init__(self, directory: Path, part: Path | str) -> None:
        library, control = directory / "bad_disk.so", directory / "bad_disk.control"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        control.write_bytes(bytes(4 * FIELDS))
        with control.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 0)
        self._fields = memoryview(self._mapped).cast("i")
        self.environment = {
            "LD_PRELOAD": str(library),
            "BAD_DISK_CONTROL": str(control),
            "BAD_DISK_PART": str(part),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fields.release()
        self._mapped.close()

    def arm(
        self, *, fsync: int = 0, fsync_ms: int = 0, write: int = 0, write_ms: int = 0, times: int | None = None
    ) -> None:
        """From now on each sync or write fails with this errno, or is late by so many ms, or both.

        times: only so many fail; whether a program asks a disk again that has failed once is seen by that.
        """
        self.mend()
        self._fields[LEFT] = -1 if times is None else times
        for field, value in ((FSYNC_MS, fsync_ms), (WRITE_MS, write_ms), (FSYNC_ERRNO, fsync), (WRITE_ERRNO, write)):
            self._fields[field] = value

    def mend(self) -> None:
        """All is well again."""
        for field in (FSYNC_ERRNO, WRITE_ERRNO, FSYNC_MS, WRITE_MS):
            self._fields[field] = 0

    @property
    def failed(self) -> int:
        """How many calls have failed since the start."""
        return self._fields[FAILED]


@contextmanager
def small_tmpfs(place: Path, kilobytes: int) -> Iterator[None]:
    """A real file system of this size at `place`, which is made."""
    with _mounted(place, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs"):
        yield


@contextmanager
def small_ext4(place: Path, kilobytes: int) -> Iterator[Path]:
    """The same as ext4, which goes read-only at its first error, as on a dying card; yields what triggers one."""
    image = place.with_name(f"{place.name}.ext4")
    subprocess.run(["truncate", "-s", f"{kilobytes}k", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    with _mounted(place, "-o", "loop,errors=remount-ro", str(image)):
        device = place.stat().st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        yield Path(f"/sys/fs/ext4/{name}/trigger_fs_error")


@contextmanager
def _mounted(place: Path, *what: str) -> Iterator[None]:
    place.mkdir()
    subprocess.run(["mount", *what, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)  # also under a box that still has files there


def flip(file: Path, at: int) -> None:
    """The disk gives one bit of it wrong."""
    with file.open("r+b") as opened:
        opened.seek(at)
        byte = opened.read(1)[0]
        opened.seek(at)
        opened.write(bytes([byte ^ 2]))
