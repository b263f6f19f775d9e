"""`callbox-sim camera` over HTTP: each word, with plain HTTP and cv2 as those who look."""

import itertools
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from time import monotonic
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from sim_camera import DEADLINE_S, QUIET_S, SimCamera, drain, pictures

from simulators.cli import main
from simulators.picture import read_frame

pytestmark = pytest.mark.real


class Look:
    """A client that reads part by part."""

    def __init__(self, url: str) -> None:
        self.answer: HTTPResponse = urllib.request.urlopen(url, timeout=DEADLINE_S)  # noqa: S310

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()

    def part(self) -> tuple[bytes, float]:
        """The next part and the camera's time of it. Raises OSError or HTTPException where the stream ends."""
        head: dict[str, str] = {}
        assert self.line() == b"--frame\r\n"
        while (line := self.line()) != b"\r\n":
            key, _, value = line.decode().partition(": ")
            head[key] = value.strip()
        assert head["Content-Type"] == "image/jpeg"
        data = self.answer.read(int(head["Content-Length"]))
        assert self.line() == b"\r\n"
        return data, float(head["X-Timestamp"])

    def line(self) -> bytes:
        line = self.answer.readline()
        if not line:
            raise ConnectionResetError("the stream has ended")
        return line

    def parts(self) -> Iterator[tuple[bytes, float]]:
        """With a deadline."""
        until = monotonic() + DEADLINE_S
        while monotonic() < until:
            yield self.part()
        raise AssertionError("what was waited for did not come")

    def numbers(self, count: int) -> list[int]:
        return [number_of(data) for data, _ in itertools.islice(self.parts(), count)]

    def cut(self) -> None:
        """Waits until the connection is reset."""
        with pytest.raises((OSError, HTTPException)):
            for _ in self.parts():
                pass


def decoded(data: bytes) -> Any:
    """BGR; None where it is no picture."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def number_of(data: bytes) -> int:
    frame = read_frame(decoded(data))
    assert frame
    return frame[0]


def consecutive(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.fixture
def camera() -> Iterator[SimCamera]:
    with SimCamera() as camera:
        yield camera


@pytest.fixture
def look(camera: SimCamera) -> Iterator[Look]:
    with Look(camera.url) as look:
        yield look


def test_the_numbers_in_the_pictures_that_cv2_decodes_count_without_a_gap(camera: SimCamera) -> None:
    frames = [read_frame(picture) for picture in itertools.islice(pictures(camera.url), 40)]
    assert consecutive([frame[0] for frame in frames if frame])
    assert len([frame for frame in frames if frame]) == 40


def test_several_clients_see_every_picture_and_one_that_leaves_disturbs_nobody(camera: SimCamera) -> None:
    with Look(camera.url) as one, Look(camera.url) as two:
        with Look(camera.url) as third:
            assert consecutive(third.numbers(2))
        assert consecutive(one.numbers(15))
        assert consecutive(two.numbers(15))


def test_the_time_in_a_picture_is_monotonic_and_a_tick_later_each_time(camera: SimCamera, look: Look) -> None:
    before_ms = monotonic() * 1000 - DEADLINE_S * 1000
    frames = [frame for data, _ in itertools.islice(look.parts(), 16) if (frame := read_frame(decoded(data)))]
    times_ms = [time_ms for _, time_ms in frames]
    assert before_ms < times_ms[0] < times_ms[-1] <= monotonic() * 1000
    assert times_ms[15] - times_ms[0] in (999, 1000, 1001)
    state = camera.say("state")
    assert state["number"] >= frames[-1][0]
    assert state["fault"] is None


def test_the_answer_is_what_a_camera_says_byte_for_byte(camera: SimCamera) -> None:
    camera.say("stall")
    place = urlsplit(camera.url)
    assert place.hostname
    assert place.port
    with socket.create_connection((place.hostname, place.port), DEADLINE_S) as client:
        client.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: camera\r\n\r\n")
        stream = client.makefile("rb")
        head = list(iter(stream.readline, b"\r\n"))
        assert head[0] == b"HTTP/1.0 200 OK\r\n"
        assert b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n" in head
        camera.say("back")
        lines = [stream.readline() for _ in range(5)]
        assert lines[0] == b"--frame\r\n"
        assert lines[1] == b"Content-Type: image/jpeg\r\n"
        assert lines[2].startswith(b"Content-Length: ")
        assert lines[3].startswith(b"X-Timestamp: ")
        assert lines[4] == b"\r\n"
        assert stream.read(int(lines[2].split()[1]))[:2] == b"\xff\xd8"


def test_frozen_the_same_bytes_go_on_with_new_times_until_all_is_well(camera: SimCamera, look: Look) -> None:
    camera.say("freeze")
    parts = look.parts()
    last, time_s = next(parts)
    while (part := next(parts))[0] != last:
        last, time_s = part
    for data, later_s in itertools.islice(parts, 10):
        assert (data, later_s > time_s) == (last, True)
        time_s = later_s
    camera.say("back")
    assert any(number_of(data) > number_of(last) + 10 for data, _ in parts)


@pytest.mark.parametrize(("word", "least", "most"), [("dark", 0, 10), ("covered", 80, 140)])
def test_dark_and_covered_show_noise_alone(camera: SimCamera, look: Look, word: str, least: int, most: int) -> None:
    camera.say(word)
    parts = look.parts()
    picture = next(picture for data, _ in parts if read_frame(picture := decoded(data)) is None)
    assert least <= picture.mean() < most
    assert picture.std() < 5
    assert (decoded(next(parts)[0]) != picture).any()


def test_stalled_nothing_comes_and_the_connection_stays(camera: SimCamera, look: Look) -> None:
    number = look.numbers(1)[0]
    camera.say("stall")
    connection = raw(look)
    drain(connection, QUIET_S)
    camera.say("back")
    with Look(camera.url) as other:
        assert other.numbers(1)[0] > number + 1
    assert connection.recv(1)


def test_dripping_a_byte_comes_at_a_time(camera: SimCamera, look: Look) -> None:
    look.numbers(1)
    camera.say("drip")
    connection = raw(look)
    drain(connection, QUIET_S)
    assert [len(connection.recv(65536)) for _ in range(3)] == [1, 1, 1]
    camera.say("back")
    while len(connection.recv(65536)) < 1000:  # the rest of it all
        pass


def raw(look: Look) -> socket.socket:
    """The bytes beneath, as they come."""
    connection = look.answer.fp.raw._sock  # type: ignore[attr-defined]
    assert isinstance(connection, socket.socket)
    return connection


def test_garbage_comes_as_parts_that_are_no_jpeg(camera: SimCamera, look: Look) -> None:
    camera.say("garbage")
    assert any(data[:2] != b"\xff\xd8" and decoded(data) is None for data, _ in look.parts())
    camera.say("back")
    assert any(data[:2] == b"\xff\xd8" for data, _ in look.parts())


def test_truncated_a_part_is_the_first_half_of_a_jpeg(camera: SimCamera, look: Look) -> None:
    camera.say("truncated")
    data = next(data for data, _ in look.parts() if data[-2:] != b"\xff\xd9")
    assert data[:2] == b"\xff\xd8"
    assert len(data) > 1000


def test_as_html_connections_are_cut_and_a_page_answers(camera: SimCamera, look: Look) -> None:
    camera.say("html")
    look.cut()
    with urllib.request.urlopen(camera.url, timeout=DEADLINE_S) as answer:  # noqa: S310
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.read().startswith(b"<!DOCTYPE html>")
    camera.say("back")
    with Look(camera.url) as again:
        assert again.numbers(1)


def test_vanished_connections_are_cut_and_refused_until_it_is_back(camera: SimCamera, look: Look) -> None:
    camera.say("vanish")
    look.cut()
    with pytest.raises(OSError, match="refused"):
        Look(camera.url)
    camera.say("back")
    with Look(camera.url) as again:
        assert consecutive(again.numbers(3))


def test_rebooted_its_times_begin_anew_and_it_is_as_told(camera: SimCamera, look: Look) -> None:
    before = number_of(look.part()[0])
    camera.say("step 1000")
    state = camera.say("reboot 0.2 size=320x240 fps=10")
    look.cut()
    assert (state["size"], state["fps"], state["fault"], state["url"]) == ("320x240", 10, None, camera.url)
    with Look(camera.url) as again:
        data, time_s = again.part()
        assert number_of(data) > before + 1
        assert time_s < DEADLINE_S
        assert decoded(data).shape == (240, 320, 3)
        assert again.part()[1] - time_s == pytest.approx(0.1, abs=1e-5)


def test_another_size_comes_on_the_connection_that_stands(camera: SimCamera, look: Look) -> None:
    first = decoded(look.part()[0])
    camera.say("size 320x240")
    assert first.shape == (360, 640, 3)
    assert any(decoded(data).shape == (240, 320, 3) for data, _ in look.parts())


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_its_clock_jumps_ahead_and_back(camera: SimCamera, look: Look, step_s: int) -> None:
    before_s = look.part()[1]
    camera.say(f"step {step_s}")
    after_s = next(time_s for _, time_s in look.parts() if abs(time_s - before_s) > 100)
    assert after_s - before_s == pytest.approx(step_s, abs=DEADLINE_S)


def test_the_link_takes_the_words_of_wan(camera: SimCamera, look: Look) -> None:
    look.numbers(1)
    camera.say("link half-open")
    drain(raw(look), QUIET_S)
    camera.say("back")
    look.cut()  # a connection that lost bytes
    with Look(camera.url) as again:
        assert again.numbers(1)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_only_who_shows_the_credentials_sees_pictures(auth: str) -> None:
    with SimCamera(user="eye:open sesame", auth=auth) as camera:
        with pytest.raises(HTTPError, match="401") as refused:
            Look(camera.url)
        assert refused.value.headers["WWW-Authenticate"].lower().startswith(f'{auth} realm="camera"')
        for password, good in (("wrong", False), ("open sesame", True)):
            known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            known.add_password(None, camera.url, "eye", password)
            handlers = urllib.request.HTTPBasicAuthHandler(known), urllib.request.HTTPDigestAuthHandler(known)
            opener = urllib.request.build_opener(*handlers)
            if good:
                with opener.open(camera.url, timeout=DEADLINE_S) as answer:
                    assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
            else:
                with pytest.raises((HTTPError, ValueError), match=r"401|retry"):
                    opener.open(camera.url, timeout=DEADLINE_S)
        assert read_frame(next(pictures(camera.login_url.replace(" ", "%20"))))


def test_a_file_of_words_is_a_script_and_the_camera_goes_on_after_it() -> None:
    with SimCamera() as camera:
        assert camera.process.stdin
        camera.process.stdin.write("state\nfreeze\nwait 0.5\nback\n")
        camera.process.stdin.close()
        assert camera.process.stdout
        states = [json.loads(camera.process.stdout.readline()) for _ in range(4)]
        assert [state["fault"] for state in states] == [None, "freeze", "freeze", None]
        assert states[2]["number"] - states[1]["number"] >= 5
        with Look(camera.url) as look:
            assert look.numbers(2)
        assert camera.stop() == 0


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sneeze", "no such command: 'sneeze'; allowed: freeze, dark"),
        ("size big", "size: found 'big', allowed: WxH"),
        ("size 641x360", "size: found '641x360', allowed: WxH"),
        ("reboot 1 codec=h264", "codec: found 'h264', allowed: mjpeg"),
        ("reboot 1 colour=red", "reboot: found 'colour=red', allowed: size=WxH"),
        ("bframes 9", "bframes: found '9', allowed: 0-3"),
        ("step far", "far"),
        ("link sneeze", "no such command: 'sneeze'"),
    ],
)
def test_a_wrong_word_says_what_is_allowed_and_changes_nothing(word: str, told: str) -> None:
    with SimCamera() as camera:
        before = camera.say("state")
        with pytest.raises(AssertionError, match=told):
            camera.say(word)
        after = camera.say("state")
        assert {key: after[key] for key in ("fault", "size", "codec")} == {
            key: before[key] for key in ("fault", "size", "codec")
        }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--size", "wide"], "size: found 'wide', allowed: WxH"),
        (["--fps", "0"], "fps: found '0', allowed: 1-60"),
        (["--user", "eye"], "--user: found 'eye', allowed: NAME:PASSWORD"),
    ],
)
def test_a_wrong_option_is_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = [sys.executable, "-c", "import sys; from simulators.cli import main; sys.exit(main())", "camera"]
        port = str(taken.getsockname()[1])
        done = subprocess.run([*argv, "--port", port], check=False, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1
    assert "no camera: " in done.stderr
    assert "in use" in done.stderr
