"""The cameras' processes: told, listened to, killed when they hang or grow, started again; against real processes."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
from config_file import SMALL, loaded
from driver_host import DEADLINE_S

from agent import cameras
from agent.cameras import Cameras
from agent.config import Config
from agent.mail import Message
from agent.media_mail import CameraFile, CameraSaid, CameraStarted, Filed, Record, TakePicture

FAKE = Path(__file__).with_name("fake_camera.py")
PASSWORD = "s3cret/&:pass word"
FILE = {
    "sha256": "0" * 64,
    "plain_sha256": "1" * 64,
    "bytes": 1_000,
    "media_type": "video/mp2t",
    "from_s": 1.5,
    "to_s": 2.5,
    "ends_s": 2.75,
}


class Bench:
    """One camera whose process does `what`, and what is said of it."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, secret: bool = False) -> None:
        self.folder, self._patch = tmp_path, monkeypatch
        self.said: Queue[Message] = Queue()
        credentials = ""
        if secret:
            (tmp_path / "password").write_text(f"admin:{PASSWORD}\n", encoding="utf-8")
            credentials = f", credentials_file: {tmp_path}/password"
        text = f'cameras:\n  - {{id: front, source: "rtsp://10.0.0.2/main", before_s: 7{credentials}}}\n'
        self.config: Config = loaded(tmp_path / "box.yaml", SMALL + text)
        self.cameras = Cameras(self.config, tmp_path / "media", self.said.put)
        self.camera = self.cameras._all["front"]
        monkeypatch.setattr(cameras, "BACKOFF_FIRST_S", 0.01)

    def start(self, what: str, *more: str) -> None:
        self._patch.setattr(cameras, "COMMAND", (sys.executable, str(FAKE), str(self.folder), what, *more))
        self.cameras.start()

    def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first message that is wanted."""
        try:
            while not wanted(message := self.said.get(timeout=DEADLINE_S)):
                pass
        except Empty:
            raise AssertionError(f"it never came; quality {self.camera.quality}") from None
        return message

    def offline(self) -> str:
        """Waits until the process was given up; why."""
        said: CameraSaid = self.until(lambda message: isinstance(message, CameraSaid) and message.quality == "offline")
        return said.reason

    def started(self) -> None:
        self.until(lambda message: isinstance(message, CameraStarted))

    def good(self) -> None:
        self.until(lambda message: message == CameraSaid("front", "good", ""))

    @property
    def lives(self) -> list[int]:
        """Process ids."""
        file = self.folder / "lives"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def first(self) -> dict[str, Any]:
        words: dict[str, Any] = json.loads((self.folder / "first").read_bytes())
        return words


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.cameras.stop(DEADLINE_S)
    assert all(map(gone, made.lives)), "a process of a camera is left over"


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch, secret=True)
    yield made
    made.cameras.stop(DEADLINE_S)


# ---- told


def test_the_first_line_says_who_the_camera_is(bench: Bench) -> None:
    bench.start("well")
    bench.good()
    assert bench.first() == {
        "camera": "front",
        "source": "rtsp://10.0.0.2/main",
        "before_s": 7,
        "ring_bytes_max": 33_554_432,
        "media_dir": f"{bench.folder}/media",
        "recipients": [],
        "look_s": 60.0,
    }


def test_wishes_are_told_as_words(bench: Bench) -> None:
    bench.start("well")
    bench.good()
    for wish, word in (
        (Record("front", 1.5, 30.25), {"record": [1.5, 30.25]}),
        (TakePicture("front", 7.0), {"picture": 7.0}),
    ):
        bench.cameras.tell(wish)
        heard = bench.until(lambda message: isinstance(message, CameraSaid) and message.quality == "gap")
        assert json.loads(heard.reason) == word


def test_a_wish_before_the_process_stands_or_to_one_that_hangs_blocks_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.cameras.tell(TakePicture("front", 7.0))
    monkeypatch.setattr(cameras, "START_S", DEADLINE_S)
    bench.start("mute")
    bench.started()
    for number in range(20_000):  # far more than a pipe holds
        bench.cameras.tell(TakePicture("front", float(number)))


# ---- listened to


def test_files_are_told_as_they_are(bench: Bench) -> None:
    file = {**FILE, "encrypted": "age", "key_frame": True}
    bench.start("says", json.dumps({"files": [file], "through_s": 9.5}))
    filed = bench.until(lambda message: isinstance(message, Filed))
    told = CameraFile("0" * 64, "1" * 64, 1_000, "video/mp2t", 1.5, 2.5, 2.75, encrypted=True, key_frame=True)
    assert filed == Filed("front", (told,), 9.5)


def test_its_beat_and_its_quality_are_shown(bench: Bench) -> None:
    bench.start("well")
    bench.good()
    bench.cameras.tell(TakePicture("front", 7.0))
    bench.until(lambda message: isinstance(message, CameraSaid) and message.quality == "gap")
    [status] = bench.cameras.status()
    assert (status["id"], status["quality"], status["restarts"], status["packets"]) == ("front", "gap", 0, 7)
    assert bench.cameras.progress().keys() == {"camera front"}


NONSENSE = [
    "a line of a codec",
    "[]",
    "null",
    "{}",
    "[" * 100_000,
    json.dumps({"beat": {}}),
    json.dumps({"beat": {"rss_bytes": "much", "seen_s": 1.0}}),
    json.dumps({"quality": "excellent"}),
    json.dumps({"files": [{}], "through_s": 1.0}),
    json.dumps({"files": ["x"], "through_s": 1.0}),
    json.dumps({"files": [FILE], "through_s": "soon"}),
    json.dumps({"files": [FILE], "through_s": float("nan")}),
    json.dumps({"files": [FILE], "through_s": 10**400}),
    *(
        json.dumps({"files": [{**FILE, name: value}], "through_s": 1.0})
        for name, value in (
            ("sha256", "../../etc/passwd"),
            ("sha256", "A" * 64),
            ("sha256", 5),
            ("plain_sha256", None),
            ("bytes", "1000"),
            ("bytes", 0),
            ("bytes", -1),
            ("bytes", True),
            ("bytes", 1.5),
            ("media_type", "\ud800"),
            ("media_type", "video/" + "x" * 100_000),
            ("from_s", float("nan")),
            ("from_s", "1"),
            ("from_s", 3.0),
            ("to_s", float("inf")),
            ("ends_s", 2.0),
            ("ends_s", float("inf")),
        )
    ),
]


@pytest.mark.parametrize("line", NONSENSE, ids=lambda line: line[-60:])
def test_a_process_that_says_nonsense_is_another_one_soon_and_the_box_hears_none_of_it(bench: Bench, line: str) -> None:
    if len(line.encode("utf-8", "replace")) > 100_000 - 1:
        line = line[:100_000]
    heard = bench.camera._heard(line.encode("utf-8", "replace"))
    assert heard.startswith("its process said what nobody understands")
    assert bench.said.empty()


def test_a_process_that_says_nonsense_is_killed_and_started_again(bench: Bench) -> None:
    bench.start("says", "a line of a codec")
    assert "said what nobody understands" in bench.offline()
    bench.started()
    assert bench.camera.restarts >= 1


def test_what_it_says_of_itself_is_cut_and_can_always_be_an_event(bench: Bench) -> None:
    assert bench.camera._heard(b'{"quality": "dark", "reason": "\\ud800' + b"x" * 100_000 + b'"}') == ""
    said = bench.said.get()
    assert isinstance(said, CameraSaid)
    assert said.reason.startswith("?xxx")
    assert len(said.reason) <= 300


# ---- killed, and started again


@pytest.mark.parametrize(
    ("what", "limit", "reason"),
    [
        ("silent", "SILENT_S", "its process said nothing for 0 s"),
        ("mute", "START_S", "its process said nothing for 0 s"),
        ("starved", "STARVED_S", "no picture came for 0 s"),
        ("grown", "", "its process has grown to 2000 MB; 268 MB are allowed"),
        ("endless", "", "its process says too much"),
        ("chatty", "", "its process says too much"),
        ("dies", "", "its process ended (exit 3)"),
        ("crashes", "", "its process ended (signal 11)"),
        ("closes", "END_S", "its process ended (it closed its output)"),
    ],
)
def test_a_process_that_does_not_do_its_part_is_killed_and_another_one_is_started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str, limit: str, reason: str
) -> None:
    if limit:
        monkeypatch.setattr(cameras, limit, 0.2)
    bench.start(what)
    assert bench.offline() == f"{reason}; its process is started again"
    first = bench.lives[0]
    assert gone(first), "by SIGKILL, and waited for"
    bench.started()


def test_a_process_that_somebody_kills_is_another_one_and_is_told_that_it_is_new(bench: Bench) -> None:
    bench.start("well")
    bench.good()
    os.kill(bench.lives[0], signal.SIGKILL)
    assert bench.offline() == "its process ended (signal 9); its process is started again"
    bench.started()
    bench.good()
    assert len(bench.lives) == 2
    assert bench.camera.restarts == 1


def test_a_command_that_is_not_there_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "COMMAND", ("/no/such/program",))
    bench.cameras.start()
    assert "it cannot be started" in bench.offline()
    monkeypatch.setattr(cameras, "COMMAND", (sys.executable, str(FAKE), str(bench.folder), "well"))
    bench.good()


def test_pauses_grow_to_a_minute_and_no_number_of_failures_ends_the_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(cameras, "BACKOFF_FIRST_S", 1.0)
    monkeypatch.setattr("agent.cameras.random.uniform", lambda _, most: most)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2_000:
            bench.camera._ending.set()

    monkeypatch.setattr(bench.camera, "_once", lambda: "it fails")
    monkeypatch.setattr(bench.camera, "_pause", pause)
    bench.camera._run()
    assert pauses[:7] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert len(pauses) == 2_000


# ---- the end


@pytest.mark.parametrize("what", ["well", "stubborn", "mute", "endless"])
def test_at_the_stop_the_process_ends_or_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(cameras, "END_S", 0.1)
    bench.start(what)
    bench.started()
    bench.cameras.stop(DEADLINE_S)
    assert bench.camera._thread is not None
    assert not bench.camera._thread.is_alive()
    assert all(map(gone, bench.lives))


def test_a_stop_before_the_start_starts_nothing(bench: Bench) -> None:
    bench.cameras.stop(0.0)
    bench.start("well")
    bench.camera.join(DEADLINE_S)
    assert bench.lives == []


def test_the_limits_end_a_hung_process_within_the_loops_own_patience() -> None:
    from agent.loop import GOODBYE_S

    assert cameras.TURN_S + cameras.END_S < GOODBYE_S


# ---- credentials


def test_credentials_reach_the_process_by_its_input_alone(secret: Bench, caplog: pytest.LogCaptureFixture) -> None:
    secret.start("well")
    secret.good()
    assert secret.first()["source"] == "rtsp://admin:s3cret%2F%26%3Apass%20word@10.0.0.2/main"
    for file in ("cmdline", "environ"):
        content = Path(f"/proc/{secret.lives[0]}/{file}").read_bytes()
        assert content, file
        assert b"s3cret" not in content
    assert "s3cret" not in caplog.text


def test_what_a_process_says_of_its_source_is_told_without_the_credentials(
    secret: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    secret.start("tells")
    told = [secret.offline(), secret.offline()]
    assert told[0] == "cannot open rtsp://***@10.0.0.2/main"
    assert "said what nobody understands" in told[1]
    assert "s3cret" not in "".join(told) + caplog.text


@pytest.mark.parametrize("content", [None, "no colon", b"\xff\xfe:x"])
def test_credentials_that_cannot_be_read_say_where_and_are_read_again(
    secret: Bench, content: str | bytes | None
) -> None:
    file = secret.folder / "password"
    good = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    secret.start("well")
    reason = secret.offline()
    assert "it cannot be started" in reason
    assert "no colon" not in reason
    file.write_bytes(good)
    secret.good()


def test_the_environment_of_a_process_is_not_the_daemons(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    bench.start("well")
    bench.good()
    names = {entry.split(b"=")[0] for entry in Path(f"/proc/{bench.lives[0]}/environ").read_bytes().split(b"\0")}
    assert not names & {b"NOTIFY_SOCKET", b"SOME_TOKEN"}
    assert b"PATH" in names


def test_a_wish_is_never_written_to_a_pipe_that_is_being_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a pipe that was closed may be the journal's a moment later: nothing may be written to it."""
    bench.start("well")
    bench.good()
    written: list[bool] = []
    write = os.write

    def watched(fd: int, data: bytes) -> int:
        written.append(bench.camera._pipe.locked())
        return write(fd, data)

    monkeypatch.setattr("agent.cameras.os.write", watched)
    bench.cameras.tell(TakePicture("front", 1.0))
    assert written == [True]
    with bench.camera._pipe:
        os.kill(bench.lives[0], signal.SIGKILL)
        assert bench.camera._process is not None
        process = bench.camera._process
        process.wait(DEADLINE_S)
        assert process.stdin is not None and not process.stdin.closed
