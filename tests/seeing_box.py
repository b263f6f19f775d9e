"""A real box with a simulated camera, and what came of a case at its real central: decrypted, decoded, numbers read.

The simulated camera draws into each picture which one it is and the monotonic millisecond at which it was taken
(simulators/picture.py), so that a picture that is missing, or from another time, shows.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camera_clips import FORMS, elementary
from pyrage import decrypt, x25519
from real_box import BUTTON, RealBox, until
from sim_camera import SimCamera, pictures

from drivers.packets import Codec
from simulators.picture import read_frame

FPS = 10
BEFORE_S, AFTER_S = 3, 2
IDENTITY = x25519.Identity.generate()


@dataclass(frozen=True, slots=True)
class File:
    """A file as its event names it, and its bytes in the clear."""

    told: dict[str, Any]
    plain: bytes

    @property
    def form(self) -> str:
        return FORMS[self.told["media_type"]]

    def numbers(self, directory: Path) -> list[tuple[int, int]]:
        """(number, ms) of each picture, decoded by OpenCV; one that nobody can read fails."""
        path = directory / self.told["sha256"]
        path.write_bytes(self.plain)
        found = []
        for picture in pictures(path):
            number = read_frame(picture)
            assert number is not None, self.told
            found.append(number)
        return found

    def stream(self, codec: Codec) -> bytes:
        return elementary(self.plain, self.form, codec)


def camera_of(url: str, name: str = "front", **more: Any) -> dict[str, Any]:
    """Its entry in the config."""
    return {"id": name, "source": url, "before_s": BEFORE_S, "after_s": AFTER_S, **more}


def button(*cameras: str) -> dict[str, Any]:
    return {"id": "alarm-1", "driver": "gpio0", "pin": BUTTON, "kind": "panic", "debounce_ms": 0, "cameras": [*cameras]}


@contextmanager
def seeing(directory: Path, **options: Any) -> Iterator[tuple[RealBox, SimCamera]]:
    """A box that is armed, its camera, which has a full ring, and a central that is there. options: of the camera."""
    with SimCamera(**{"fps": FPS, "gop": FPS, **options}) as camera, watching(directory, camera.url) as box:
        ready(box)
        yield box, camera


@contextmanager
def watching(directory: Path, *urls: str, **changes: Any) -> Iterator[RealBox]:
    """The same box at cameras of these addresses, `front` and then `camera-1`, `camera-2`; it is armed."""
    cameras = [camera_of(url, f"camera-{n}" if n else "front") for n, url in enumerate(urls)]
    own: dict[str, Any] = {
        "inputs": [button(*(camera["id"] for camera in cameras))],
        "cameras": cameras,
        "evidence": {"recipients": [str(IDENTITY.to_public())]},
    }
    directory.mkdir(exist_ok=True)
    with RealBox(directory, **own | changes) as box:
        box.broker.start()
        box.start_central()
        box.power_on()
        box.armed()
        yield box


def camera(box: RealBox, name: str = "front") -> dict[str, Any]:
    """What `callbox status` says of it; {} while it says nothing."""
    return next((each for each in box.status().get("cameras", []) if each["id"] == name), {})


def ready(box: RealBox, name: str = "front") -> None:
    """Waits until the ring holds what is wanted from before a press, and a second more: its newest picture is late."""
    until(lambda: camera(box, name).get("ring_s", 0) >= BEFORE_S + 1, f"{name} has a full ring")


def ended(box: RealBox, name: str = "front", cases: int = 1) -> list[dict[str, Any]]:
    """Waits until clips of so many cases have ended, and all of them is at central; every evidence event's data."""

    def told() -> list[dict[str, Any]]:
        events = (event for event in box.stored("status") if event["type"] == "callbox.status.evidence")
        return [event["data"] for event in events if event["data"]["camera"] == name]

    until(lambda: sum(data.get("last", False) for data in told()) >= cases, f"{cases} clips of {name} have ended")
    box.owes_nothing()
    return told()


def files(box: RealBox, events: list[dict[str, Any]], case: str = "") -> list[File]:
    """The files of these events (of a case) as central has them on its disk, decrypted, in the order of their times."""
    named = {
        file["sha256"]: file for data in events for file in data["files"] if case in ("", data["case"])
    }  # two cases share files
    found = []
    for sha256, told in named.items():
        stored = (box.store.with_name(f"{box.store.name}.media") / sha256).read_bytes()
        found.append(File(told, decrypt(stored, [IDENTITY]) if told.get("encrypted") == "age" else stored))
    return sorted(found, key=lambda file: (file.told.get("key_frame", False), file.told["from"]))


def events(box: RealBox, type: str) -> list[dict[str, Any]]:
    """Those of a type in the box's own journal."""
    told: list[dict[str, Any]] = [json.loads(body) for body in box.journal()]
    return [each for each in told if each["type"] == f"callbox.{type}"]
