"""Masks in a real camera process, and on the whole way to central: nothing that is hidden is anywhere."""

import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import masked
import numpy as np
import pytest
from camera_clips import packets_of
from camera_process import CameraProcess, Words, good, soaked
from real_box import AMBER
from seeing_box import BEFORE_S, button, camera_of, ended, files, ready, watching
from sim_camera import SimCamera, pictures

from simulators.picture import read_frame

pytestmark = pytest.mark.real

ENCODER_MS = 1_000
"""So long an encoder and a decoder may hold a picture back."""
CAMERAS: dict[str, dict[str, Any]] = {
    "http": {},
    "h264": {"codec": "h264"},
    "h264-b-frames": {"codec": "h264", "bframes": 2, "sdp_only": True},
    "hevc": {"codec": "hevc"},
    "rtsp-mjpeg": {"codec": "mjpeg", "rtsp": True},
}


def shown(files: list[Words], media: Path) -> list[tuple[int, int]]:
    """(number, ms) of each picture; each is black where it has to be, and not elsewhere."""
    numbers = []
    for file in files:
        for picture in pictures(media / file["sha256"]):
            masked.check(picture)
            number = read_frame(picture)
            assert number is not None, file
            numbers.append(number)
    return numbers


@pytest.mark.parametrize("name", soaked(*CAMERAS, here=("h264-b-frames",)))
def test_every_picture_on_the_disk_is_black_under_its_masks_and_has_its_time(tmp_path: Path, name: str) -> None:
    with (
        SimCamera(gop=15, **CAMERAS[name]) as sim,
        CameraProcess(sim.url, tmp_path, masks=masked.MASKS, look_s=0.5) as camera,
    ):
        good(camera, 3)
        now_s = time.monotonic()
        camera.say({"picture": now_s})
        camera.say({"record": [now_s - 2, now_s + 1]})
        alone, *files = camera.files(now_s + 1)
        beat = camera.beat(lambda _: True)
        assert camera.end() == 0
    assert (alone["media_type"], alone["key_frame"]) == ("image/jpeg", True)
    assert {file["media_type"] for file in files} == {"video/x-msvideo"}
    assert (beat["codec"], beat["width"], beat["height"], beat["bad"]) == ("mjpeg", 640, 360, 0)
    assert {path.name for path in tmp_path.iterdir()} == {file["sha256"] for file in (alone, *files)}
    assert len(shown([alone], tmp_path)) == 1
    numbers = shown(files, tmp_path)
    assert len(numbers) >= 14
    assert all(1 <= after - before <= 15 for (before, _), (after, _) in pairwise(numbers))
    for file in files:
        drawn_ms = [ms for _, ms in shown([file], tmp_path)]
        assert -1 <= 1000 * file["from_s"] - drawn_ms[0] <= ENCODER_MS
        assert -1 <= 1000 * file["to_s"] - drawn_ms[-1] <= ENCODER_MS
        if name != "http":  # which tells no times
            packets = packets_of((tmp_path / file["sha256"]).read_bytes(), "avi")
            times_ms = [1000 * float(packet["pts_time"]) for packet in packets if int(packet["size"])]
            assert times_ms == pytest.approx([ms - drawn_ms[0] for ms in drawn_ms], abs=2)


@pytest.mark.parametrize("name", soaked("http", "h264", "hevc", here=("http",)))
def test_a_camera_that_changes_its_size_is_black_in_the_same_places(tmp_path: Path, name: str) -> None:
    with SimCamera(gop=5, **CAMERAS[name]) as sim, CameraProcess(sim.url, tmp_path, masks=masked.MASKS) as camera:
        good(camera, 1)
        camera.say({"record": [time.monotonic() - 1, time.monotonic() + 600]})
        sim.say("size 1280x720" if name == "http" else "reboot 0 size=1280x720")
        camera.beat(lambda beat: beat["width"] == 1280)
        sim.say("size 320x240" if name == "http" else "reboot 0 size=320x240")
        camera.beat(lambda beat: beat["width"] == 320)
        now_s = camera.beat(lambda beat: beat["width"] == 320)["seen_s"]
        camera.until(lambda words: words.get("through_s", 0) > now_s)
        files = [file for words in camera.said for file in words.get("files", ())]
    sizes = set()
    for file in files:
        for picture in pictures(tmp_path / file["sha256"]):
            masked.check(picture)
            sizes.add(picture.shape[:2])
    assert sizes == {(360, 640), (720, 1280), (240, 320)}


def test_a_look_sees_only_what_is_left(tmp_path: Path) -> None:
    """With all of it hidden the camera is as good as dark."""
    whole = [[[0, 0], [1, 0], [1, 1], [0, 1]]]
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path, masks=whole, look_s=0.1) as camera:
        assert "mean luma is 0 of 255" in camera.quality("dark")


@pytest.mark.parametrize("masks", [None, [[[0, 0], [1, 1]]], [[[0, 0], [1, 0], [1, 7]]]])
def test_a_process_that_is_told_a_mask_that_is_none_shows_nothing(tmp_path: Path, masks: object) -> None:
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path, masks=masks) as camera:
        assert camera.process.wait(30) == 2
        assert camera._lines.get(timeout=30) == b""


def test_a_camera_without_masks_is_not_decoded() -> None:
    code = "import sys, drivers.camera_worker; print(*(sys.modules.keys() & {'cv2', 'drivers.masked_source'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", soaked("http", "h264", here=("http",)))
def test_whatever_central_gets_is_black_under_the_masks(tmp_path: Path, name: str) -> None:
    with SimCamera(fps=15, gop=15, **CAMERAS[name]) as eye:
        cameras = [camera_of(eye.url, masks=masked.MASKS)]
        with watching(tmp_path, cameras=cameras, inputs=[button("front")]) as box:
            ready(box)
            pressed_s = box.press()
            box.lit(AMBER, pressed_s)
            found = files(box, ended(box))
    assert [file.told["media_type"] for file in found if file.told.get("key_frame")] == ["image/jpeg"]
    numbers = [number for file in found for number in file.numbers(tmp_path) if not file.told.get("key_frame")]
    assert numbers[0][1] <= (pressed_s - BEFORE_S) * 1000
    assert all(1 <= after - before <= 15 for (before, _), (after, _) in pairwise(numbers))
    for file in found:
        for picture in pictures(tmp_path / file.told["sha256"]):
            masked.check(picture)


def test_the_check_of_these_tests_sees_a_picture_that_is_not_masked(tmp_path: Path) -> None:
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 1)
        camera.say({"picture": time.monotonic()})
        [file] = camera.until(lambda words: words.get("files"))["files"]
    [picture] = pictures(tmp_path / file["sha256"])
    with pytest.raises(AssertionError):
        masked.check(picture)
    with pytest.raises(AssertionError):
        masked.check(np.zeros_like(picture))
