"""The disk that can lose power: what it keeps of bytes and names, so that the power tests mean what they say."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bad_disk import NO_FUSE
from real_box import until

from simulators.powerdisk import PowerDisk, PowerError

SEEDS = range(8)
OLD, NEW = b"a" * 5000, b"b" * 5000
WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute(f"PRAGMA synchronous={sys.argv[2]}")
db.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, body BLOB)")
while True:
    n = db.execute("INSERT INTO t (body) VALUES (zeroblob(300))").lastrowid
    print(n, flush=True)
"""

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(NO_FUSE), reason=NO_FUSE)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerDisk]:
    with PowerDisk(tmp_path / "disk", tmp_path / "mnt") as disk:
        disk.mount()
        yield disk


def put(path: Path, content: bytes, *, sync: bool) -> None:
    """Writes from the start, without cutting the file shorter."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def test_a_cut_keeps_what_was_fsynced_and_tears_what_was_not(disk: PowerDisk) -> None:
    file, fates = disk.mountpoint / "file", set[str]()
    for seed in SEEDS:
        put(file, OLD, sync=True)
        put(file, NEW, sync=False)
        put(disk.mountpoint / "other", bytes([seed]) * 5000, sync=True)
        fates |= set(disk.cut(seed).values())
        disk.mount()
        assert len(file.read_bytes()) == 5000
        assert (disk.mountpoint / "other").read_bytes() == bytes([seed]) * 5000
    assert fates == {"kept", "lost", "torn"}


def test_names_go_to_the_disk_in_their_order_and_an_fsync_takes_along_those_before(disk: PowerDisk) -> None:
    left = set[tuple[str, ...]]()
    for seed in SEEDS:
        folder = disk.mountpoint / str(seed)
        folder.mkdir()
        put(folder / "first", OLD, sync=False)
        put(folder / "second", OLD, sync=True)  # and with it the folder, and the name of the first
        put(folder / "third", OLD, sync=False)
        (folder / "second").rename(folder / "fourth")
        (folder / "first").unlink()
        disk.cut(seed)
        disk.mount()
        left.add(tuple(sorted(file.name for file in folder.iterdir())))
    assert left == {
        ("first", "second"),
        ("first", "second", "third"),
        ("first", "fourth", "third"),
        ("fourth", "third"),
    }


def test_fsync_of_the_folder_keeps_a_rename(disk: PowerDisk) -> None:
    for seed in SEEDS[:4]:
        put(disk.mountpoint / "new", str(seed).encode(), sync=True)
        (disk.mountpoint / "new").rename(disk.mountpoint / "file")
        sync_folder(disk.mountpoint)
        disk.cut(seed)
        disk.mount()
        assert (disk.mountpoint / "file").read_bytes() == str(seed).encode()


def test_a_clean_unmount_keeps_all_and_a_disk_in_use_is_not_unmounted(disk: PowerDisk) -> None:
    put(disk.mountpoint / "file", OLD, sync=False)
    with (disk.mountpoint / "file").open("rb"), pytest.raises(PowerError):
        disk.unmount()
    disk.unmount()
    assert list(disk.mountpoint.iterdir()) == []
    disk.mount()
    assert (disk.mountpoint / "file").read_bytes() == OLD


def test_it_freezes_before_the_change_that_was_named(disk: PowerDisk) -> None:
    def python(what: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", f"import pathlib; pathlib.Path({str(file)!r}).{what}"])

    file = disk.mountpoint / "file"
    disk.freeze_at(3)
    assert python("write_bytes(b'x')").wait(20) == 0  # a name and a write
    assert not disk.frozen()
    remover = python("unlink()")
    until(disk.frozen, "it is frozen")
    assert remover.poll() is None
    remover.kill()
    disk.cut(0)
    remover.wait()


def loses_a_commit(disk: PowerDisk, synchronous: str, seed: int) -> bool:
    """Whether, after a cut, SQLite has no longer a row that it had committed."""
    argv = [sys.executable, "-c", WRITER, str(disk.mountpoint / "db"), synchronous]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            committed = int(writer.stdout.readline())
        disk.freeze()
        writer.kill()
        disk.cut(seed)
        committed = max(committed, *map(int, writer.stdout.read().split("\n")[:-1]), 0)
    disk.mount()
    with closing(sqlite3.connect(disk.mountpoint / "db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return True
        return bool(db.execute("SELECT coalesce(max(n), 0) < ? FROM t", [committed]).fetchone()[0])


def test_sqlite_loses_no_commit_with_synchronous_full_and_some_with_normal(disk: PowerDisk) -> None:
    assert not any(loses_a_commit(disk, "FULL", seed) for seed in SEEDS)
    assert any(loses_a_commit(disk, "NORMAL", seed) for seed in range(50))


def test_a_disk_that_lies_keeps_nothing(tmp_path: Path) -> None:
    with PowerDisk(tmp_path / "disk", tmp_path / "mnt", lies=True) as disk:
        disk.mount()
        put(disk.mountpoint / "file", OLD, sync=True)
        sync_folder(disk.mountpoint)
        disk.cut(0)
        assert list(disk.image.iterdir()) == []
