"""What the running box says of itself over its socket."""

import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import status
from agent.errors import BoxError
from agent.status import SOCKET, StatusServer, ask

DEADLINE_S = 10.0


class Loop:
    """A loop that answers whoever asks."""

    def __init__(self, state_dir: Path, answer: dict[str, Any]) -> None:
        self.woken = threading.Event()
        self.ended = False
        self.answer = answer
        self.server = StatusServer(state_dir, self.woken.set)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.ended:
            self.woken.wait(0.1)
            self.woken.clear()
            self.server.serve(lambda: self.answer)

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


def test_a_hung_box_does_not_look_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "TIMEOUT_S", 0.2)
    server = StatusServer(tmp_path, lambda: None)
    with pytest.raises(BoxError, match="runs but has not answered"):
        ask(tmp_path)
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
