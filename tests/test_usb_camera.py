"""A USB camera (V4L2, MJPEG), whose driver tests/usb_camera.c stands in for."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from camera_clips import film
from camera_process import CameraProcess

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here: apt-get install gcc libc6-dev"),
]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the device; what it shows is `picture.jpg` beside it."""
    library, picture, path = tmp_path / "usb_camera.so", tmp_path / "picture.jpg", tmp_path / "video7"
    source = Path(__file__).with_name("usb_camera.c")
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", film(tmp_path / "film.avi", "mjpeg", 1), "-frames:v", "1", picture], check=True
    )
    path.symlink_to("/dev/null")  # a character device, as the path of every camera is
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CAMERA_JPEG", str(picture))
    return str(path)


def test_the_pictures_of_a_usb_camera_are_stored_as_it_made_them_with_its_drivers_times(
    tmp_path: Path, device: str
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    with CameraProcess(device, media) as camera:
        camera.quality("good")
        # the driver's clock is ours
        beat = camera.beat(lambda beat: beat["fps"] == pytest.approx(20, abs=2) and 0 <= beat["offset_s"] < 0.1)
        camera.say({"picture": time.monotonic()})
        (file,) = camera.until(lambda words: words.get("files"))["files"]
    assert beat["codec"] == "mjpeg"
    assert (media / file["sha256"]).read_bytes() == (tmp_path / "picture.jpg").read_bytes()


def test_a_usb_camera_without_mjpeg_is_told(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_YUYV", "1")
    with CameraProcess(device, tmp_path) as camera:
        assert "the camera sends 'YUYV', allowed is H.264, HEVC or MJPEG" in camera.quality("offline")
