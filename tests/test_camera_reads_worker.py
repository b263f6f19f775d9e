"""What a camera's process reads at the daemon's word: real processes, a camera on a socket, papers before it."""

import base64
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import cv2
import numpy as np
import pytest
from camera_process import CameraProcess, Words
from camera_server import MULTIPART, CameraServer, forever, part
from papers import code, desk, jpeg
from sim_camera import SimCamera

from drivers.camera_preview import BLOCK, WIDTH, scaled
from drivers.camera_read import codes
from drivers.camera_reads import BUSY, READS_MAX
from simulators.picture import read_frame

pytestmark = pytest.mark.real
ROOT = Path(__file__).parent.parent
HANGS = "it took longer than 2 s"


@contextmanager
def papers(directory: Path, picture: bytes) -> Iterator[CameraProcess]:
    """A camera that always sees the same picture, once its process has some."""
    with CameraServer(forever(MULTIPART, part(picture))) as server, CameraProcess(server.url(), directory) as camera:
        camera.beat(lambda beat: beat["ring_s"] > 0)
        yield camera


def press(camera: CameraProcess, ref: str = "a", at_s: float | None = None, what: str = "codes") -> float:
    at_s = time.monotonic() if at_s is None else at_s
    camera.say({"read": {"ref": ref, "at_s": at_s, "what": [what]}})
    return at_s


def answer(camera: CameraProcess, kind: str = "read") -> Words:
    told: Words = camera.until(lambda words: kind in words)[kind]
    return told


def test_a_press_reads_what_lies_there_after_it_and_its_picture_is_on_the_disk(tmp_path: Path) -> None:
    picture = jpeg(desk(code("票号 0042", "QRCode")))
    with papers(tmp_path, picture) as camera:
        at_s = press(camera)
        told = answer(camera)
    assert told["ref"] == "a"
    assert told["codes"] == [{"format": "qr", "code": "票号 0042"}]
    assert told["reason"] == ""
    assert told["at_s"] >= at_s
    assert told["file"]["from_s"] == told["at_s"]
    assert told["file"]["key_frame"] is True
    assert (tmp_path / told["file"]["sha256"]).read_bytes() == picture


LATE_S = 0.5
"""So much later than it was drawn a picture may come, on a machine that does other things too."""


def test_it_is_the_picture_of_the_press_that_is_read_and_kept(tmp_path: Path) -> None:
    """The simulated camera draws into each picture when it was taken."""
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path) as camera:
        camera.beat(lambda beat: beat["ring_s"] >= 1)
        at_s = press(camera)
        told = answer(camera)
        stored = np.frombuffer((tmp_path / told["file"]["sha256"]).read_bytes(), np.uint8)
    frame = read_frame(cv2.imdecode(stored, cv2.IMREAD_COLOR))
    assert frame is not None
    assert at_s - LATE_S < frame[1] / 1000 < told["at_s"] + 0.1
    assert at_s <= told["at_s"] <= at_s + 1


def test_a_stream_whose_next_key_picture_is_far_has_the_one_before_the_press_read(tmp_path: Path) -> None:
    with SimCamera(rtsp=True, codec="h264", gop=60) as sim, CameraProcess(sim.url, tmp_path) as camera:
        camera.beat(lambda beat: beat["ring_s"] >= 1)
        at_s = press(camera)
        told = answer(camera)
    assert told["reason"] == "nothing was found in the picture"
    assert at_s - 5 < told["at_s"] < at_s + 1
    assert told["file"]["media_type"] == "video/mp2t"


def test_presses_in_a_row_are_read_one_after_the_other_and_too_many_are_refused(tmp_path: Path) -> None:
    with papers(tmp_path, jpeg(desk(code("0042", "QRCode")))) as camera:
        refs = [str(number) for number in range(READS_MAX + 3)]
        for ref in refs:
            press(camera, ref)
        told = [answer(camera) for _ in refs]
    assert sorted(each["ref"] for each in told) == refs
    read = [each["ref"] for each in told if each["reason"] == ""]
    assert read == sorted(read)
    assert READS_MAX <= len(read) < len(refs)
    assert {each["reason"] for each in told} == {"", BUSY}


def test_a_camera_that_is_away_is_told_within_the_second(tmp_path: Path) -> None:
    with CameraProcess("http://127.0.0.1:1/", tmp_path) as camera:
        camera.quality("offline")
        press(camera)
        told = answer(camera)
    assert told["reason"].startswith("the camera brings no picture: ")
    assert told["at_s"] is None
    assert "file" not in told


def child_of(camera: CameraProcess, module: str) -> int:
    """The process that reads, as soon as it is there."""
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        for task in Path(f"/proc/{camera.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if module in Path(f"/proc/{pid}/cmdline").read_text():
                    return int(pid)
    raise AssertionError(f"no process {module}")


def test_a_child_that_is_killed_is_told_and_the_next_press_is_read(tmp_path: Path) -> None:
    with papers(tmp_path, jpeg(desk(code("0042", "QRCode")))) as camera:
        press(camera)
        os.kill(child_of(camera, "camera_read"), signal.SIGKILL)
        told = answer(camera)
        assert told["reason"] == "its process crashed, or was ended by its limits (signal 9)"
        assert (tmp_path / told["file"]["sha256"]).exists()
        press(camera, "b")
        assert answer(camera)["codes"] == [{"format": "qr", "code": "0042"}]


def test_a_child_that_hangs_is_killed_and_holds_up_neither_beats_nor_the_next_press(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process runs with drivers of which the reading one never answers."""
    (tmp_path / "media").mkdir()
    copytree(ROOT / "drivers", tmp_path / "drivers")
    reading = tmp_path / "drivers/camera_read.py"
    hangs = reading.read_text(encoding="utf-8").replace("wait_s=10", "wait_s=2")
    hangs = hangs.replace("    picture_child.serve(_answer)", "    import signal\n\n    signal.pause()")
    assert hangs.count("signal.pause") == hangs.count("wait_s=2,") == 1
    reading.write_text(hangs, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)  # camera_process hands sys.path on
    monkeypatch.chdir(tmp_path)
    with papers(tmp_path / "media", jpeg(desk())) as camera:
        said = len(camera.said)
        press(camera, "a")
        press(camera, "b")
        pid = child_of(camera, "camera_read")
        told = [answer(camera), answer(camera)]
        beats = sum("beat" in words for words in camera.said[said:])
    assert [(each["ref"], each["reason"]) for each in told] == [("a", HANGS), ("b", HANGS)]
    assert beats >= 2
    assert not Path(f"/proc/{pid}").exists()


def test_a_disk_that_takes_nothing_costs_the_picture_and_not_the_reading(tmp_path: Path) -> None:
    with papers(tmp_path / "not there", jpeg(desk(code("0042", "QRCode")))) as camera:
        press(camera)
        told = answer(camera)
    assert told["codes"] == [{"format": "qr", "code": "0042"}]
    assert "its picture is not stored" in told["reason"]


# ---- preview


def shown(told: Words) -> Any:
    assert told["reason"] == ""
    return cv2.imdecode(np.frombuffer(base64.b64decode(told["jpeg"]), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("pixelate", [True, False])
def test_a_preview_is_small_and_in_blocks_unless_the_config_says_otherwise(tmp_path: Path, pixelate: bool) -> None:
    with papers(tmp_path, jpeg(desk(code("0042", "QRCode", 12)))) as camera:
        camera.say({"preview": {"ref": "1", "pixelate": pixelate}})
        picture = shown(answer(camera, "preview"))
        files = [*tmp_path.iterdir()]
    assert picture.shape == (264 if pixelate else 270, WIDTH, 3)
    assert (codes(picture) == []) == pixelate
    assert files == []


def test_each_block_of_a_pixelated_preview_has_one_colour() -> None:
    picture = scaled(desk(code("0042", "QRCode", 12)), pixelate=True)
    blocks = picture.reshape(264 // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK, 3)
    assert (np.ptp(blocks.astype(int), axis=(1, 3)) == 0).all()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    assert scaled(desk(width=333, height=7), pixelate=True).shape == (BLOCK, WIDTH, 3)


def test_a_preview_of_a_camera_that_is_away_says_why(tmp_path: Path) -> None:
    with CameraProcess("http://127.0.0.1:1/", tmp_path) as camera:
        camera.quality("offline")
        camera.say({"preview": {"ref": "1", "pixelate": True}})
        told = answer(camera, "preview")
    assert told["reason"].startswith("the camera brings no picture: ")
    assert "jpeg" not in told
