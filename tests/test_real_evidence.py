"""What was before and after a press, from a real camera server over the real processes and a real broker to central."""

import hashlib
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from camera_process import soaked
from real_box import AMBER, RealBox, until
from seeing_box import AFTER_S, BEFORE_S, FPS, IDENTITY, camera, ended, events, files, ready, seeing, watching
from sim_camera import SimCamera

pytestmark = pytest.mark.real

ENCODER_MS = 1_000
"""So long an encoder may hold a picture back; the box knows when it came, not when it was drawn."""
CAMERAS: dict[str, dict[str, Any]] = {
    "mjpeg": {"codec": "mjpeg"},
    "h264": {"codec": "h264"},
    "h264-b-frames": {"codec": "h264", "bframes": 2, "sdp_only": True},
    "hevc": {"codec": "hevc"},
}


@pytest.mark.parametrize("name", soaked(*CAMERAS, here=("h264-b-frames",)))
def test_a_press_brings_what_was_before_and_after_it_without_a_gap(name: str, tmp_path: Path) -> None:
    with seeing(tmp_path, **CAMERAS[name]) as (box, _):
        pressed_s = box.press()
        box.lit(AMBER, pressed_s)
        found = files(box, ended(box))
    [alone] = [file for file in found if file.told.get("key_frame")]
    assert len(alone.numbers(tmp_path)) == 1
    clip = [file for file in found if file is not alone]
    numbers = [number for file in clip for number in file.numbers(tmp_path)]
    until_ms = (pressed_s + AFTER_S) * 1000
    wanted = [number for number, ms in numbers if ms <= until_ms - ENCODER_MS]
    assert wanted == list(range(wanted[0], wanted[0] + len(wanted)))
    assert numbers[0][1] <= (pressed_s - BEFORE_S) * 1000
    assert numbers[-1][1] >= until_ms - ENCODER_MS
    for file in found:
        assert hashlib.sha256(file.plain).hexdigest() == file.told["plain_sha256"]
    assert {file.told["role"] for file in clip} == {"before", "during", "after"}


def test_what_is_stored_is_bit_for_bit_what_the_camera_sent(tmp_path: Path) -> None:
    """Beside the box ffmpeg takes the same stream from the same server, and keeps its bytes."""
    beside = tmp_path / "beside.h264"
    with SimCamera(codec="h264", fps=FPS, gop=FPS) as eye:
        words = f"ffmpeg -v error -rtsp_transport tcp -i {eye.url} -c copy -f h264 {beside}"
        peer = subprocess.Popen(words.split(), stdin=subprocess.PIPE)
        until(lambda: beside.exists() and beside.stat().st_size > 0, "ffmpeg has something")
        with watching(tmp_path, eye.url) as box:
            ready(box)
            box.press()
            found = files(box, ended(box))
        peer.communicate(b"q", timeout=20)
    sent = {unit for unit in units(beside.read_bytes()) if unit[0] & 31 in (1, 5)}
    stored = [unit for file in found for unit in units(file.stream("h264")) if unit[0] & 31 in (1, 5)]
    assert len(stored) > (BEFORE_S + AFTER_S) * FPS - FPS
    assert [unit for unit in stored if unit not in sent] == []


def units(stream: bytes) -> list[bytes]:
    """The NAL units of an Annex B stream; zeros at their end belong to the next start code."""
    return [unit.rstrip(b"\0") for unit in re.split(b"\0\0\1", stream) if unit.rstrip(b"\0")]


@pytest.mark.soak
def test_the_age_of_debian_reads_what_the_box_wrote(tmp_path: Path) -> None:
    with seeing(tmp_path, codec="mjpeg") as (box, _):
        box.press()
        found = files(box, ended(box))
        key = tmp_path / "key.txt"
        key.write_text(f"{IDENTITY}\n")
        for file in found:
            path = box.state_dir / "media" / file.told["sha256"]
            age = subprocess.run(["age", "-d", "-i", key, path], capture_output=True, check=True)
            assert age.stdout == file.plain
            assert path.read_bytes().startswith(b"age-encryption.org/v1\n")


def test_a_box_that_is_killed_in_the_middle_of_a_clip_goes_on_with_it(tmp_path: Path) -> None:
    with seeing(tmp_path, codec="h264") as (box, _):
        box.press()
        until(lambda: events(box, "status.evidence"), "the first files are on the disk")
        box.kill()
        box.power_on()
        box.armed()
        data = ended(box)
        assert sum(each.get("last", False) for each in data) == 1
        for file in files(box, data):
            assert hashlib.sha256(file.plain).hexdigest() == file.told["plain_sha256"]
        assert not list((box.state_dir / "media").glob(".*")), "temporary files are left"


def test_a_camera_that_hangs_is_killed_and_comes_back_and_holds_up_no_alarm(tmp_path: Path) -> None:
    with seeing(tmp_path, codec="mjpeg") as (box, _):
        [process] = processes(box)
        process_stopped(process, signal.SIGSTOP)
        pressed_s = box.press()
        box.lit(AMBER, pressed_s)
        box.at_central("trouble.camera", transition="raised")
        box.at_central("trouble.camera", transition="restored")
        assert process not in processes(box)
        assert camera(box)["restarts"] == 1


@pytest.mark.soak
def test_a_camera_that_goes_is_a_trouble_until_it_is_back(tmp_path: Path) -> None:
    with seeing(tmp_path, codec="h264") as (box, eye):
        eye.say("vanish")
        raised = box.at_central("trouble.camera", transition="raised")
        assert raised["data"]["reason"].startswith("offline: ")
        box.press()
        assert files(box, ended(box)), "what the ring had is evidence all the same"
        eye.say("back")
        box.at_central("trouble.camera", transition="restored")


def test_nobody_sees_the_password_of_a_camera(tmp_path: Path) -> None:
    (tmp_path / "front").write_text("eye:s3cr3t-word\n")
    with SimCamera(codec="mjpeg", fps=FPS, user="eye:s3cr3t-word") as eye:
        credentials = {"credentials_file": str(tmp_path / "front")}
        with watching(tmp_path / "box", cameras=[{"id": "front", "source": eye.url, **credentials}]) as box:
            until(lambda: camera(box).get("quality") == "good", "the camera lets it in")
            [process] = processes(box)
            for pid in (box.pid, process):
                for name in ("cmdline", "environ"):
                    assert b"s3cr3t" not in Path(f"/proc/{pid}/{name}").read_bytes()
            (tmp_path / "front").write_text("eye:wr0ng-word\n")
            process_stopped(process, signal.SIGKILL)
            box.at_central("trouble.camera", transition="raised")
            until(lambda: "refuses this user" in str(box.status().get("trouble")), "why it is refused is told")
            told = box.said() + str(box.status()) + str(box.stored())
            assert "s3cr3t" not in told
            assert "wr0ng" not in told


def processes(box: RealBox) -> list[int]:
    """Of its cameras."""
    found = subprocess.run(["pgrep", "-P", str(box.pid)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def process_stopped(pid: int, number: int) -> None:
    subprocess.run(["kill", f"-{number}", str(pid)], check=True)
