"""A file system that can lose power: what was fsynced stays, of the rest some, all or none.

It keeps what ext4 with `data=ordered` promises, and no more:

    bytes    by fsync or fdatasync of the file. What was written since is torn by the sector (`simulators.tear`).
    names    creations, renames and removals go to the disk in their order. fsync of a folder takes along all up to the
             last change of a name in it; fsync of a file, up to the last creation or renaming of that file. Of later
             ones a cut keeps the first few, or none.
    size     a file cut shorter since its last fsync may have either size.

Modes and owners stay as they are; there are no links, no times, and no folder is renamed. A clean unmount keeps all.

The disk is a folder, `image`, read at `mount` and written at a cut or an unmount: what a cut left can be looked at
there. mmap works as SQLite wants it for its WAL: the kernel's page cache is in use, and dies with the mount.

`simulators.powerdisk` runs it, as a process of its own:

    python -m simulators.powerfs IMAGE MOUNTPOINT [--lies]
    stdin:  freeze            from the answer on nothing reaches the disk any more, and nobody is answered
            freeze-at N       the same before the N-th change from now: a write, another name, an fsync
            cut SEED          once it is frozen: tears, writes `image`, and ends; the end of stdin ends it as well
    stdout: mounted, frozen, and after a cut the fates as JSON
"""

import argparse
import errno
import json
import os
import random
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import mfusepy as fuse  # type: ignore[import-untyped]

from simulators.powerdisk import Fate, unmount
from simulators.tear import torn

SYNC_S: Final = 0.002
"""How long an fsync takes, as on a card: a cut may fall into it."""


class _Node:
    """A file, folder or socket: its bytes, and those that are on the disk."""

    def __init__(self, mode: int, owner: tuple[int, int], data: bytes = b"") -> None:
        self.mode, self.owner, self.durable = mode, owner, data
        self.data = bytearray(data)


_Change = dict[str, _Node | None]
"""Paths that got another node, or none, in one step that is done wholly or not at all."""


class _PowerFs:
    """The operations of the file system, as mfusepy calls them, one at a time; each may raise OSError."""

    use_ns = True

    def __init__(self, image: Path, *, lies: bool) -> None:
        self._image, self._lies = image, lies
        self._durable: dict[str, _Node] = {}
        """By path; the root is "/"."""
        self._log: list[_Change] = []
        """Since then, oldest first."""
        self._open: dict[int, _Node] = {}
        self._handles = 0
        self._power, self._freezing = threading.Lock(), threading.Lock()
        """The first is held while anything changes, and for ever once it is frozen."""
        self._frozen = False
        self.freeze_at = 0
        """After so many changes it freezes by itself; 0: it does not."""
        self._load()
        self._nodes = dict(self._durable)

    # ---- power

    def freeze(self) -> None:
        """Nothing changes any more; said once."""
        with self._freezing:
            if not self._frozen:
                self._frozen = self._power.acquire()
                print("frozen", flush=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.freeze_at -= 1
        if self.freeze_at == 0:
            self.freeze()
        with self._power:
            yield

    def cut(self, rng: random.Random) -> dict[str, Fate]:
        """Leaves on the disk what a power cut leaves. It is frozen."""
        if not self._lies:
            self._commit(rng.randint(0, len(self._log)))
        fates: dict[str, Fate] = {}
        for path, node in self._durable.items():
            old, new = node.durable, bytes(node.data)
            if old != new:
                node.data[:] = self._torn(old, new, rng)
                fates[path] = "kept" if node.data == new else "lost" if node.data == old else "torn"
        self._save(self._durable)
        return fates

    def _torn(self, old: bytes, new: bytes, rng: random.Random) -> bytes:
        if self._lies:
            return old
        if len(new) < len(old) and rng.random() < 0.5:
            old = old[: len(new)]
        return torn(old, new, rng)

    def unmounted(self) -> None:
        """All of it is on the disk, as after any clean unmount."""
        self._save(self._nodes)

    def _commit(self, count: int) -> None:
        for change in self._log[:count]:
            _apply(change, self._durable)
        del self._log[:count]

    def _commit_last(self, wanted: Callable[[_Change], bool]) -> None:
        self._commit(max((number for number, change in enumerate(self._log, 1) if wanted(change)), default=0))

    def _load(self) -> None:
        self._durable["/"] = _Node(stat.S_IFDIR | 0o755, (os.getuid(), os.getgid()))
        for entry in sorted(self._image.rglob("*")):
            found = entry.lstat()
            data = entry.read_bytes() if stat.S_ISREG(found.st_mode) else b""
            path = f"/{entry.relative_to(self._image)}"
            self._durable[path] = _Node(found.st_mode, (found.st_uid, found.st_gid), data)

    def _save(self, nodes: dict[str, _Node]) -> None:
        shutil.rmtree(self._image)
        self._image.mkdir()
        for path, node in sorted(nodes.items()):
            file = self._image / path[1:]
            if stat.S_ISREG(node.mode):
                file.write_bytes(node.data)
            elif not stat.S_ISDIR(node.mode):
                os.mknod(file, node.mode)
            elif path != "/":
                file.mkdir()
            if path != "/":
                os.chown(file, *node.owner)
                file.chmod(stat.S_IMODE(node.mode))

    # ---- names

    def _node(self, path: str) -> _Node:
        if path not in self._nodes:
            raise OSError(errno.ENOENT, path)
        return self._nodes[path]

    def _change(self, change: _Change) -> None:
        with self._changing():
            _apply(change, self._nodes)
            self._log.append(change)

    def _made(self, path: str, mode: int) -> _Node:
        uid, gid, _ = fuse.fuse_get_context()
        node = _Node(mode, (uid, gid))
        self._change({path: node})
        return node

    def _children(self, path: str) -> list[str]:
        return [other for other in self._nodes if other != "/" and os.path.dirname(other) == path]  # noqa: PTH120

    def create(self, path: str, mode: int, _flags: int) -> int:
        return self._handle(self._made(path, mode | stat.S_IFREG))

    def mknod(self, path: str, mode: int, _dev: int) -> None:
        self._made(path, mode)

    def mkdir(self, path: str, mode: int) -> None:
        self._made(path, mode | stat.S_IFDIR)

    def unlink(self, path: str) -> None:
        self._node(path)
        self._change({path: None})

    def rmdir(self, path: str) -> None:
        if self._children(path):
            raise OSError(errno.ENOTEMPTY, path)
        self.unlink(path)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        node = self._node(old)
        if flags or stat.S_ISDIR(node.mode):
            raise OSError(errno.EINVAL, old)
        if old != new:
            self._change({old: None, new: node})

    def fsyncdir(self, path: str, _datasync: int, _handle: int) -> None:
        self._synced(lambda change: any(os.path.dirname(changed) == path for changed in change))  # noqa: PTH120

    def readdir(self, path: str, _handle: int) -> list[str]:
        return [".", "..", *(os.path.basename(child) for child in self._children(path))]  # noqa: PTH119

    # ---- files

    def _handle(self, node: _Node) -> int:
        self._handles += 1
        self._open[self._handles] = node
        return self._handles

    def open(self, path: str, flags: int) -> int:
        node = self._node(path)
        if flags & os.O_TRUNC:
            self.truncate(path, 0)
        return self._handle(node)

    def release(self, _path: str, handle: int) -> None:
        del self._open[handle]

    def read(self, _path: str, size: int, offset: int, handle: int) -> bytes:
        return bytes(self._open[handle].data[offset : offset + size])

    def write(self, _path: str, data: bytes, offset: int, handle: int) -> int:
        with self._changing():
            content = self._open[handle].data
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path: str, length: int, handle: int | None = None) -> None:
        with self._changing():
            content = self._open[handle].data if handle else self._node(path).data
            content.extend(bytes(max(0, length - len(content))))
            del content[length:]

    def fsync(self, _path: str, _datasync: int, handle: int) -> None:
        node = self._open[handle]
        self._synced(lambda change: node in change.values(), node)

    def _synced(self, wanted: Callable[[_Change], bool], node: _Node | None = None) -> None:
        time.sleep(SYNC_S)
        with self._changing():
            if self._lies:
                return
            if node is not None:
                node.durable = bytes(node.data)
            self._commit_last(wanted)

    # ---- what there is beside bytes and names

    def init(self, _root: str) -> None:
        print("mounted", flush=True)

    def getattr(self, path: str, _handle: int | None = None) -> dict[str, Any]:
        node = self._node(path)
        uid, gid = node.owner
        return {"st_mode": node.mode, "st_nlink": 1, "st_size": len(node.data), "st_uid": uid, "st_gid": gid}

    def chmod(self, path: str, mode: int) -> None:
        self._node(path).mode = mode

    def chown(self, path: str, uid: int, gid: int) -> None:
        node = self._node(path)
        node.owner = (node.owner[0] if uid == -1 else uid, node.owner[1] if gid == -1 else gid)

    def statfs(self, _path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 20, "f_bfree": 1 << 19, "f_bavail": 1 << 19}


def _apply(change: _Change, nodes: dict[str, _Node]) -> None:
    for path, node in change.items():
        if node is None:
            del nodes[path]
        else:
            nodes[path] = node


def _obey(disk: _PowerFs, mountpoint: str) -> None:
    """Does what stdin says; never returns."""
    for line in sys.stdin:
        match line.split():
            case ["freeze"]:
                disk.freeze()
            case ["freeze-at", count]:
                disk.freeze_at = int(count)
            case ["cut", seed]:
                print(json.dumps(disk.cut(random.Random(int(seed)))), flush=True)
                os._exit(0)  # without a word to the kernel, as a power cut
    unmount(mountpoint, lazily=True)
    os._exit(1)


def main() -> None:
    """Serves until it is cut or unmounted."""
    parser = argparse.ArgumentParser(prog="python -m simulators.powerfs")
    parser.add_argument("image", type=Path)
    parser.add_argument("mountpoint")
    parser.add_argument("--lies", action="store_true")
    args = parser.parse_args()
    disk = _PowerFs(args.image, lies=args.lies)
    threading.Thread(target=_obey, args=(disk, args.mountpoint), name="power", daemon=True).start()
    fuse.FUSE(disk, args.mountpoint, foreground=True, nothreads=True, kernel_cache=True)
    disk.unmounted()


if __name__ == "__main__":
    main()
