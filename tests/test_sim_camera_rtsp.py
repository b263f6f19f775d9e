"""`callbox-sim camera` over RTSP: what cv2's FFmpeg decodes, and the packets as they come."""

import itertools
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import pytest
from camera_process import soaked
from sim_camera import DEADLINE_S, QUIET_S, SimCamera, drain, opened, pictures

from simulators.camera import Settings
from simulators.cli import main
from simulators.picture import read_frame

pytestmark = pytest.mark.real

FPS = 30
CODECS = ("h264", "hevc", "mjpeg")
PARAMETER_SETS = {"h264": {7, 8}, "hevc": {32, 33, 34}}
KEY_PICTURES = {"h264": {5}, "hevc": {19, 20}}


class Packet(NamedTuple):
    data: bytes
    key: bool
    pts: float


def packets(url: str) -> Iterator[Packet]:
    """As the camera made them, until nothing comes any more. pts: in pictures."""
    capture = opened(url, cv2.CAP_PROP_FORMAT, -1)
    try:
        while True:
            good, data = capture.read()
            if not good:
                return
            key = bool(capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
            yield Packet(data.tobytes(), key, capture.get(cv2.CAP_PROP_PTS))
    finally:
        capture.release()


def types(codec: str, data: bytes) -> list[int]:
    """Of the units of an access unit in Annex B form."""
    heads = [data[found.end()] for found in re.finditer(b"\0\0\1", data)]
    return [head & 31 if codec == "h264" else head >> 1 & 63 for head in heads]


def numbers(url: str, count: int) -> list[int]:
    frames = [read_frame(picture) for picture in itertools.islice(pictures(url), count)]
    return [frame[0] for frame in frames if frame]


def rtsp(codec: str, **more: str | int) -> SimCamera:
    return SimCamera(**{"codec": codec, "rtsp": True, "fps": FPS, "gop": 15, **more})


SOAKED = [
    pytest.param(codec, bframes, marks=pytest.mark.soak)
    for codec, bframes in (("h264", 0), ("hevc", 0), ("hevc", 2), ("mjpeg", 0))
]


@pytest.mark.parametrize(("codec", "bframes"), [*SOAKED, ("h264", 2)])
def test_the_numbers_in_the_pictures_count_without_a_gap(codec: str, bframes: int) -> None:
    with rtsp(codec, bframes=bframes) as camera:
        seen = numbers(camera.url, 60)
    assert seen == list(range(seen[0], seen[0] + 60))


@pytest.mark.parametrize("codec", soaked("h264", "hevc", here=("h264",)))
@pytest.mark.parametrize("bframes", [0, 2])
def test_key_pictures_come_once_a_gop_and_b_pictures_are_shown_before_what_they_lean_on(
    codec: str, bframes: int
) -> None:
    with rtsp(codec, bframes=bframes) as camera:
        seen = list(itertools.islice(packets(camera.url), 31))
    keys = [index for index, packet in enumerate(seen) if packet.key]
    assert keys == [0, 15, 30]
    assert all(bool(KEY_PICTURES[codec] & set(types(codec, packet.data))) == packet.key for packet in seen)
    times = [packet.pts for packet in seen]
    assert (times == sorted(times)) == (bframes == 0)
    assert sorted(times[:15]) == list(range(15))


@pytest.mark.parametrize("codec", soaked("h264", "hevc", here=("h264",)))
@pytest.mark.parametrize("sdp_only", [False, True])
def test_parameter_sets_stand_before_each_key_picture_or_in_the_sdp_alone(codec: str, sdp_only: bool) -> None:
    with rtsp(codec, **({"sdp_only": True} if sdp_only else {})) as camera:
        seen = list(itertools.islice(packets(camera.url), 31))
    sets = [PARAMETER_SETS[codec] & set(types(codec, packet.data)) for packet in seen]
    wanted = set() if sdp_only else PARAMETER_SETS[codec]
    assert sets == [wanted if packet.key else set() for packet in seen]


def test_what_stands_in_the_sdp_alone_suffices_to_decode() -> None:
    with rtsp("h264", sdp_only=True) as camera:
        assert len(numbers(camera.url, 30)) == 30


def test_a_second_client_begins_in_the_middle_of_a_gop() -> None:
    with rtsp("h264", gop=600) as camera:
        first = packets(camera.url)
        assert next(first).key
        assert not any(packet.key for packet in itertools.islice(packets(camera.url), 20))


@pytest.mark.parametrize("codec", soaked(*CODECS, here=("h264",)))
def test_frozen_the_same_picture_goes_on_with_new_times(codec: str) -> None:
    with rtsp(codec) as camera:
        shown = pictures(camera.url)
        next(shown)
        camera.say("freeze")
        seen = [read_frame(picture) for picture in itertools.islice(shown, 60)]
        assert seen[30:] == [seen[30]] * 30
        camera.say("back")
        until(lambda: (read_frame(next(shown)) or (0,))[0] > (seen[30] or (0,))[0] + 30)


@pytest.mark.parametrize("word", ["dark", "covered"])
def test_dark_and_covered_nobody_can_read_it(word: str) -> None:
    with rtsp("h264") as camera:
        shown = pictures(camera.url)
        next(shown)
        camera.say(word)
        until(lambda: read_frame(picture := next(shown)) is None and bool(picture.std() < 10))


@pytest.mark.parametrize("word", ["stall", "drip", "link stall"])
def test_stalled_or_dripping_little_or_nothing_comes_and_the_connection_stays(word: str) -> None:
    with rtsp("mjpeg") as camera, dial(camera) as client:
        play(client, camera.url)
        camera.say(word)
        drain(client, QUIET_S)
        if word == "drip":
            assert [len(client.recv(65536)) for _ in range(3)] == [1, 1, 1]
        camera.say("back")
        while len(client.recv(65536)) < 1000:
            pass


def play(client: socket.socket, url: str) -> None:
    """As RFC 2326 has it; then RTP comes within the connection."""
    stream, session = client.makefile("rb"), ""
    transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
    for request, header in (("DESCRIBE {}", ""), ("SETUP {}/stream=0", transport), ("PLAY {}", "")):
        lines = [f"{request.format(url)} RTSP/1.0", "CSeq: 1", *filter(None, (header, session)), "", ""]
        client.sendall("\r\n".join(lines).encode())
        head = [line.decode().strip() for line in iter(stream.readline, b"\r\n")]
        assert head[0] == "RTSP/1.0 200 OK"
        told = dict(line.split(": ", 1) for line in head[1:])
        stream.read(int(told.get("Content-Length", 0)))
        session = f"Session: {told.get('Session', '').split(';')[0]}"
    assert stream.read(1) == b"$"


@pytest.mark.parametrize("codec", soaked(*CODECS, here=("h264",)))
@pytest.mark.parametrize("word", ["garbage", "truncated"])
def test_spoilt_the_numbers_count_no_more_until_a_client_comes_when_all_is_well(codec: str, word: str) -> None:
    with rtsp(codec) as camera:
        capture = opened(camera.url, read_timeout_ms=2000)
        seen = [0, 1]
        while seen[-1] > seen[-2]:
            assert len(seen) < 200, "they count on"
            seen.append((read_frame(capture.read()[1]) or (0,))[0])
            if len(seen) == 5:
                camera.say(word)
        capture.release()
        camera.say("back")
        assert numbers(camera.url, 30)


def test_as_html_connections_are_cut_and_a_web_server_answers() -> None:
    with rtsp("h264") as camera:
        shown = pictures(camera.url)
        next(shown)
        camera.say("html")
        assert sum(1 for _ in shown) < 2 * FPS
        with dial(camera) as client:
            client.sendall(b"OPTIONS rtsp://127.0.0.1/stream RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            assert b"<!DOCTYPE" in client.makefile("rb").read()
        camera.say("back")
        assert numbers(camera.url, 3)


def test_vanished_connections_are_cut_and_refused_until_it_is_back() -> None:
    with rtsp("h264") as camera:
        shown = pictures(camera.url)
        next(shown)
        camera.say("vanish")
        assert sum(1 for _ in shown) < 2 * FPS
        with pytest.raises(ConnectionRefusedError):
            dial(camera)
        camera.say("back")
        assert numbers(camera.url, 3)


def dial(camera: SimCamera) -> socket.socket:
    place = urlsplit(camera.url)
    return socket.create_connection((place.hostname or "", place.port or 0), DEADLINE_S)


def test_rebooted_it_is_another_camera_at_the_same_place() -> None:
    with rtsp("h264") as camera:
        shown = packets(camera.url)
        next(shown)
        state = camera.say("reboot 0.2 codec=hevc size=320x240 bframes=1 gop=10")
        assert sum(1 for _ in shown) < 2 * FPS
        assert (state["codec"], state["size"], state["bframes"], state["gop"]) == ("hevc", "320x240", 1, 10)
        seen = list(itertools.islice(packets(camera.url), 21))
        assert [index for index, packet in enumerate(seen) if packet.key] == [0, 10, 20]
        assert PARAMETER_SETS["hevc"] <= set(types("hevc", seen[0].data))
        assert next(pictures(camera.url)).shape == (240, 320, 3)


def test_with_the_word_bframes_the_next_connection_has_them() -> None:
    with rtsp("h264") as camera:
        camera.say("bframes 2")
        times = [packet.pts for packet in itertools.islice(packets(camera.url), 15)]
        assert times != sorted(times)


@pytest.mark.parametrize("codec", soaked("h264", "hevc", here=("h264",)))
def test_another_size_begins_with_new_parameter_sets_on_the_connection_that_stands(codec: str) -> None:
    with rtsp(codec, gop=600) as camera:
        shown = packets(camera.url)
        assert next(shown).key
        camera.say("size 320x240")
        until(lambda: PARAMETER_SETS[codec] <= set(types(codec, next(shown).data)))


@pytest.mark.parametrize("step_s", [5, -2])
def test_its_clock_jumps_ahead_and_back_on_the_connection_that_stands(step_s: int) -> None:
    with rtsp("h264") as camera:
        shown = packets(camera.url)
        last = next(shown).pts
        camera.say(f"step {step_s}")
        for packet in shown:
            if packet.pts - last != 1:
                break
            last = packet.pts
        assert packet.pts - last == pytest.approx(step_s * FPS + 1, abs=1)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_only_who_shows_the_credentials_sees_pictures(auth: str) -> None:
    with rtsp("h264", user="eye:secret", auth=auth) as camera:
        with dial(camera) as client:
            client.sendall(f"DESCRIBE {camera.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            head = client.recv(4096).decode()
        assert head.startswith("RTSP/1.0 401")
        assert f"WWW-Authenticate: {auth.capitalize()} realm=" in head
        assert not cv2.VideoCapture(camera.url.replace("://", "://eye:wrong@"), cv2.CAP_FFMPEG).isOpened()
        assert numbers(camera.login_url, 3)


def test_a_dead_server_is_told_and_a_reboot_starts_another() -> None:
    with rtsp("h264") as camera:
        [child] = children(camera.process.pid)
        os.kill(child, signal.SIGKILL)
        until(lambda: camera.say("state")["fault"] == "dead")
        camera.say("reboot 0")
        assert numbers(camera.url, 3)


def test_the_rtsp_server_ends_with_the_camera_also_when_that_is_killed() -> None:
    with rtsp("h264") as camera:
        [child] = children(camera.process.pid)
        camera.process.kill()
        until(lambda: not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text())


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def until(true: Callable[[], bool]) -> None:
    """Waits for it, with a deadline."""
    end_s = monotonic() + DEADLINE_S
    while not true():
        assert monotonic() < end_s, "it did not come"


def test_without_gstreamer_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulators.camera.SYSTEM_PYTHON", "false")
    assert main(["camera", "--codec", "h264"]) == 1
    assert "no camera: the RTSP server did not start" in capsys.readouterr().err


def test_what_rtp_cannot_carry_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", "--rtsp", "--size", "2048x1152"]) == 2
    assert "size: found '2048x1152', allowed: WxH, 8 * n, 64-2040" in capsys.readouterr().err
    assert Settings("h264", rtsp=True, width=2048, height=1152)
    with pytest.raises(ValueError, match="codec: found 'h264', allowed: mjpeg"):
        Settings("h264")
