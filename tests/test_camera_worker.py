"""The process of one camera, as the daemon has it: real processes, sockets and files, a simulated camera."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from camera_clips import FORMS, decoded, film
from camera_process import DEADLINE_S, CameraProcess, Words, good, soaked
from camera_server import JPEG, MULTIPART, CameraServer, forever, part, says
from sim_camera import SimCamera, pictures

from simulators.picture import read_frame

pytestmark = pytest.mark.real


def check_files(files: Sequence[Words], media: Path) -> int:
    """Each is there under its hash and plays by itself; how many pictures they have."""
    pictures = 0
    for file in files:
        data = (media / file["sha256"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"] == file["plain_sha256"]
        assert len(data) == file["bytes"]
        assert file["from_s"] <= file["to_s"]
        pictures += decoded(data, FORMS[file["media_type"]])
    return pictures


@pytest.mark.parametrize(
    ("options", "media_type"),
    [
        ({}, "video/x-msvideo"),
        pytest.param({"rtsp": True, "codec": "h264", "gop": 10}, "video/mp2t", marks=pytest.mark.soak),
        pytest.param(
            {"rtsp": True, "codec": "h264", "gop": 10, "sdp_only": True}, "video/mp2t", marks=pytest.mark.soak
        ),
        pytest.param({"rtsp": True, "codec": "hevc", "gop": 10, "bframes": 2}, "video/mp2t", marks=pytest.mark.soak),
        pytest.param({"rtsp": True, "codec": "mjpeg"}, "video/x-msvideo", marks=pytest.mark.soak),
    ],
    ids=["http", "h264", "h264 sdp only", "hevc b-frames", "rtsp mjpeg"],
)
def test_what_is_before_and_after_becomes_files_that_play_by_themselves(
    tmp_path: Path, options: dict[str, Any], media_type: str
) -> None:
    with SimCamera(**options) as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 3)
        now_s = time.monotonic()
        camera.say({"picture": now_s})
        camera.say({"record": [now_s - 2, now_s + 1]})
        alone, *files = camera.files(now_s + 1)
        assert camera.end() == 0
    assert alone["key_frame"] is True
    assert alone["media_type"] == ("image/jpeg" if media_type == "video/x-msvideo" else "video/mp2t")
    assert check_files([alone], tmp_path) == 1
    assert {file["media_type"] for file in files} == {media_type}
    assert files[0]["from_s"] <= now_s - 2
    assert files[-1]["to_s"] >= now_s + 0.8
    drawn = [read_frame(picture) for file in files for picture in pictures(tmp_path / file["sha256"])]
    assert len(drawn) == check_files(files, tmp_path)
    numbers, taken_ms = zip(*drawn, strict=True)
    assert numbers == tuple(range(numbers[0], numbers[0] + len(numbers)))
    assert taken_ms[-3] <= (now_s + 1) * 1000  # no more than is wanted; a B-picture needs the one after it
    assert {path.name for path in tmp_path.iterdir()} == {file["sha256"] for file in (alone, *files)}


def test_words_that_overlap_store_nothing_twice_and_undo_nothing(tmp_path: Path) -> None:
    with SimCamera(rtsp=True, codec="h264", gop=15) as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 2)
        now_s = time.monotonic()
        for from_s, until_s in ((now_s - 1, now_s + 3), (now_s, now_s + 1), (now_s - 1.5, now_s + 4)):
            camera.say({"record": [from_s, until_s]})
        files = camera.files(now_s + 4)
    starts = [file["from_s"] for file in files]
    assert len({*starts}) == len(starts)
    ends = [file["to_s"] for file in sorted(files, key=lambda file: file["from_s"])][:-1]
    assert all(start > end for start, end in zip(sorted(starts)[1:], ends, strict=True))
    assert min(starts) <= now_s - 1.5


def test_files_are_encrypted_before_they_touch_the_disk(tmp_path: Path) -> None:
    key = tmp_path / "key"
    made = subprocess.run(["age-keygen", "-o", str(key)], capture_output=True, text=True, check=True)
    media = tmp_path / "media"
    media.mkdir()
    with SimCamera() as sim, CameraProcess(sim.url, media, recipients=[made.stderr.split()[-1]]) as camera:
        good(camera, 1)
        now_s = time.monotonic()
        camera.say({"record": [now_s - 1, now_s]})
        files = camera.files(now_s)
    for file in files:
        assert file["encrypted"] == "age"
        stored = media / file["sha256"]
        plain = subprocess.run(["age", "-d", "-i", str(key), str(stored)], capture_output=True, check=True).stdout
        assert hashlib.sha256(plain).hexdigest() == file["plain_sha256"]
        assert b"\xff\xd8\xff" not in stored.read_bytes()


def test_a_beat_comes_with_what_came_and_the_ring_stays_within_its_bounds(tmp_path: Path) -> None:
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path, before_s=2, ring_bytes_max=200_000) as camera:
        beat = camera.beat(lambda beat: beat["packets"] > 60 and beat["fps"] == pytest.approx(15, abs=2))
    assert beat["codec"] == "mjpeg"
    assert (beat["width"], beat["height"]) == (640, 360)
    assert beat["bad"] == 0
    assert 0 < beat["ring_bytes"] <= 200_000
    assert beat["ring_s"] <= 3.2
    assert beat["rss_bytes"] < 60_000_000
    assert beat["bytes"] > 60 * 1000
    assert beat["seen_s"] < time.monotonic()


@pytest.mark.parametrize("rtsp", [False, True], ids=["http", "rtsp"])
def test_the_end_of_its_input_ends_it_whatever_a_read_does(tmp_path: Path, rtsp: bool) -> None:
    with CameraServer(says(MULTIPART, hold=True)) as server:
        source = server.url().replace("http", "rtsp") if rtsp else server.url()
        with CameraProcess(source, tmp_path) as camera:
            camera.beat(lambda _: server.requests)
            assert camera.end() == 0


def test_the_end_of_its_input_ends_it_while_nobody_hears_what_it_says(tmp_path: Path) -> None:
    """Main is in the middle of a write that never returns."""
    heard, says_to = os.pipe()
    fcntl.fcntl(says_to, fcntl.F_SETPIPE_SZ, 4096)
    with CameraServer(forever(MULTIPART, part())) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "drivers.camera_worker"],
            stdin=subprocess.PIPE,
            stdout=says_to,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        who = {"camera": "front", "source": server.url(), "before_s": 1, "ring_bytes_max": 100_000, "look_s": 60}
        lines = [{**who, "media_dir": str(tmp_path), "recipients": []}] + [{"picture": 0.0}] * 15
        assert process.stdin
        for line in lines * 2:
            process.stdin.write(json.dumps(line).encode() + b"\n")
        process.stdin.flush()
        deadline_s = time.monotonic() + DEADLINE_S
        while int.from_bytes(fcntl.ioctl(heard, termios.FIONREAD, bytes(4)), sys.byteorder) < 3600:
            assert time.monotonic() < deadline_s  # a line more does not fit
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0
    os.close(heard)
    os.close(says_to)


def test_a_first_line_that_is_none_ends_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "drivers.camera_worker"],
        input=b'{"camera": "front", "source": "http://a:geheim@cam/"}\n',
        capture_output=True,
        check=False,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"geheim" not in done.stderr


def test_a_recipient_that_is_none_stores_nothing_in_the_clear(tmp_path: Path) -> None:
    with CameraProcess("http://127.0.0.1:1/", tmp_path, recipients=["age1wrong"]) as camera:
        assert "allowed is a public key" in camera.quality("storage")
        assert camera.process.wait(DEADLINE_S) == 2


def test_words_that_nobody_knows_are_passed_over(tmp_path: Path) -> None:
    with CameraServer(forever(MULTIPART, part())) as server, CameraProcess(server.url(), tmp_path) as camera:
        assert camera.process.stdin
        camera.process.stdin.write(b'garbage\n[1]\n{"record": 1}\n{"record": ["a", null]}\n{}\n')
        camera.say({"picture": time.monotonic()})
        assert camera.until(lambda words: words.get("files"))


def test_a_camera_that_comes_back_with_another_size_is_good_again_and_begins_new_files(tmp_path: Path) -> None:
    with SimCamera(rtsp=True, codec="h264", gop=10) as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 1)
        camera.say({"record": [time.monotonic() - 1, time.monotonic() + 60]})
        sim.say("reboot 1 size=320x240 codec=hevc")
        assert "127.0.0.1" in camera.quality("offline")
        camera.quality("good")
        beat = camera.beat(lambda beat: beat["ring_s"] > 1 and beat["codec"] == "hevc")
        assert (beat["width"], beat["height"]) == (320, 240)
        now_s = time.monotonic()
        camera.say({"record": [now_s, now_s + 0.1]})
        camera.until(lambda words: words.get("through_s", 0) > now_s)
        files = [file for words in camera.said for file in words.get("files", ())]
    assert check_files(files, tmp_path) > 15


@pytest.mark.parametrize("word", soaked("stall", "drip", "garbage", "html", here=("garbage",)))
def test_a_camera_that_brings_nothing_of_use_is_offline_and_good_again_when_it_is_back(
    tmp_path: Path, word: str
) -> None:
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 1)
        packets = camera.beat(lambda beat: beat["packets"])["packets"]
        sim.say(word)
        reason = camera.quality("offline")
        assert reason
        now_s = time.monotonic()
        camera.say({"record": [now_s - 30, now_s]})  # the ring is still there
        assert sum(check_files([file], tmp_path) for file in camera.files(now_s)) >= packets
        sim.say("back")
        camera.quality("good")


def test_a_record_of_a_camera_that_is_away_is_over_when_its_time_is(tmp_path: Path) -> None:
    with CameraProcess("http://127.0.0.1:1/", tmp_path) as camera:
        camera.quality("offline")
        now_s = time.monotonic()
        camera.say({"record": [now_s - 1, now_s + 1]})
        assert camera.files(now_s + 1) == []


def test_a_camera_that_sees_nothing_or_always_the_same_is_told(tmp_path: Path) -> None:
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path, look_s=0.1) as camera:
        good(camera, 1)
        for word, quality in (("dark", "dark"), ("covered", "covered"), ("back", "good"), ("freeze", "frozen")):
            sim.say(word)
            assert camera.quality(quality) or quality == "good"


def test_times_that_jump_are_a_gap_and_lose_no_picture(tmp_path: Path) -> None:
    with SimCamera(rtsp=True, codec="h264", gop=10) as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 1)
        now_s = time.monotonic()
        camera.say({"record": [now_s, now_s + 4]})
        sim.say("step 3600")
        assert "the camera's times went forward by" in camera.quality("gap")
        files = camera.files(now_s + 4)
    assert check_files(files, tmp_path) >= 4 * 15 - 2


def test_a_disk_that_is_full_is_told_and_what_it_did_not_take_is_stored_when_it_has_room(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root mounts a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], check=True)
    try:
        ballast = tmp_path / "ballast"
        ballast.write_bytes(bytes(4_190_208))  # a page is left: no file of one picture fits
        with SimCamera() as sim, CameraProcess(sim.url, tmp_path) as camera:
            good(camera, 1)
            now_s = time.monotonic()
            camera.say({"record": [now_s - 1, now_s]})
            assert "No space left on device; make room on the disk" in camera.quality("storage")
            assert [path.name for path in tmp_path.iterdir()] == ["ballast"]
            ballast.write_bytes(b"")
            assert check_files(camera.files(now_s), tmp_path) >= 15
            assert [words["quality"] for words in camera.said if "quality" in words] == ["good", "storage", "good"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_write_that_breaks_off_in_the_middle_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    wrapper = ["prlimit", "--fsize=20000"]
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path, wrapper=wrapper) as camera:
        good(camera, 1)
        camera.say({"record": [time.monotonic() - 1, time.monotonic()]})
        assert "File too large" in camera.quality("storage")
        assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("what", ["a directory", "no device"])
def test_what_is_no_camera_is_told_and_the_process_goes_on(tmp_path: Path, what: str) -> None:
    source = str(tmp_path) if what == "a directory" else "/dev/video99"
    with CameraProcess(source, tmp_path) as camera:
        assert ("this is a directory" if what == "a directory" else "No such file") in camera.quality("offline")
        assert camera.beat(lambda beat: beat["codec"] is None)


def test_a_camera_of_lies_takes_no_memory_and_is_told(tmp_path: Path) -> None:
    """Lengths of gigabytes, pictures without an end, and a flood of what is none."""
    lies = part(JPEG[:-2], 4_000_000_000) + part(b"\xff\xd8" + b"x" * 100_000) + part(b"", 0)
    with CameraServer(forever(MULTIPART, lies)) as server, CameraProcess(server.url(), tmp_path) as camera:
        assert "it sends no whole picture; the last: " in camera.quality("offline")
        beat = camera.beat(lambda beat: beat["bad"] > 1000)
    assert beat["packets"] == 0
    assert beat["rss_bytes"] < 100_000_000


def test_a_film_plays_like_a_camera_over_and_over(tmp_path: Path) -> None:
    with CameraProcess(str(film(tmp_path / "film.mp4", "h264", 1)), tmp_path) as camera:
        good(camera, 2)
        now_s = time.monotonic()
        camera.say({"record": [now_s - 2, now_s]})
        assert check_files(camera.files(now_s), tmp_path) >= 20
        assert not [words for words in camera.said if words.get("quality") not in (None, "good")]


def test_its_credentials_are_in_nothing_that_it_says_and_in_no_argument(tmp_path: Path) -> None:
    with SimCamera(user="eye:geheim") as sim, CameraProcess(sim.login_url, tmp_path) as camera:
        good(camera, 1)
        process = Path(f"/proc/{camera.process.pid}")
        assert b"geheim" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        sim.say("vanish")
        camera.quality("offline")
        assert "geheim" not in str(camera.said)


def test_a_process_that_was_stopped_goes_on_and_stamps_when_it_read(tmp_path: Path) -> None:
    """What came meanwhile waited in the kernel: it is not lost, and not older than its read."""
    with SimCamera() as sim, CameraProcess(sim.url, tmp_path) as camera:
        good(camera, 1)
        camera.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        sim.say("wait 1")
        camera.process.send_signal(signal.SIGCONT)
        beat = camera.beat(lambda beat: beat["seen_s"] > stopped_s + 1)
        assert beat["bad"] == 0
