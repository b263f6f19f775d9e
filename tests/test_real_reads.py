"""A real box with a paper before its camera: from the press to central, and a preview."""

from pathlib import Path

import cv2
import pytest
from camera_server import MULTIPART, CameraServer, forever, part
from papers import code, desk, jpeg
from real_box import BUTTON, until
from seeing_box import camera, ended, events, files, watching

from drivers.camera_read import codes

pytestmark = pytest.mark.real
DESK = {
    "id": "papers",
    "driver": "gpio0",
    "pin": BUTTON,
    "kind": "scan",
    "debounce_ms": 0,
    "cameras": ["front"],
    "read": ["codes"],
}


def test_a_paper_is_read_at_a_press_and_central_has_what_it_says_and_the_picture(tmp_path: Path) -> None:
    picture = jpeg(desk(code("票号 0042", "QRCode", 8), code("4006381333931", "EAN13")))
    sees = CameraServer(forever(MULTIPART, part(picture)))
    previews = {"previews": {"pixelate": False}}
    with sees as server, watching(tmp_path / "box", server.url(), inputs=[DESK], **previews) as box:
        until(lambda: camera(box).get("ring_s", 0) > 0, "the camera brings pictures")
        assert events(box, "scan.code") == []
        box.press()
        qr = box.at_central("scan.code", format="qr", code="票号 0042")
        ean = box.at_central("scan.code", format="ean13", code="4006381333931")
        assert qr["time"] == ean["time"] < qr["data"]["taken"]
        [told] = ended(box)
        [first] = [event for event in (qr, ean) if event["id"] == told["case"]]
        assert first["boxseq"] == min(qr["boxseq"], ean["boxseq"])
        [file] = files(box, [told])
        assert (file.told["media_type"], file.told["from"], file.plain) == ("image/jpeg", qr["data"]["taken"], picture)
        shown = tmp_path / "front.jpg"
        done = box.callbox("preview", "front", "--state-dir", str(box.state_dir), "--out", str(shown))
        assert done.returncode == 0, done.stderr
        small = cv2.imread(str(shown))
        assert small is not None
        assert small.shape == (270, 480, 3)
        assert {each["code"] for each in codes(small)} >= {"票号 0042"}
        assert len(events(box, "scan.code")) == 2  # and a preview is none


def test_a_camera_that_is_away_is_told_to_central_and_to_the_technician(tmp_path: Path) -> None:
    with watching(tmp_path / "box", "http://127.0.0.1:1/", inputs=[DESK]) as box:
        box.at_central("trouble.camera", camera="front")
        box.press()
        told = box.at_central("scan.code", input="papers")
        assert told["data"]["reason"].startswith("the camera brings no picture: ")
        done = box.callbox("preview", "front", "--state-dir", str(box.state_dir), "--out", str(tmp_path / "x.jpg"))
        assert done.returncode == 1
        assert b"camera front shows nothing: the camera brings no picture" in done.stdout
        assert box.callbox("preview", "door", "--state-dir", str(box.state_dir)).returncode == 1
