"""A case with evidence, as a box leaves it: events that were signed, and files of a camera that ffmpeg made."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import clips
import pyrage
from written import SIGNER

from agent.cli import main
from agent.events import Chain, Draft, Event, Stamp, rfc3339, uuid7
from agent.identity import Ed25519Signer, b64

PRESSED_US: Final = 1_795_311_281_323_457
CASE: Final = uuid7(PRESSED_US, 1)
SOURCE: Final = "/callbox/jiangyang/kiosk-017"
KEY: Final = b64(SIGNER.public)
TYPES: Final = {"ts": "video/mp2t", "avi": "video/x-msvideo", "jpg": "image/jpeg"}
# pictures at 15 a second, each of them up to 20 ms late, as cameras are
SOURCE_FILTER: Final = "testsrc2=size=160x120:rate=15:duration=5,settb=1/90000,setpts='(N/15+0.02*mod(N*7,11)/11)/TB'"


@dataclass(frozen=True)
class Made:
    """A plain file. times_s: of its pictures as shown, from the first one of its recording on."""

    suffix: str
    data: bytes
    times_s: tuple[float, ...]


@cache
def recording(codec: str) -> tuple[Made, ...]:
    """Five seconds as files of about a second: h264 (with B-frames), hevc or mjpeg."""
    h264 = ["-c:v", "libx264", "-bf", "2", "-x264-params", "keyint=15:min-keyint=15:scenecut=0:open-gop=0"]
    hevc = ["-c:v", "libx265", "-x265-params", "keyint=15:min-keyint=15:open-gop=0:log-level=error"]
    encoder = {"h264": h264, "hevc": hevc, "mjpeg": ["-c:v", "mjpeg", "-q:v", "5"]}[codec]
    suffix = "avi" if codec == "mjpeg" else "ts"
    with TemporaryDirectory() as folder:
        split = ["-f", "segment", "-segment_time", "0.95", "-segment_format", {"avi": "avi", "ts": "mpegts"}[suffix]]
        graph, late = SOURCE_FILTER.split(",", 1)
        times = ["-vf", late, "-enc_time_base", "1:90000"] if suffix == "ts" else ["-reset_timestamps", "1"]
        kept = ["-vsync", "passthrough", *times]
        ffmpeg("-f", "lavfi", "-i", graph, *encoder, *split, *kept, f"{folder}/%d.{suffix}")
        paths = sorted(Path(folder).iterdir(), key=lambda path: int(path.stem))
        found = [(path.read_bytes(), shown_s(path)) for path in paths]
    began = found[0][1][0]
    if suffix == "avi":  # each counts from nothing
        return tuple(
            Made(suffix, data, tuple(at + number for at in times)) for number, (data, times) in enumerate(found)
        )
    return tuple(Made(suffix, data, tuple(round(at - began, 6) for at in times)) for data, times in found)


def jpeg() -> Made:
    return Made("jpg", clips.jpeg("160x120"), (0.0,))


def ffmpeg(*args: str) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", *args], check=True, capture_output=True).stdout


def shown_s(path: Path) -> list[float]:
    """The times of a film's pictures as ffprobe reads them, in the order in which they are shown."""
    asked = ["-show_entries", "packet=pts_time", "-of", "csv=p=0"]
    done = subprocess.run(["ffprobe", "-v", "error", *asked, str(path)], check=True, capture_output=True, text=True)
    return sorted(float(line.strip(",")) for line in done.stdout.split())


@dataclass
class Scene:
    """A state directory in the making: its events and its files."""

    folder: Path
    recipients: list[Any] = field(default_factory=list)
    signer: Ed25519Signer = SIGNER
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.media.mkdir(parents=True)
        self.chain = Chain(SOURCE, "9b1deb4d", "5f0c2a9e", self.signer)

    @property
    def media(self) -> Path:
        return self.folder / "media"

    def record(self, type: str, after_s: float, data: Any, *, id: str = "", synced: bool = True) -> Event:
        """after_s: from the press on."""
        wall_us = PRESSED_US + round(after_s * 1e6)
        stamp = Stamp(1081.2 + after_s, wall_us, synced)
        event = self.chain.seal(Draft(id or uuid7(wall_us, 7 + self.chain.seq), type, "alarm-1", stamp, data))
        self.events.append(event)
        return event

    def press(self, after_s: float = 0, count: int = 1) -> Event:
        said = {"transition": "raised", "input": "alarm-1", "case": CASE, "count": count}
        return self.record("alarm.panic", after_s, said, id=CASE if count == 1 else "")

    def store(self, made: Made, began_s: float, role: str = "during") -> dict[str, Any]:
        """Puts a file into the folder of media; what is signed about it. began_s: when its recording began."""
        stored = pyrage.encrypt(made.data, self.recipients) if self.recipients else made.data
        name = sha256(stored).hexdigest()
        (self.media / name).write_bytes(stored)
        at = [rfc3339(PRESSED_US + round((began_s + made.times_s[end]) * 1e6)) for end in (0, -1)]
        said = {"sha256": name, "plain_sha256": sha256(made.data).hexdigest(), "bytes": len(stored)}
        said |= {"media_type": TYPES[made.suffix], "from": at[0], "to": at[1], "role": role}
        return said | ({"encrypted": "age"} if self.recipients else {})

    def evidence(self, camera: str, after_s: float, files: Sequence[dict[str, Any]], *, last: bool = False) -> Event:
        said: dict[str, Any] = {"case": CASE, "camera": camera, "files": list(files)}
        return self.record("status.evidence", after_s, said | ({"last": True} if last else {}))

    def about(self, what: str, after_s: float) -> None:
        said = {"case": CASE, "by": "/operators/duty-desk", "note": "a patrol is on its way"}
        self.record(f"audit.{what}", after_s, said)

    def write(self) -> Path:
        """The events as `callbox events --json` prints them."""
        path = self.folder / "events.jsonl"
        path.write_bytes(b"".join(event.body + b"\n" for event in self.events))
        return path

    def clip(self, camera: str, codec: str, began_s: float = -2.1, *, leave_out: Sequence[int] = ()) -> None:
        """Two events with the five seconds of a recording."""
        made = [made for number, made in enumerate(recording(codec)) if number not in leave_out]
        roles = ["before" if began_s + one.times_s[-1] < 0 else "during" for one in made]
        files = [self.store(one, began_s, role) for one, role in zip(made, roles, strict=True)]
        self.evidence(camera, 0.4, files[:2])
        self.evidence(camera, 3.1, files[2:], last=True)


def whole(folder: Path, recipients: Sequence[Any] = ()) -> Scene:
    """A press with two cameras, seen to and closed; with events of others before, between and after."""
    scene = Scene(folder, list(recipients))
    scene.record("status.started", -900, {"agent": "1.0.0", "last_end": "clean"})
    scene.record("scan.code", -60, {"input": "desk", "code": "T-1"})
    scene.press()
    scene.evidence("side", 0.2, [scene.store(jpeg(), 0.1)])
    scene.clip("front", "h264", leave_out=[3])
    scene.record("scan.code", 5, {"input": "desk", "code": "T-2"})
    scene.clip("side", "mjpeg", -1.9)
    scene.press(6.5, 2)
    scene.about("acknowledged", 41)
    scene.about("closed", 912)
    scene.record("scan.code", 1000, {"input": "desk", "code": "T-3"})
    scene.record("scan.code", 1001, {"input": "desk", "code": "T-4"})
    scene.write()
    return scene


def exported(scene: Scene, out: Path, *more: str, events: Path | None = None, key: str = KEY) -> tuple[int, Any]:
    """Runs `callbox export`; its exit code and the manifest."""
    file = str(events or scene.folder / "events.jsonl")
    keyed = ["--key", key] if key else []
    code = main(["export", CASE, "--events", file, "--media", str(scene.media), "--out", str(out), *keyed, *more])
    return code, json.loads((out / "manifest.json").read_text(encoding="utf-8"))


def faults(manifest: dict[str, Any]) -> list[str]:
    """The codes of all that is wrong."""
    return [fault["code"] for fault in manifest["faults"]] + [
        entry["problem"]["code"] for entry in manifest["files"] if "problem" in entry
    ]


def verified(out: Path, key: str = KEY) -> tuple[int, list[str]]:
    """The verifier as whoever received the export runs it; its exit code and the lines of its faults."""
    command = [sys.executable, "-I", str(out / "verify.py"), str(out), "--key", key]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith("FAULT")]
