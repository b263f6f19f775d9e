"""`callbox preview`: what the technician hears and gets, with a box that answers as the test says."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import cameras
from agent.cameras import CameraProcess
from agent.cli import main
from agent.config import Camera
from agent.status import StatusServer, ask

JPEG = b"\xff\xd8 a small picture \xff\xd9"
SHOWN = {"jpeg": base64.b64encode(JPEG).decode(), "reason": ""}
DEADLINE_S = 10.0


class Box:
    """A loop that answers previews when the test lets it."""

    def __init__(self, state_dir: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = SHOWN
        self.heard, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self._woken = threading.Event()
        self._ended = False
        self.server = StatusServer(state_dir, self._woken.set)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            self._woken.wait(0.1)
            self._woken.clear()
            self.server.serve(self._handle)

    def _handle(self, request: dict[str, Any], answer: Any) -> None:
        self.asked.append(request)
        self.heard.set()
        if request["ask"] == "status":
            answer({"armed": True})
        else:
            threading.Thread(target=lambda: self.may_answer.wait(DEADLINE_S) and answer(self.answer)).start()

    def end(self) -> None:
        self._ended = True
        self.may_answer.set()
        self._thread.join(DEADLINE_S)
        self.server.close()


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLBOX_LANG", "en")
    made = Box(tmp_path)
    yield made
    made.end()


def preview(directory: Path, *more: str) -> int:
    return main(["preview", "front", "--state-dir", str(directory), *more])


def test_the_picture_is_written_where_it_is_wanted(
    tmp_path: Path, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview(tmp_path) == 0
    assert (tmp_path / "front.jpg").read_bytes() == JPEG
    assert preview(tmp_path, "--out", str(tmp_path / "how.jpg")) == 0
    assert (tmp_path / "how.jpg").read_bytes() == JPEG
    assert box.asked == [{"ask": "preview", "camera": "front"}] * 2
    assert "camera front: its newest picture is in front.jpg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "english", "chinese"),
    [
        ({"cameras": ["door", "desk"]}, "there is no camera front; this box has: door, desk", "没有摄像头 front"),
        ({"cameras": []}, "there is no camera front; this box has: none", "没有摄像头 front"),
        (
            {"jpeg": "", "reason": "the camera brings no picture: nobody listens there"},
            "camera front shows nothing: the camera brings no picture: nobody listens there",
            "摄像头 front 没有画面",
        ),
    ],
    ids=["no such camera", "no camera at all", "away"],
)
def test_why_there_is_no_picture_is_told_in_both_languages(
    tmp_path: Path,
    box: Box,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, Any],
    english: str,
    chinese: str,
) -> None:
    box.answer = answer
    assert preview(tmp_path) == 1
    assert english in capsys.readouterr().out
    monkeypatch.setenv("CALLBOX_LANG", "zh")
    assert preview(tmp_path) == 1
    assert chinese in capsys.readouterr().out
    assert not (tmp_path / "front.jpg").exists()


def test_a_box_that_does_not_run_is_told_as_by_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(tmp_path) == 3
    assert main(["status", "--state-dir", str(tmp_path)]) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[0] == said[1]


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(tmp_path, "--out", str(tmp_path / "none" / "front.jpg")) == 1
    assert "front.jpg: No such file or directory" in capsys.readouterr().err


def test_who_waits_for_a_picture_holds_up_no_one_who_asks_for_the_status(tmp_path: Path, box: Box) -> None:
    box.may_answer.clear()
    waiting = threading.Thread(target=preview, args=(tmp_path,))
    waiting.start()
    assert box.heard.wait(DEADLINE_S)
    assert ask(tmp_path) == {"armed": True}
    assert waiting.is_alive()
    box.may_answer.set()
    waiting.join(DEADLINE_S)
    assert (tmp_path / "front.jpg").read_bytes() == JPEG


# ---- the daemon's side


class Heard:
    """What became of a preview."""

    def __init__(self) -> None:
        self.said: list[dict[str, object]] = []
        self.came = threading.Event()

    def __call__(self, words: Any) -> None:
        self.said.append(dict(words))
        self.came.set()


def test_a_process_that_does_not_run_or_ends_meanwhile_leaves_no_preview_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears = tmp_path / "hears"
    hears.write_text("#!/bin/sh\nread first\nread word\n", encoding="ascii")  # and ends
    hears.chmod(0o755)
    monkeypatch.setattr(cameras, "COMMAND", (str(hears),))
    started = threading.Event()
    camera = CameraProcess(
        Camera.model_validate({"id": "front", "source": "rtsp://h/"}), tmp_path, (), lambda _: started.set()
    )
    early, late = Heard(), Heard()
    camera.preview("1", True, early)
    assert early.said == [{"jpeg": "", "reason": "its process does not run; see the trouble of this camera"}]
    camera.start()
    assert started.wait(DEADLINE_S)
    camera.preview("2", True, late)
    assert late.came.wait(DEADLINE_S)
    camera.end()
    camera.join(DEADLINE_S)
    assert late.said == [{"jpeg": "", "reason": "its process ended; it is started again"}]
