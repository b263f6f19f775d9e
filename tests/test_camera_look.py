"""A look at a picture, in its own process; and what a row of looks says."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from cv2.typing import MatLike

from drivers import camera_look
from drivers.camera_look import Look, judge, look, measure
from drivers.packets import CameraError, Stream

MJPEG = Stream("mjpeg")
GOOD = [Look(120.0, 50.0, "a"), Look(121.0, 50.0, "b"), Look(120.0, 51.0, "c")]
DARK = [Look(3.0, 1.0, "a"), Look(3.0, 1.0, "a"), Look(4.0, 1.0, "b")]
COVERED = [Look(110.0, 1.0, "a"), Look(110.0, 0.5, "b"), Look(112.0, 1.0, "c")]
FROZEN = [Look(120.0, 50.0, "a")] * 3


def scene(seed: int, width: int = 640, height: int = 360) -> MatLike:
    """A street by day, as far as a look cares: shades, edges and a sensor's noise."""
    rng = np.random.default_rng(seed)
    picture = np.tile(np.linspace(20, 220, width), (height, 1))
    picture[height // 3 : height // 2, width // 4 : width // 2] = 240
    return np.clip(picture + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)


def jpeg(picture: MatLike) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


def h26x(codec: str, picture: MatLike) -> bytes:
    """One key picture in Annex B form."""
    encoder = {"h264": "libx264", "hevc": "libx265"}[codec]
    made = ["-c:v", encoder, "-pix_fmt", "yuv420p", "-f", codec, "-"]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "image2pipe", "-i", "-", *made],
        input=jpeg(picture), capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("looks", "quality"),
    [
        ([], "good"),
        (GOOD, "good"),
        (DARK, "dark"),
        (COVERED, "covered"),
        (FROZEN, "frozen"),
        (FROZEN[:2], "good"),
        ([*FROZEN, GOOD[1]], "good"),
        ([*GOOD, *FROZEN], "frozen"),
        ([*DARK[:2], GOOD[1]], "good"),
        ([None, None, None], "offline"),
        ([None, None, GOOD[0]], "good"),
        ([Look(3.0, 1.0, "a")] * 3, "dark"),  # dark before frozen: what sees nothing always sees the same
        ([Look(10.0, 40.0, str(number)) for number in range(3)], "good"),  # a lamp in the night
    ],
)
def test_three_looks_in_a_row_say_how_a_camera_is(looks: list[Look | None], quality: str) -> None:
    told, reason = judge(looks)
    assert told == quality
    assert bool(reason) == (quality != "good")


@pytest.mark.parametrize("codec", ["mjpeg", "h264", "hevc"])
def test_a_look_sees_light_and_contrast_whatever_the_codec(codec: str) -> None:
    data = jpeg(scene(0)) if codec == "mjpeg" else h26x(codec, scene(0))
    seen = look(Stream("mjpeg" if codec == "mjpeg" else "h264" if codec == "h264" else "hevc"), data)
    assert seen is not None
    assert 110 < seen.luma < 145
    assert 50 < seen.contrast < 80


def test_parameter_sets_from_outside_of_the_stream_go_before_the_picture() -> None:
    data = h26x("h264", scene(0))
    key = data.index(b"\0\0\1\x65")
    assert look(Stream("h264"), data[key:]) is None
    assert look(Stream("h264", 0, 0, data[:key]), data[key:]) == look(Stream("h264"), data)


def test_the_noise_of_a_sensor_makes_another_grid_and_the_same_picture_the_same() -> None:
    grids = [seen.grid for number in range(8) if (seen := measure("mjpeg", jpeg(scene(number))))]
    assert len(grids) == 8
    assert all(one != other for one, other in pairwise(grids))
    again = measure("mjpeg", jpeg(scene(1)))
    assert again is not None
    assert again.grid == grids[1]


def test_a_hand_over_the_lens_and_the_night_are_told_from_a_wall() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1.5, (360, 640))
    hand = measure("mjpeg", jpeg(np.clip(110 + noise + np.linspace(-6, 6, 640), 0, 255).astype(np.uint8)))
    night = measure("mjpeg", jpeg(np.clip(4 + noise, 0, 255).astype(np.uint8)))
    wall = np.clip(150 + noise, 0, 255).astype(np.uint8)
    cv2.putText(wall, "EXIT", (200, 200), cv2.FONT_HERSHEY_SIMPLEX, 4.0, 60, 12)
    assert judge([hand] * 3)[0] == "covered"
    assert judge([night] * 3)[0] == "dark"
    assert judge([measure("mjpeg", jpeg(wall))] * 2 + [measure("mjpeg", jpeg(scene(0)))])[0] == "good"
    assert judge([measure("mjpeg", jpeg(wall))] * 3)[0] == "frozen"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"\0\0\1\x65garbage", b"x" * 100_000])
@pytest.mark.parametrize("codec", ["mjpeg", "h264", "hevc"])
def test_what_cannot_be_decoded_is_none_and_no_error(codec: str, data: bytes) -> None:
    assert measure(codec, data) is None


def test_a_picture_that_wants_more_memory_than_a_look_has_costs_that_look_alone() -> None:
    header = jpeg(scene(0, 64, 64))
    at = header.index(b"\xff\xc0")
    bomb = header[: at + 5] + b"\xff\xff\xff\xff" + header[at + 9 :]
    try:
        assert look(MJPEG, bomb) is None
    except CameraError as error:
        assert "no look at a picture was possible" in str(error)


def test_a_look_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stuck = tmp_path / "stuck"
    stuck.write_text("#!/bin/sh\nexec tail -f /dev/null\n", encoding="ascii")
    stuck.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stuck))
    monkeypatch.setattr(camera_look, "LIMITS", replace(camera_look.LIMITS, wait_s=0.2))
    with pytest.raises(CameraError, match=r"no look at a picture was possible: it took longer than 0\.2 s"):
        look(MJPEG, jpeg(scene(0)))


def test_a_decoder_that_crashes_costs_that_look_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="ascii")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    with pytest.raises(CameraError, match="no look at a picture was possible"):
        look(MJPEG, jpeg(scene(0)))


def test_a_look_that_computes_for_ever_is_ended_by_its_own_limit() -> None:
    code = "import drivers.camera_look as it\ndef busy(*_):\n    while True: pass\nit.measure = busy\nit.main()\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b'{"codec": "mjpeg", "cpu_s": 1, "memory_bytes": 1073741824}\n',
        check=False,
        timeout=30,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode in (-9, -24)  # SIGKILL, SIGXCPU
