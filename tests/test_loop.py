"""The deciding thread's own life: which signal ends it, and how it goes back to a disk."""

import gc
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from agent import storage
from agent.clock import Clock, boot_id
from agent.config import load
from agent.identity import Ed25519Signer, Signer
from agent.journal import FILE, Journal
from agent.loop import Loop
from agent.mail import Connect, Drop
from agent.media_mail import Filed
from agent.models import LastEnd
from agent.status import SOCKET, ask
from agent.storage import Found
from drivers.contract import Edge, Fix, Health, Host, Paper


def no_disk() -> tuple[Found, Signer]:
    raise OSError("not here")


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    file = tmp_path / "box.yaml"
    file.write_text(f"""\
box: {{site: s, id: b}}
state_dir: {tmp_path}
links: [{{url: "mqtt://127.0.0.1:1"}}]
drivers: [{{id: panel, type: line, port: {tmp_path}/none}}]
inputs: [{{id: a, driver: panel, pressed: "^A$", kind: panic}}]
""")
    yield Loop(load(file), Found(Journal(None)), Ed25519Signer.generate(), boot_id(), Clock(), no_disk)
    for number, handler in kept.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, kept)


@pytest.mark.parametrize(
    ("room", "brought"),
    [("_media", Filed("front", (), 1.0)), ("_zones", Paper("a", "td3", {}, (), 1.0)), ("_zones", Fix("a", 1, 1, 1.0))],
    ids=["camera", "paper", "place"],
)
def test_a_fault_in_what_was_brought_costs_that_and_no_alarm(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, room: str, brought: Any
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(getattr(loop._box, room), "handle" if room == "_media" else "reading", breaks)
        (loop._mailbox.answer if room == "_media" else partial(loop._mailbox.put, "panel"))(brought)
        loop._step()
    assert f"what {type(brought).__name__} brought was not understood" in caplog.text
    loop._mailbox.put("panel", Edge("a", True, time.monotonic(), settled=True))
    loop._step()
    assert loop._box._alarms.of("a") is not None


@pytest.mark.timeout(30)
def test_a_sigterm_that_comes_while_a_bad_config_is_refused_still_ends_the_box(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses() -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    monkeypatch.setattr(loop, "_arm", lambda: os.kill(os.getpid(), signal.SIGHUP))
    assert loop.run(config_hash="x", reloadable=refuses) == signal.SIGTERM


@pytest.mark.timeout(30)
def test_a_sigterm_that_comes_while_the_box_stops_for_a_reload_ends_it(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, told = loop._stop, []

    def slow(end: LastEnd) -> None:
        told.append(end)
        os.kill(os.getpid(), signal.SIGTERM)
        stop(end)

    monkeypatch.setattr(loop, "_stop", slow)
    monkeypatch.setattr(loop, "_arm", lambda: os.kill(os.getpid(), signal.SIGHUP))
    assert loop.run(config_hash="x", reloadable=lambda: True) == signal.SIGTERM
    assert told == ["reload"]


@pytest.mark.timeout(30)
def test_what_is_told_in_the_step_in_which_the_disk_is_back_is_numbered_for_the_disk(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Journal(tmp_path / FILE)

    def back() -> None:
        loop._mailbox.put("panel", Health("a", "good", "", time.monotonic()))
        loop._back.append((Found(disk), Ed25519Signer.generate(), disk.opened()))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop, "_arm", back)
    assert loop.run(config_hash="x", reloadable=lambda: True) == signal.SIGTERM
    journal = Journal(tmp_path / FILE)
    events = [json.loads(event.body) for event in journal.everything()]
    journal.close()
    assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["journal"] for event in events} == {journal.name}
    told = [event["data"].get("transition") for event in events if event["type"] == "callbox.trouble.input"]
    assert sorted(told) == ["raised", "restored"]


def test_a_session_is_opened_once_the_box_is_armed_and_one_given_up_before_never(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("agent.mqtt.Session", lambda _config, connect, _answer: opened.append(connect.session))
    for action in (Connect("given up", 0, "5"), Connect("wanted", 0, "5"), Drop("given up")):
        loop._do(action)
    assert opened == []
    loop._arm()
    assert opened == ["wanted"]
    loop._do(Connect("later", 0, "5"))
    assert opened == ["wanted", "later"]


def test_what_a_start_has_built_is_nothing_to_the_collector_any_more(loop: Loop) -> None:
    built = loop._box
    loop._arm()
    assert not any(found is built for found in gc.get_objects())
    gc.unfreeze()
    assert any(found is built for found in gc.get_objects())


def test_a_session_does_not_wait_for_a_wire_that_says_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another input of the box may have an alarm for it."""
    opened: list[bool] = []

    def session(*_: object) -> mock.Mock:
        opened.append(loop._armed)
        end()
        return mock.Mock(progress_s=float("inf"))

    def says_nothing(host: Host) -> None:
        while host.alive():
            threading.Event().wait(0.01)

    monkeypatch.setattr("agent.mqtt.Session", session)
    monkeypatch.setattr("agent.loop.ARM_S", float("inf"))
    for wire in loop._wires:
        monkeypatch.setattr(wire.driver, "run", says_nothing)
    assert loop.run(config_hash="x", reloadable=lambda: True) == signal.SIGTERM
    assert opened == [False]


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Dying(sqlite3.Connection):
    """A journal's connection to a disk that fails after so many more statements."""

    left = 1_000_000

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self.left -= 1
        if self.left < 0:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(*args)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("statements", [*range(12)])
def test_a_disk_that_fails_again_as_it_comes_back_ends_nothing_and_is_tried_again(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statements: int
) -> None:
    back = loop._disk_is_back
    tried: list[Dying] = []

    def connect(path: str) -> Dying:
        return Dying(path, check_same_thread=False, isolation_level=None)

    def reopen() -> tuple[Found, Signer]:
        journal = Journal(tmp_path / FILE, connect)
        tried.append(journal._sql)  # type: ignore[arg-type]
        tried[0].left = statements
        return Found(journal), Ed25519Signer.generate()

    def disk_is_back(*again: Any) -> None:
        back(*again)
        if len(tried) > 1:
            end()

    monkeypatch.setattr(storage, "RETURN_S", 0.01)
    monkeypatch.setattr(loop, "_reopen", reopen)
    monkeypatch.setattr(loop, "_disk_is_back", disk_is_back)
    assert loop.run(config_hash="x", reloadable=lambda: True) == signal.SIGTERM
    journal = Journal(tmp_path / FILE)
    events = [json.loads(event.body) for event in journal.everything()]
    journal.close()
    assert [event["boxseq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["type"] for event in events].count("callbox.status.stopping") == 1


@pytest.mark.timeout(30)
def test_a_box_that_could_make_no_status_socket_answers_when_the_disk_is_back(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SOCKET).mkdir()
    back = loop._disk_is_back
    answers: list[Any] = []

    def reopen() -> tuple[Found, Signer]:
        (tmp_path / SOCKET).rmdir()
        return Found(Journal(tmp_path / FILE)), Ed25519Signer.generate()

    def asks() -> None:
        answers.append(ask(tmp_path))
        end()

    def disk_is_back(*again: Any) -> None:
        back(*again)
        threading.Thread(target=asks).start()

    monkeypatch.setattr(storage, "RETURN_S", 0.01)
    monkeypatch.setattr(loop, "_reopen", reopen)
    monkeypatch.setattr(loop, "_disk_is_back", disk_is_back)
    assert loop.run(config_hash="x", reloadable=lambda: True) == signal.SIGTERM
    assert answers[0]["box"] == "s/b"
