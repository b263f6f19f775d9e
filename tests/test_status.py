"""What the running box says of itself over its socket."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent import status
from agent.errors import BoxError
from agent.status import REQUEST_BYTES_MAX, SOCKET, Answer, StatusServer, ask

DEADLINE_S = 10.0


class Loop:
    """A loop that answers whoever asks."""

    def __init__(self, state_dir: Path, answer: dict[str, Any]) -> None:
        self.woken = threading.Event()
        self.ended = False
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.server = StatusServer(state_dir, self.woken.set)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.ended:
            self.woken.wait(0.1)
            self.woken.clear()
            self.server.serve(self._handle)

    def _handle(self, request: dict[str, Any], answer: Answer) -> None:
        self.asked.append(request)
        answer(self.answer)

    def end(self) -> None:
        self.ended = True
        self.woken.set()
        self.thread.join(DEADLINE_S)
        self.server.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    made = Loop(tmp_path, {"armed": True, "name": "白塔路报警亭"})
    yield made
    made.end()


def test_the_answer_is_what_the_loop_says_when_it_is_asked(tmp_path: Path, loop: Loop) -> None:
    assert ask(tmp_path) == {"armed": True, "name": "白塔路报警亭"}
    loop.answer = {"armed": False}
    assert ask(tmp_path) == {"armed": False}


def test_an_answer_longer_than_one_packet_comes_whole(tmp_path: Path, loop: Loop) -> None:
    loop.answer = {"inputs": "x" * 3_000_000}
    assert ask(tmp_path) == loop.answer


def test_an_asker_that_hangs_up_does_not_keep_others_from_asking(tmp_path: Path, loop: Loop) -> None:
    for _ in range(3):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.connect(str(tmp_path / SOCKET))
    assert ask(tmp_path) == loop.answer


def test_several_askers_at_once_are_all_answered(tmp_path: Path, loop: Loop) -> None:
    answers: list[Any] = []
    askers = [threading.Thread(target=lambda: answers.append(ask(tmp_path))) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(DEADLINE_S)
    assert answers == [loop.answer] * 4


def test_one_turn_of_the_loop_answers_all_who_have_asked_by_then(tmp_path: Path) -> None:
    woken, answers = threading.Semaphore(0), list[Any]()
    server = StatusServer(tmp_path, woken.release)
    askers = [threading.Thread(target=lambda: answers.append(ask(tmp_path))) for _ in range(2)]
    for asker in askers:
        asker.start()
    assert all(woken.acquire(timeout=DEADLINE_S) for _ in askers)
    server.serve(lambda _, answer: answer({"armed": True}))
    for asker in askers:
        asker.join(DEADLINE_S)
    server.close()
    assert answers == [{"armed": True}] * 2


def test_where_nothing_runs_there_is_no_answer(tmp_path: Path) -> None:
    assert ask(tmp_path) is None
    assert ask(tmp_path / "no" / "such") is None


def test_a_socket_that_a_crash_left_is_no_running_box_and_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / SOCKET))
    assert ask(tmp_path) is None
    loop = Loop(tmp_path, {"armed": True})
    assert ask(tmp_path) == {"armed": True}
    loop.end()
    assert ask(tmp_path) is None
    assert not (tmp_path / SOCKET).exists()


def test_a_server_that_is_closed_leaves_no_thread_behind_and_another_one_takes_its_place(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    server = StatusServer(tmp_path, lambda: None)
    [thread] = set(threading.enumerate()) - before
    server.close()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    loop = Loop(tmp_path, {"armed": True})
    assert ask(tmp_path) == {"armed": True}
    loop.end()


def test_a_disk_that_does_not_let_the_socket_go_keeps_no_box_from_its_end(tmp_path: Path) -> None:
    server = StatusServer(tmp_path, lambda: None)
    (tmp_path / SOCKET).unlink()
    (tmp_path / SOCKET).mkdir()  # which cannot be unlinked
    server.close()


def test_a_hung_box_does_not_look_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.2)
    server = StatusServer(tmp_path, lambda: None)
    with pytest.raises(BoxError, match="runs but has not answered"):
        ask(tmp_path)
    server.close()


def said(tmp_path: Path, line: bytes) -> Any:
    """What the box answers to these bytes, whoever sends them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(DEADLINE_S)
        door.connect(str(tmp_path / SOCKET))
        with suppress(OSError):  # it may not read to the end
            door.sendall(line)
        return json.loads(door.makefile("rb").readline())


def test_the_loop_hears_what_is_asked_for(tmp_path: Path, loop: Loop) -> None:
    ask(tmp_path)
    ask(tmp_path, "resend", journal="9b1deb4d", ranges=[(1, 2)])
    assert loop.asked == [{"ask": "status"}, {"ask": "resend", "journal": "9b1deb4d", "ranges": [[1, 2]]}]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"\n", "no JSON object"),
        (b"status\n", "no JSON object"),
        (b"[]\n", "no JSON object"),
        (b'"status"\n', "no JSON object"),
        (b"\xff\n", "no JSON object"),
        (b"[" * 60_000 + b"\n", "no JSON object"),
        (b'{"ask": ' + b"9" * 5_000 + b"}\n", "no JSON object"),
        (b'{"ask": "' + b"x" * REQUEST_BYTES_MAX + b'"}\n', "too long"),
        (b"x" * 3_000_000, "too long"),
    ],
)
def test_what_is_no_request_is_answered_with_an_error_and_reaches_nobody(
    tmp_path: Path, loop: Loop, line: bytes, error: str
) -> None:
    assert error in said(tmp_path, line)["error"]
    assert loop.asked == []
    assert ask(tmp_path) == loop.answer


def test_a_request_of_several_pieces_is_read_to_its_end(tmp_path: Path, loop: Loop) -> None:
    long = [[number, number] for number in range(4_000)]
    ask(tmp_path, "resend", ranges=long)
    assert loop.asked == [{"ask": "resend", "ranges": long}]


def test_an_error_says_what_to_do(tmp_path: Path, loop: Loop) -> None:
    loop.answer = {"error": "unknown request"}
    with pytest.raises(BoxError, match="unknown request; the command and the running box must be of one version"):
        ask(tmp_path, "sing")


@pytest.mark.parametrize("half", [b"", b'{"ask"'])
def test_an_asker_that_says_nothing_or_half_of_it_is_sent_away(
    tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(DEADLINE_S)
        door.connect(str(tmp_path / SOCKET))
        door.sendall(half)
        assert door.recv(1) == b""
    monkeypatch.setattr(status, "TIMEOUT_S", DEADLINE_S)
    assert ask(tmp_path) == loop.answer
    assert loop.asked == [{"ask": "status"}]


def test_an_answer_that_comes_too_late_reaches_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.2)
    woken = threading.Event()
    server = StatusServer(tmp_path, woken.set)
    kept: list[Answer] = []
    with pytest.raises(BoxError, match="has not answered"):
        ask(tmp_path, "resend")
    server.serve(lambda _, answer: kept.append(answer))
    woken.clear()
    monkeypatch.setattr(status, "TIMEOUT_S", DEADLINE_S)
    answers: list[Any] = []
    asker = threading.Thread(target=lambda: answers.append(ask(tmp_path)))
    asker.start()
    assert woken.wait(DEADLINE_S)
    kept[0]({"result": "done"})
    server.serve(lambda _, answer: answer({"armed": True}))
    asker.join(DEADLINE_S)
    assert answers == [{"armed": True}]
    server.close()


def test_only_the_boxs_user_and_group_may_ask(tmp_path: Path, loop: Loop) -> None:
    assert stat.S_IMODE((tmp_path / SOCKET).stat().st_mode) == 0o660


def test_a_path_too_long_for_a_socket_says_so(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    with pytest.raises(OSError, match="too long"):
        StatusServer(long, lambda: None)
    with pytest.raises(BoxError, match="too long"):
        ask(long)
