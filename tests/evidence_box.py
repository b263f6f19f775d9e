"""A box with cameras on the bench, and files for it: the world of the tests about evidence."""

import random
from hashlib import sha256
from typing import Any

import pytest
from bench_box import YAML, Bench
from fake_journal import FakeJournal

from agent.mail import Publish
from agent.media_mail import CameraFile

CAMERAS = (
    YAML.replace("kind: panic}", "kind: panic, cameras: [front, back]}")
    .replace("kind: holdup}", "kind: holdup, cameras: [front]}")
    .replace("kind: intrusion}", "kind: intrusion, cameras: [back], capture: picture}")
    .replace("kind: cancel}", "kind: cancel, cameras: [front]}")
    .replace("kind: patrol}", "kind: patrol, cameras: [front], capture: clip}")
    .replace("kind: scan}", "kind: scan, cameras: [front]}")
    + """\
cameras:
  - {id: front, source: "rtsp://10.0.0.2/main", before_s: 10, after_s: 20}
  - {id: back, source: "http://10.0.0.3/video.mjpg", before_s: 5, after_s: 60}
"""
)


class Eyes(Bench):
    """Two cameras. The panic button wants both, the holdup button the front one, a scan a picture of that."""

    def __init__(self, more: str = "", journal: FakeJournal | None = None, *, start: bool = True) -> None:
        super().__init__(CAMERAS + more, journal, start=start)

    def told(self, case: str = "", camera: str = "") -> list[dict[str, Any]]:
        """The status.evidence of a case and a camera; of all without."""
        found = self.of("status.evidence")
        return [data for data in found if case in ("", data["case"]) and camera in ("", data["camera"])]

    def names(self, case: str, camera: str) -> list[str]:
        """The files that are evidence of a case, in the order of telling."""
        return [file["sha256"] for data in self.told(case, camera) for file in data["files"]]

    @property
    def pieces(self) -> list[tuple[str, int, bytes]]:
        """Name, offset and bytes of what was sent over the sessions for media."""
        sent = [message for message in self.sent if message.topic.startswith("media/")]
        return [(*_place(message), message.payload) for message in sent]

    def has(self, **sizes: int) -> None:
        """Central says so much of each file; by the first letters of its name, or `all=1`: all of each."""
        names = list(self.spool)
        if "all" in sizes:
            media = {name: len(data) for name, data in self.spool.items()}
        else:
            media = {next(n for n in names if n.startswith(part[1:])): size for part, size in sizes.items()}
        self.receipt(media=media)


def _place(message: Publish) -> tuple[str, int]:
    _, name, offset = message.topic.split("/")
    return name, int(offset)


def picture(seed: int, size: int = 1_000) -> bytes:
    """Bytes of a file; each seed makes another one."""
    return random.Random(seed).randbytes(size)


def name_of(data: bytes) -> str:
    return sha256(data).hexdigest()


def camera_file(
    data: bytes, from_s: float, to_s: float, ends_s: float | None = None, *, key_frame: bool = False
) -> CameraFile:
    name = name_of(data)
    return CameraFile(name, name, len(data), "video/mp2t", from_s, to_s, ends_s or to_s, key_frame=key_frame)


@pytest.fixture
def eyes() -> Eyes:
    """Its session stands, and the start's own events are at central."""
    made = Eyes()
    made.connect()
    made.receipt(through=len(made.journal.events))
    return made


def near(seconds: float) -> Any:
    """A time that may have been through the wall clock, in microseconds."""
    return pytest.approx(seconds, abs=1e-5)


def case_of(box: Bench, type: str = "alarm.panic") -> str:
    """The case of the newest event of a type."""
    case: str = box.of(type)[-1]["case"]
    return case
