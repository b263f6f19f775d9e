"""Files of evidence on a real disk."""

import errno
import hashlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from drivers.vault import Stored, VaultError, read_recipients, store

PLAIN = b"pictures " * 10_000
PLAIN_SHA256 = hashlib.sha256(PLAIN).hexdigest()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """64 KB; root makes it, as in a container of the tests."""
    if os.geteuid():
        pytest.skip("only root mounts a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_file_stands_under_its_hash_as_it_is(tmp_path: Path) -> None:
    assert store(PLAIN, tmp_path, "front", []) == Stored(PLAIN_SHA256, PLAIN_SHA256, len(PLAIN), False)
    assert names(tmp_path) == [PLAIN_SHA256]
    assert (tmp_path / PLAIN_SHA256).read_bytes() == PLAIN


def test_what_age_decrypts_is_the_plain_file_for_each_recipient(tmp_path: Path) -> None:
    keys = [tmp_path / "one", tmp_path / "two"]
    public = []
    for key in keys:
        made = subprocess.run(["age-keygen", "-o", str(key)], capture_output=True, text=True, check=True)
        public.append(made.stderr.split()[-1])
    media = tmp_path / "media"
    media.mkdir()
    stored = store(PLAIN, media, "front", read_recipients(public))
    assert stored.encrypted
    assert stored.plain_sha256 == PLAIN_SHA256
    data = (media / stored.sha256).read_bytes()
    assert hashlib.sha256(data).hexdigest() == stored.sha256
    assert len(data) == stored.bytes
    assert b"pictures" not in data
    for key in keys:
        decrypted = subprocess.run(
            ["age", "--decrypt", "-i", str(key), str(media / stored.sha256)], capture_output=True, check=True
        )
        assert decrypted.stdout == PLAIN


def test_a_key_that_is_none_is_named() -> None:
    good = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(VaultError, match="found 'age1wrong', allowed is a public key"):
        read_recipients([good, "age1wrong"])


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def spied_fsync(handle: int) -> None:
        done.append("directory" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        fsync(handle)

    def spied_rename(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(Path, "rename", spied_rename)
    store(PLAIN, tmp_path, "front", [])
    assert done == ["file", "rename", "directory"]


def test_a_full_disk_is_told_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(VaultError, match="No space left on device; make room on the disk"):
        store(PLAIN, small_disk, "front", [])
    assert names(small_disk) == []
    assert store(b"small", small_disk, "front", []).bytes == 5


def test_a_write_that_breaks_off_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(VaultError, match="File too large; make room on the disk"):
            store(PLAIN, tmp_path, "front", [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


def test_a_disk_that_does_not_take_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(VaultError, match="Input/output error; check the disk"):
        store(PLAIN, tmp_path, "front", [])
    assert names(tmp_path) == []


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="gone: No such file or directory; make the directory again"):
        store(PLAIN, tmp_path / "gone", "front", [])


def test_what_a_kill_left_half_written_is_taken_over_by_the_next_file(tmp_path: Path) -> None:
    (tmp_path / ".front.tmp").write_bytes(b"half" * 100_000)
    (tmp_path / ".back.tmp").write_bytes(b"another camera's")
    store(PLAIN, tmp_path, "front", [])
    assert names(tmp_path) == [".back.tmp", PLAIN_SHA256]
    assert (tmp_path / PLAIN_SHA256).read_bytes() == PLAIN
