"""RTSP and files through OpenCV as packets, against FFmpeg's own view of the same files, and against what is none."""

import os
import socket
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from camera_clips import film, probed
from camera_server import CameraServer, forever, says
from sim_camera import SimCamera

from drivers import cv2_source, nal
from drivers.cv2_source import Cv2Source
from drivers.packets import CameraError, Packet


def refusal(source: str) -> str:
    with pytest.raises(CameraError) as caught:
        Cv2Source(source).read()
    return str(caught.value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2_source, "WAIT_S", 1)


@pytest.fixture
def unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files as fast as they can be read."""
    monkeypatch.setattr(Cv2Source, "_pace", lambda _, dts_s: dts_s)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("h264", "mp4"),
        ("h264", "mkv"),
        ("b-frames", "mp4"),
        ("b-frames", "ts"),
        ("b-frames", "mkv"),
        ("hevc", "mp4"),
        ("mjpeg", "avi"),
    ],
)
def test_times_and_key_pictures_of_a_file_are_those_in_it(
    tmp_path: Path, unpaced: None, kind: str, suffix: str
) -> None:
    path = film(tmp_path / f"film.{suffix}", kind)
    expected = probed(path)
    source = Cv2Source(str(path))
    packets = [source.read() for _ in expected]
    source.close()
    assert (source.stream.width, source.stream.height) == (160, 120)
    first_s = packets[0].pts_s
    assert [packet.key for packet in packets] == [key for _, key in expected]
    assert [packet.pts_s - first_s for packet in packets] == pytest.approx([at_s for at_s, _ in expected], abs=0.0011)
    if kind != "mjpeg":  # the parameters of MP4 and Matroska come with the key pictures
        sets = nal.parameter_sets(source.stream.codec, packets[0].data)
        stream = replace(source.stream, parameter_sets=sets)
        assert [nal.check(packet.data, stream) for packet in packets] == [""] * len(packets)


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_decoding_times_rise_and_are_never_after_the_showing(tmp_path: Path, unpaced: None, suffix: str) -> None:
    source = Cv2Source(str(film(tmp_path / f"film.{suffix}", "b-frames")))
    packets = [source.read() for _ in range(20)]
    source.close()
    decoded = [packet.dts_s for packet in packets]
    assert decoded == sorted(set(decoded))
    assert all(packet.dts_s <= packet.pts_s + 0.001 for packet in packets)
    assert any(packet.pts_s != packet.dts_s for packet in packets)


def test_a_file_plays_again_from_its_start_and_its_times_go_on(tmp_path: Path, unpaced: None) -> None:
    source = Cv2Source(str(film(tmp_path / "film.mp4", "h264", 1)))
    packets = [source.read() for _ in range(35)]
    source.close()
    assert [packet.pts_s for packet in packets] == pytest.approx([number / 10 for number in range(35)])
    assert [packet.data for packet in packets[:10]] == [packet.data for packet in packets[20:30]]


def test_a_file_plays_in_real_time(tmp_path: Path) -> None:
    source = Cv2Source(str(film(tmp_path / "film.avi", "mjpeg", 1)))
    packets = [source.read() for _ in range(12)]
    source.close()
    assert packets[-1].seen_s - packets[0].seen_s >= 1.1 - 0.001
    assert all(packet.seen_s >= packets[0].seen_s + packet.pts_s - 0.001 for packet in packets)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        pytest.param("h264", {}, marks=pytest.mark.soak),
        ("h264", {"sdp_only": True}),
        ("h264", {"bframes": 2}),
        pytest.param("hevc", {"sdp_only": True}, marks=pytest.mark.soak),
        ("hevc", {"bframes": 2}),
        ("mjpeg", {}),
    ],
)
@pytest.mark.real
def test_a_camera_over_rtsp_is_read_with_times_that_go_on(codec: str, options: dict[str, Any]) -> None:
    """FFmpeg's start moves within the first pictures: times must not."""
    with SimCamera(rtsp=True, codec=codec, gop=10, **options) as camera:
        source = Cv2Source(camera.url)
        packets: list[Packet] = [source.read() for _ in range(25)]
        source.close()
    assert source.stream.codec == codec
    assert (source.stream.width, source.stream.height) == (640, 360)
    assert bool(source.stream.parameter_sets) == (codec != "mjpeg")
    shown = sorted(packet.pts_s for packet in packets)[:20]
    steps = [round((later - earlier) * 15, 2) for earlier, later in pairwise(shown)]
    assert all(step == round(step) and 1 <= step <= 3 for step in steps), steps
    decoded = [packet.dts_s for packet in packets]
    assert decoded == sorted(decoded)
    assert all(packet.dts_s <= packet.pts_s + 0.001 for packet in packets)
    assert packets[0].key
    seen = [packet.seen_s for packet in packets]
    assert seen == sorted(seen)
    if codec != "mjpeg":
        assert [nal.check(packet.data, source.stream) for packet in packets] == [""] * 25


def rtsp(*answers: bytes) -> bytes:
    """What a camera says to OPTIONS (CSeq 1), DESCRIBE (2) and after."""
    return b"".join(
        b"RTSP/1.0 %s\r\nCSeq: %d\r\n%s\r\n" % (answer.partition(b"|")[0], number, answer.partition(b"|")[2])
        for number, answer in enumerate(answers, 1)
    )


DIGEST = b'401 Unauthorized|WWW-Authenticate: Digest realm="cam", nonce="n"\r\n'


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (rtsp(b"200 OK|", DIGEST, DIGEST, DIGEST), "refuses the user and password, or wants some; check both"),
        (rtsp(b"200 OK|", b"404 Not Found|"), "does not know this path"),
        (rtsp(b"200 OK|", b"453 Not Enough Bandwidth|"), "has no stream free"),
        (rtsp(b"200 OK|", b"500 Internal Server Error|"), "answers with RTSP status 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>", "no video that can be read is there"),
        (b"\0garbage" * 1000, "no video that can be read is there"),
    ],
    ids=["password", "path", "busy", "error", "html", "garbage"],
)
def test_a_camera_that_refuses_is_told_with_the_reason_and_without_its_credentials(answer: bytes, told: str) -> None:
    with CameraServer(says(answer)) as server:
        text = refusal(f"rtsp://admin:geheim@127.0.0.1:{server.port}/path/geheim?token=geheim")
    assert told in text
    assert text.startswith(f"rtsp://127.0.0.1:{server.port}: ")
    assert "geheim" not in text
    assert "admin" not in text


def test_a_camera_that_says_nothing_is_left(impatient: None) -> None:
    with CameraServer(says(hold=True)) as server:
        assert "nothing came within 1 s; check the camera's power" in refusal(f"rtsp://127.0.0.1:{server.port}/")


def test_an_endless_answer_is_left(impatient: None) -> None:
    with CameraServer(forever(b"RTSP/1.0 200 OK\r\n", b"X: y\r\n")) as server:
        text = refusal(f"rtsp://127.0.0.1:{server.port}/")
    assert "nothing came within 1 s" in text or "no video that can be read" in text


@pytest.mark.real
def test_a_camera_that_falls_silent_is_told(impatient: None) -> None:
    with SimCamera(rtsp=True, codec="h264") as camera:
        source = Cv2Source(camera.url)
        source.read()
        camera.say("stall")
        with pytest.raises(CameraError, match="the stream ended, or nothing came in 1 s; it is opened again"):
            for _ in range(200):
                source.read()
        source.close()


def test_a_host_that_is_not_there_is_told_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "nobody listens there; check the port" in refusal(f"rtsp://a:geheim@127.0.0.1:{port}/")
    assert "no host of this name" in refusal("rtsp://a:geheim@camera.invalid/")


def test_what_is_no_device_and_no_video_is_told_clearly(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 1000, encoding="ascii")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert "this is a directory; allowed is /dev/videoN or a video file" in refusal(str(tmp_path))
    assert "this is a directory" in refusal("/dev")
    assert "No such file or directory; check the cable, and the names in" in refusal("/dev/video99")
    assert "No such file or directory; check the path" in refusal(str(tmp_path / "gone.mp4"))
    assert "no device and no file" in refusal(str(pipe))
    assert "no video that can be read is there" in refusal("/dev/null")
    assert "no video that can be read is there" in refusal(str(text))
    assert "no video that can be read is there" in refusal(str(empty))
    assert "allowed are rtsp, rtsps, http and https" in refusal("ftp://a:geheim@cam/")


def test_a_codec_that_is_not_ours_is_named(tmp_path: Path) -> None:
    path = tmp_path / "old.avi"
    source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=1"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", "mpeg4", str(path)], check=True)
    assert "allowed is H.264, HEVC or MJPEG; change its settings" in refusal(str(path))


def test_nothing_of_ffmpeg_reaches_the_error_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refusal("rtsp://admin:geheim@camera.invalid/")
    refusal(str(tmp_path))
    assert capfd.readouterr() == ("", "")
