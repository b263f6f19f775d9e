"""Cameras of the simulated world, the disk that their files are on, and what central has of each.

A file is on the disk before anybody is told of it, and a cut leaves it there. What the box sends of it must be its
bytes; what central has is what came without a gap, over a wire that loses, repeats and reorders.
"""

import random
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Protocol

from world_wire import ViolationError

from agent.mail import Message
from agent.media_mail import (
    CameraFile,
    CameraStarted,
    Filed,
    FilesFound,
    OwedFile,
    PieceRead,
    ReadPiece,
    Record,
    TakePicture,
    Unlink,
    Unlinked,
)

CAMERAS: Final = ("gate", "hall")
GOP_S: Final = 2.0
RING_S: Final = 60.0
"""A camera holds no more: a clip that goes on after a step of the clock may want weeks of it."""
PIECE_BYTES_MAX: Final = 32_768
TIME: Final = "2026-11-22T01:00:00Z"
TOLD_MAX: Final = 60
"""Files in one receipt."""


class Owner(Protocol):
    """What the cameras need of the world."""

    rng: random.Random
    seen: Counter[str]
    stormy: bool

    def soon(self, delay_s: float, call: Callable[..., None], *args: Any) -> None: ...
    def tell(self, message: Message) -> None: ...
    def mono_s(self) -> float: ...


class Eyes:
    """The processes of the cameras live as long as the box does; the files outlive it."""

    def __init__(self, world: Owner) -> None:
        self._world = world
        self.spool: dict[str, bytes] = {}
        """On the disk, by name."""
        self.made: dict[str, bytes] = {}
        """All that ever were."""
        self._until_s: dict[str, float] = {}

    # ---- the cameras

    def start(self, known: set[str], garbage: tuple[str, ...]) -> None:
        """The box is up: its files are put in order; its cameras' processes are new, and know nothing."""
        self._sweep(known, garbage)
        self._until_s = dict.fromkeys(CAMERAS, float("-inf"))
        for camera in CAMERAS:
            self._world.soon(self._world.rng.uniform(0.5, 3), self._begin, camera)

    def _begin(self, camera: str) -> None:
        self._world.tell(CameraStarted(camera))

    def wish(self, wish: Record | TakePicture) -> None:
        """What the box tells a camera; now and then it is a slow one, or its process dies of it."""
        rng = self._world.rng
        if self._world.stormy and rng.random() < 0.05:
            self._world.seen["camera processes that died"] += 1
            self._until_s[wish.camera] = float("-inf")
            self._world.soon(rng.uniform(1, 5), self._begin, wish.camera)
        elif isinstance(wish, TakePicture):
            self._world.soon(rng.uniform(0.05, 1), self._picture, wish.camera, wish.at_s)
        else:
            records = self._until_s[wish.camera] > float("-inf")
            self._until_s[wish.camera] = max(self._until_s[wish.camera], wish.until_s)
            if not records:
                from_s = max(wish.from_s, self._world.mono_s() - RING_S)
                self._world.soon(rng.uniform(0.05, 1), self._gop, wish.camera, from_s)

    def _picture(self, camera: str, at_s: float) -> None:
        self._file(camera, at_s - 0.1, at_s - 0.1, self._world.mono_s(), key_frame=True)

    def _gop(self, camera: str, from_s: float) -> None:
        """One GOP after the other, until all that is wanted is there."""
        to_s, now_s = from_s + GOP_S, self._world.mono_s()
        if to_s > now_s:
            self._world.soon(to_s - now_s, self._gop, camera, from_s)
            return
        done = to_s > self._until_s[camera]
        if done:
            self._until_s[camera] = float("-inf")
        self._file(camera, from_s, to_s - 0.04, to_s - 0.04)
        if not done:
            self._world.soon(0.02, self._gop, camera, to_s)

    def _file(self, camera: str, from_s: float, to_s: float, through_s: float, *, key_frame: bool = False) -> None:
        rng = self._world.rng
        data = rng.randbytes(rng.choice((1, 300, 3_000, 9_000, 40_000)))
        if key_frame:
            data = data[:5_000]
        data += rng.randbytes(8)
        name = sha256(data).hexdigest()
        self.spool[name] = self.made[name] = data
        ends_s = to_s if key_frame else from_s + GOP_S
        told = CameraFile(name, name, len(data), "video/mp2t", from_s, to_s, ends_s, key_frame=key_frame)
        self._world.seen["files"] += 1
        self._world.soon(rng.choice((0.0, rng.uniform(0, 0.5))), self._world.tell, Filed(camera, (told,), through_s))

    # ---- the disk

    def ask(self, request: ReadPiece | Unlink) -> None:
        delay_s = self._world.rng.uniform(0, 0.05)
        if isinstance(request, ReadPiece):
            self._world.soon(delay_s, self._read, request)
        else:
            for name in request.files:
                self.spool.pop(name, None)
            self._world.seen["files discarded"] += len(request.files)
            self._world.soon(delay_s, self._world.tell, Unlinked(request.files))

    def _read(self, request: ReadPiece) -> None:
        data = self.spool.get(request.sha256)
        if data is None:
            answer = PieceRead(request.sha256, request.offset, b"", "the file is not there", gone=True)
        else:
            piece = data[request.offset : request.offset + request.bytes]
            answer = PieceRead(request.sha256, request.offset, piece)
        self._world.tell(answer)

    def _sweep(self, known: set[str], garbage: tuple[str, ...]) -> None:
        """A start: what is in `garbage` goes, and what the journal does not know is found."""
        for name in garbage:
            self.spool.pop(name, None)
        unknown = self.spool.keys() - known
        if unknown:
            self._world.seen["files found"] += len(unknown)
            found = (OwedFile(name, 0, "", "status", "", TIME, len(self.spool[name])) for name in sorted(unknown))
            self._world.soon(0.1, self._world.tell, FilesFound(tuple(found)))
        if missing := known - self.spool.keys() - set(garbage):
            raise ViolationError(f"files of the journal that are not on the disk: {missing}")
        if garbage:
            self._world.soon(0.1, self._world.tell, Unlinked(garbage))


class Archive:
    """Central's part: bytes of each file from its start without a gap."""

    def __init__(self, made: dict[str, bytes], seen: Counter[str]) -> None:
        self._made, self._seen = made, seen
        self.has: dict[str, int] = {}
        self._touched: dict[str, None] = {}

    def named(self, event: dict[str, Any]) -> None:
        """An event names files: from then on receipts do too."""
        if event["type"] == "callbox.status.evidence":
            for file in event["data"]["files"]:
                if len(self._made[file["sha256"]]) != file["bytes"]:
                    raise ViolationError(f"{file} has another size")
                self.has.setdefault(file["sha256"], 0)
                self._touch(file["sha256"])

    def take(self, topic: str, payload: bytes) -> None:
        """A piece: kept where it goes on from what is there."""
        _, name, offset = topic.split("/")
        at, true = int(offset), self._made[name]
        if not 0 < len(payload) <= PIECE_BYTES_MAX or true[at : at + len(payload)] != payload:
            raise ViolationError(f"{topic}: these {len(payload)} bytes are not the file's")
        self._seen["pieces"] += 1
        have = self.has.get(name, 0)
        if at > have:
            self._seen["pieces behind a gap"] += 1
        elif at + len(payload) <= have:
            self._seen["pieces that came again"] += 1
        else:
            self.has[name] = at + len(payload)
        self._touch(name)

    def _touch(self, name: str) -> None:
        self._touched.pop(name, None)
        self._touched[name] = None

    def told(self) -> dict[str, int]:
        """For a receipt: the files that something was heard of last."""
        return {name: self.has.get(name, 0) for name in [*self._touched][-TOLD_MAX:]}

    def whole(self, name: str) -> bool:
        return self.has.get(name, 0) == len(self._made[name])
