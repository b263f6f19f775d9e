"""`callbox status` in words: cameras, and evidence that central has not."""

import threading
from pathlib import Path
from typing import Any

import pytest
from bench_box import YAML, Bench, config

from agent.cameras import CameraProcess, Cameras
from agent.cli import main
from agent.status import StatusServer

DEADLINE_S = 10.0
BEAT: dict[str, Any] = {
    "packets": 250,
    "bad": 1,
    "bytes": 9,
    "fps": 25.0,
    "codec": "h264",
    "width": 1920,
    "height": 1080,
    "ring_s": 10.25,
    "ring_bytes": 4_120_000,
    "rss_bytes": 51_400_000,
    "offset_s": 0.1,
    "seen_s": 90.0,
}
FRONT: dict[str, Any] = {"id": "front", "quality": "good", "restarts": 0, "seen_ago_s": 0.3, **BEAT}
FILM = (
    YAML
    + """
cameras:
  - {id: front, source: "rtsp://10.0.0.20/1"}
  - {id: back, source: /dev/video0}
"""
)


def table(tmp_path: Path, capsys: pytest.CaptureFixture[str], *cameras: dict[str, Any], media_bytes: int = 0) -> str:
    """What is printed of a box that answers so."""
    status = Bench().box.status()
    status |= {"armed": True, "cameras": list(cameras), "pending": {**status["pending"], "media_bytes": media_bytes}}
    woken, ended = threading.Event(), threading.Event()
    server = StatusServer(tmp_path, woken.set)

    def serve() -> None:
        while not ended.is_set():
            woken.wait(0.1)
            server.serve(lambda _, answer: answer(status))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        main(["status", "--state-dir", str(tmp_path)])
    finally:
        ended.set()
        thread.join(DEADLINE_S)
        server.close()
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOX_LANG", "en")


def line(out: str, first: str) -> str:
    [found] = [line for line in out.splitlines() if line.startswith(first)]
    return found.split(maxsplit=1)[1]


def test_a_camera_is_a_line_of_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert line(table(tmp_path, capsys, FRONT), "camera") == (
        "front  good  25.0 fps h264 1920x1080  ring 10.2 s 4.1 MB, memory 51.4 MB  last picture 0.3 s ago"
    )


def test_of_a_camera_whose_process_has_not_spoken_only_that_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = {"id": "back", "quality": "offline", "restarts": 3, "seen_ago_s": None}
    assert line(table(tmp_path, capsys, silent), "camera") == "back  OFFLINE  started again 3 times"


@pytest.mark.parametrize("quality", ["good", "offline", "frozen", "dark", "covered", "drift", "gap", "storage"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_quality_of_a_camera_has_its_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quality: str, language: str
) -> None:
    monkeypatch.setenv("CALLBOX_LANG", language)
    first = {"en": "camera", "zh": "摄像头"}[language]
    assert line(table(tmp_path, capsys, FRONT | {"quality": quality}), first)


def test_evidence_that_central_has_not_is_told_in_megabytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert line(table(tmp_path, capsys, media_bytes=3_210_000), "pending") == "status 1, evidence 3.2 MB"
    assert "evidence" not in line(table(tmp_path, capsys), "pending")


def test_the_daemon_tells_how_long_ago_the_last_picture_came(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras = Cameras(config(FILM), Path("/nowhere"), lambda _: None)
    front: CameraProcess = cameras._all["front"]
    front.beat, front.restarts = BEAT, 2
    monkeypatch.setattr("agent.cameras.time.monotonic", lambda: 92.5)
    told, silent = cameras.status()
    assert (told["seen_ago_s"], told["restarts"], told["fps"]) == (2.5, 2, 25.0)
    assert silent == {"id": "back", "quality": "offline", "restarts": 0, "seen_ago_s": None}
