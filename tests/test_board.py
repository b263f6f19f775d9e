"""The simulated GPIO board: raw clients on its real socket, and its commands as real processes."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from driver_host import DEADLINE_S, running

from drivers.contract import Edge
from drivers.gpio import GpioDriver, GpioInput, GpioOptions
from simulators.board import Board
from simulators.press import press


class Client:
    """One connection, line by line."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("rb")

    def say(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.lines.readline())
        return message

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@contextmanager
def client(board: Board) -> Iterator[Client]:
    made = Client(board.path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with Board(tmp_path / "board") as board:
        yield board


def test_every_client_is_told_each_level_that_changes_and_no_other(board: Board) -> None:
    with client(board) as one, client(board) as two:
        two.say('{"pin": 17, "pull": "up"}')
        answer = two.hear()
        assert (answer["pin"], answer["level"]) == (17, 1)
        one.say('{"pin": 17, "level": 1}')  # it is 1 already
        one.say('{"pin": 17, "level": 0}')
        heard = [one.hear(), one.hear()]
        assert [(message["pin"], message["level"]) for message in heard] == [(17, 1), (17, 0)]
        assert 0 < heard[0]["t"] <= heard[1]["t"]
        assert set(heard[1]) == {"pin", "level", "t"}


def test_a_client_is_told_at_connect_the_level_of_each_known_pin(board: Board) -> None:
    board.drive(27, 1)
    board.drive(17, 0)
    with client(board) as late:
        assert {(message["pin"], message["level"]) for message in (late.hear(), late.hear())} == {(27, 1), (17, 0)}


def test_a_pull_holds_while_nobody_drives(board: Board) -> None:
    with client(board) as hand:
        hand.say('{"pin": 17, "level": 0}')
        hand.say('{"pin": 17, "pull": "up"}')
        answer = hand.hear()
        assert (answer["level"], answer["pull"]) == (0, "up")
        hand.say('{"pin": 17, "level": null}')
        assert hand.hear()["level"] == 1
        hand.say('{"pin": 17, "pull": "down"}')
        assert [hand.hear()["level"], hand.hear()["level"]] == [0, 0]


def test_what_a_client_drives_stays_when_it_goes(board: Board) -> None:
    with client(board) as hand:
        hand.say('{"pin": 17, "level": 1}')
        assert hand.hear()["level"] == 1
    assert board.levels() == {17: 1}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "press!",
        "[]",
        "17",
        '{"pin": 17}',
        '{"pin": 54, "level": 1}',
        '{"pin": -1, "level": 1}',
        '{"pin": true, "level": 1}',
        '{"pin": 17, "level": true}',
        '{"pin": 17, "level": 2}',
        '{"pin": 17, "level": 1.0}',
        '{"pin": 17, "pull": "sideways"}',
        '{"pin": 17, "chatter": 0}',
        '{"pin": 17, "chatter": 20001}',
        '{"pin": 17, "chatter": true}',
        '{"pin": 17, "level": 0, "pull": "up"}',
        "[" * 1000,
        '{"pin": 17, "level": ' + " " * 2000 + "1}",
    ],
    ids=lambda line: line[:40] or "empty",
)
def test_a_line_that_makes_no_sense_is_answered_and_skipped(board: Board, line: str) -> None:
    with client(board) as hand:
        hand.say(line)
        assert set(hand.hear()) == {"error"}
        hand.say('{"pin": 17, "level": 1}')
        while "error" in (heard := hand.hear()):
            pass  # an overlong line may be several
        assert (heard["pin"], heard["level"]) == (17, 1)
    assert board.levels() == {17: 1}


def test_bytes_that_are_no_text_are_answered_and_skipped(board: Board) -> None:
    with client(board) as hand:
        hand.socket.sendall(b"\xff\xfe\x00\n")
        assert set(hand.hear()) == {"error"}


def test_a_client_that_never_reads_is_cut_off_and_harms_nobody(board: Board) -> None:
    with client(board) as slow, client(board) as quick:
        board.drive(1, 1)
        assert quick.hear()["pin"] == 1
        for number in range(4_000):
            board.drive(17, 1 if number % 2 == 0 else 0)
            assert quick.hear()["pin"] == 17
        total = 0
        while data := slow.socket.recv(65536):
            total += len(data)
        assert 0 < total < 4_000 * 30  # not all: it was cut off


def test_a_client_that_vanishes_in_mid_line_harms_nobody(board: Board) -> None:
    with client(board) as rude:
        rude.socket.sendall(b'{"pin": 17, "lev')
    with client(board) as hand:
        hand.say('{"pin": 17, "level": 1}')
        assert hand.hear()["level"] == 1


def test_watchers_are_told_in_order(board: Board) -> None:
    seen: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    board.watch(lambda pin, level, _t: seen.put((pin, level)))
    for level in (1, 0, 1):
        board.drive(17, 1 if level else 0)
    board.release(17)
    assert [seen.get(timeout=DEADLINE_S) for _ in range(4)] == [(17, 1), (17, 0), (17, 1), (17, 0)]


def test_a_board_keeps_its_levels_over_stop_and_start(board: Board) -> None:
    board.drive(17, 1)
    board.stop()
    board.stop()
    assert not board.path.exists()
    board.drive(22, 1)
    board.start()
    with client(board) as hand:
        assert {hand.hear()["pin"], hand.hear()["pin"]} == {17, 22}


def test_a_dead_socket_is_replaced_and_a_living_board_is_not(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "board"))
    dead.close()
    with Board(tmp_path / "board") as board:
        with pytest.raises(FileExistsError, match="another board answers"):
            Board(tmp_path / "board").start()
        with client(board) as hand:
            hand.say('{"pin": 17, "level": 1}')
            assert hand.hear()["level"] == 1


def test_a_file_in_the_way_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "board").write_text("precious")
    with pytest.raises(OSError, match="board"):
        Board(tmp_path / "board").start()
    assert (tmp_path / "board").read_text() == "precious"


def test_a_press_of_one_millisecond_reaches_the_driver_as_two_edges(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "callbox-sim")
    monkeypatch.setenv("CALLBOX_SIM_BOARD", str(board.path))
    with running(GpioDriver("gpio0", GpioOptions(), {"button": GpioInput(17)}, {})) as host:
        assert host.take() is not None
        press(board.path, 17, hold_ms=1)
        edges = [host.take(), host.take()]
        assert [edge.active for edge in edges if isinstance(edge, Edge)] == [True, False]
    with client(board) as hand:
        assert hand.hear()["level"] == 1
        hand.say('{"pin": 17, "pull": "down"}')
        assert hand.hear()["level"] == 0  # the press has let go and drives nothing


def sim(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from simulators.cli import main; sys.exit(main())", *words]


@pytest.mark.real
def test_the_commands_board_and_press_work_as_processes(tmp_path: Path) -> None:
    path = tmp_path / "board"
    env = {**os.environ, "CALLBOX_LANG": "en"}
    process = subprocess.Popen(sim("board", "--socket", str(path)), stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout
        assert process.stdout.readline() == f"board on {path}\n"
        watcher = Client(path)
        words = sim("press", "--socket", str(path), "--pin", "17", "--level", "1", "--hold-ms", "1")
        subprocess.run(words, check=True, env=env)
        heard = [watcher.hear() for _ in range(2)]
        assert [(message["pin"], message["level"]) for message in heard] == [(17, 1), (17, 0)]
        watcher.close()
        second = subprocess.run(
            sim("board", "--socket", str(path)), check=False, capture_output=True, text=True, env=env
        )
        assert second.returncode == 1
        assert "another board answers" in second.stderr
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        process.communicate()
    assert not path.exists()
    missed = subprocess.run(
        sim("press", "--socket", str(path), "--pin", "17"), check=False, capture_output=True, text=True, env=env
    )
    assert missed.returncode == 1
    assert "callbox-sim board --socket" in missed.stderr


@pytest.mark.real
def test_the_command_line_prints_its_port_and_sends_what_is_typed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        sim("line", "--link", str(tmp_path / "panel")), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == f"{tmp_path / 'panel'}\n"
        with (tmp_path / "panel").open("rb", buffering=0) as port:
            process.stdin.write("B2:1\n")
            process.stdin.flush()
            assert port.read(6) == b"B2:1\r\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
        process.communicate()
    assert not (tmp_path / "panel").is_symlink()


def test_a_pin_chatters_until_somebody_drives_it(board: Board) -> None:
    with client(board) as hand:
        hand.say('{"pin": 17, "chatter": 10000}')
        levels = [hand.hear()["level"] for _ in range(1_000)]
        assert levels == [1, 0] * 500
        hand.say('{"pin": 17, "level": 0}')
        hand.say('{"spi": 0}')
        while "levels" not in hand.hear():
            pass
        board.drive(22, 1)
        assert hand.hear()["pin"] == 22


def test_a_converter_has_the_levels_that_it_was_given_and_tells_their_changes(board: Board) -> None:
    with client(board) as hand, client(board) as other:
        other.say('{"spi": 0}')
        assert other.hear()["levels"] == [1023] * 8
        hand.say('{"spi": 0, "channel": 3, "level": 512}')
        told = other.hear()
        assert (told["spi"], told["channel"], told["level"]) == (0, 3, 512)
        other.say('{"spi": 0}')
        assert other.hear()["levels"] == [1023, 1023, 1023, 512, 1023, 1023, 1023, 1023]
        other.say('{"spi": 1}')
        assert other.hear()["levels"] == [1023] * 8


@pytest.mark.parametrize(
    "line",
    [
        '{"spi": 2}',
        '{"spi": true}',
        '{"spi": 0, "channel": 8, "level": 1}',
        '{"spi": 0, "channel": -1, "level": 1}',
        '{"spi": 0, "channel": 3, "level": 1024}',
        '{"spi": 0, "channel": 3, "level": true}',
        '{"spi": 0, "channel": 3, "level": 1, "pin": 17}',
    ],
)
def test_a_converter_that_is_none_or_a_level_that_is_none_is_answered_and_skipped(board: Board, line: str) -> None:
    with client(board) as hand:
        hand.say(line)
        assert set(hand.hear()) == {"error"}
        for select in (0, 1):
            hand.say(f'{{"spi": {select}}}')
            assert hand.hear()["levels"] == [1023] * 8
