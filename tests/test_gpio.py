"""The GPIO driver with the real gpiozero, on the simulated board's real socket."""

import queue
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_host import RecordingHost, descriptors, forget_others, running, until

import drivers.gpio
import drivers.storm
from drivers.contract import Driver, Edge, Health
from drivers.gpio import GpioDriver, GpioInput, GpioOptions, GpioOutput
from simulators.board import Board
from simulators.pins import SimPin

DOWN_UP = (0, 1)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "callbox-sim")
    monkeypatch.setenv("CALLBOX_SIM_BOARD", str(tmp_path / "board"))
    monkeypatch.setattr(drivers.gpio, "LOOK_S", 0.02)
    with Board(tmp_path / "board") as board:
        yield board


def driver(inputs: dict[str, GpioInput] | None = None, outputs: dict[str, GpioOutput] | None = None) -> GpioDriver:
    return GpioDriver("gpio0", GpioOptions(), inputs or {}, outputs or {})


def take(host: RecordingHost) -> tuple[str, bool, bool]:
    edge = host.take()
    assert isinstance(edge, Edge)
    return edge.input, edge.active, edge.initial


def health(host: RecordingHost) -> str:
    told = host.take()
    assert isinstance(told, Health)
    return told.quality


def chatter(board: Board, pin: int, changes: int) -> None:
    """So many changes of a pin that is up, and up again at the end, with hardly a pause between them."""
    down_up = b'{"pin": %d, "level": 0}\n{"pin": %d, "level": 1}\n' % (pin, pin)
    with socket.socket(socket.AF_UNIX) as hand:
        hand.connect(str(board.path))
        with hand.makefile("rb") as told:
            for _ in board.levels():
                told.readline()
            for _ in range(changes // 100):
                hand.sendall(down_up * 50)
                for _ in range(100):
                    told.readline()


def test_the_level_of_every_input_comes_first(board: Board) -> None:
    board.drive(22, 0)
    inputs = {"open": GpioInput(17), "pressed": GpioInput(22), "closed": GpioInput(23, normally="closed")}
    with running(driver(inputs)) as host:
        first = {take(host) for _ in inputs}
    assert first == {("open", False, True), ("pressed", True, True), ("closed", True, True)}


@pytest.mark.parametrize(
    ("key", "idle", "active"),
    [
        (GpioInput(17), 1, 0),
        (GpioInput(17, normally="closed"), 0, 1),
        (GpioInput(17, pull="down"), 0, 1),
        (GpioInput(17, pull="down", normally="closed"), 1, 0),
        (GpioInput(17, pull="none"), 1, 0),
        (GpioInput(17, pull="none", normally="closed"), 0, 1),
    ],
    ids=lambda value: f"{value.pull} {value.normally}" if isinstance(value, GpioInput) else "",
)
def test_which_level_means_alarm_follows_from_the_resistor_and_the_contact_at_rest(
    board: Board, key: GpioInput, idle: Any, active: Any
) -> None:
    board.drive(17, idle)
    with running(driver({"button": key})) as host:
        assert take(host) == ("button", False, True)
        board.drive(17, active)
        assert take(host) == ("button", True, False)
        board.drive(17, idle)
        assert take(host) == ("button", False, False)


def test_a_contact_that_nobody_touches_rests_at_its_resistor(board: Board) -> None:
    with running(driver({"up": GpioInput(17), "down": GpioInput(22, pull="down")})) as host:
        assert {take(host), take(host)} == {("up", False, True), ("down", False, True)}
        assert board.levels() == {17: 1, 22: 0}
        board.drive(17, 0)
        assert take(host) == ("up", True, False)
        board.release(17)
        assert take(host) == ("up", False, False)


def test_the_shortest_presses_are_two_edges_each_in_order_and_with_rising_times(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers.gpio, "LOOK_S", 0.001)  # looks fall between the edges
    monkeypatch.setattr(drivers.storm, "STORM_S", 0.0)  # no number of presses is too many
    with running(driver({"button": GpioInput(17)})) as host:
        assert take(host) == ("button", False, True)
        for _ in range(300):
            for level in DOWN_UP:
                board.drive(17, 0 if level == 0 else 1)
        edges = [host.take() for _ in range(600)]
        assert all(isinstance(edge, Edge) for edge in edges)
        assert [edge.active for edge in edges if isinstance(edge, Edge)] == [True, False] * 300
        times = [edge.seen_s for edge in edges]
        assert times == sorted(times)


def test_a_held_button_is_one_edge_however_often_it_is_looked_at(board: Board) -> None:
    with running(driver({"button": GpioInput(17)})) as host:
        assert take(host) == ("button", False, True)
        board.drive(17, 0)
        assert take(host) == ("button", True, False)
        looks = host.beats + 5
        until(lambda: host.beats > looks)
        assert host.readings.empty()


@pytest.mark.parametrize(("pull", "closed", "opened"), [("up", 0, 1), ("down", 1, 0)])
def test_a_form_c_contact_is_pressed_when_one_pole_says_so_and_a_fault_when_both_do(
    board: Board, pull: Any, closed: Any, opened: Any
) -> None:
    board.drive(22, closed)
    board.drive(17, opened)
    with running(driver({"button": GpioInput(17, pull=pull, pin_nc=22)})) as host:
        assert take(host) == ("button", False, True)
        board.drive(22, opened)
        board.drive(17, closed)
        assert take(host) == ("button", True, False)
        board.drive(17, opened)
        assert health(host) == "open"
        board.drive(22, closed)
        assert health(host) == "good"
        assert take(host) == ("button", False, False)
        board.drive(17, closed)
        assert health(host) == "short"
        board.drive(22, opened)
        assert health(host) == "good"
        assert take(host) == ("button", True, False)


def test_a_form_c_contact_that_is_broken_from_the_start_says_so_and_no_level(board: Board) -> None:
    with running(driver({"button": GpioInput(17, pin_nc=22)})) as host:
        assert health(host) == "open"


def test_a_storm_on_one_pin_is_few_edges_and_the_rest_is_counted_and_a_press_in_it_is_one(board: Board) -> None:
    gpio = driver({"button": GpioInput(17), "mad": GpioInput(22)})
    with running(gpio) as host:
        assert {take(host), take(host)} == {("button", False, True), ("mad", False, True)}
        chatter(board, 22, 2_000)
        board.drive(17, 0)
        chatter(board, 22, 2_000)
        board.drive(17, 1)
        board.drive(22, 0)  # where it rests is told
        until(lambda: host.readings.qsize() + gpio.noise >= 4_000 + 2 + 1)
        told = [take(host) for _ in range(host.readings.qsize())]
        assert [edge for edge in told if edge[0] == "button"] == [("button", True, False), ("button", False, False)]
        mad = [active for name, active, _ in told if name == "mad"]
        assert len(mad) < 500
        assert mad[-1]
        assert len(told) + gpio.noise == 4_000 + 2 + 1


def test_a_lamp_is_driven_at_its_level_and_goes_dark_at_the_end(board: Board) -> None:
    gpio: Driver = driver(outputs={"lamp": GpioOutput(27), "siren": GpioOutput(24, active="low")})
    seen: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    board.watch(lambda pin, level, _t: seen.put((pin, level)))
    gpio.set("lamp", True)  # before the wire is open: the wish is kept
    with running(gpio):
        assert {seen.get(timeout=10), seen.get(timeout=10)} == {(27, 1), (24, 1)}
        gpio.set("siren", True)
        assert seen.get(timeout=10) == (24, 0)
        gpio.set("lamp", False)
        assert seen.get(timeout=10) == (27, 0)
        gpio.set("lamp", True)
        assert seen.get(timeout=10) == (27, 1)
    assert seen.get(timeout=10) == (27, 0)
    with pytest.raises(KeyError):
        gpio.set("lump", True)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [({"button": GpioInput(17)}, {}), ({}, {"lamp": GpioOutput(27)})], ids=["input", "output"]
)
def test_one_pin_of_any_kind_is_enough_to_see_that_the_board_is_gone(
    board: Board, inputs: dict[str, GpioInput], outputs: dict[str, GpioOutput]
) -> None:
    with running(driver(inputs, outputs)) as host:
        until(lambda: host.beats > 0 and len(board.levels()) == 1)  # its pin is open: before that it is another error
        board.stop()
        assert "gone" in host.lost().found


def test_a_board_that_stops_reading_never_holds_up_set_and_is_an_error_until_another_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "callbox-sim")
    monkeypatch.setenv("CALLBOX_SIM_BOARD", str(tmp_path / "stuck"))
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(tmp_path / "stuck"))
        stuck.listen()
        gpio = driver(outputs={"lamp": GpioOutput(27)})
        with running(gpio) as host:
            until(lambda: host.beats > 0)
            for number in range(100_000):
                gpio.set("lamp", number % 2 == 0)
                if host.ended.is_set():
                    break
            assert "BlockingIOError" in host.lost().found
    (tmp_path / "stuck").unlink()
    gpio.set("lamp", True)
    with Board(tmp_path / "stuck") as board, running(gpio):
        until(lambda: board.levels().get(27) == 1)


def test_a_pin_that_failed_half_opened_is_free_again_while_the_error_is_still_being_read(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_pin: SimPin, _value: float) -> None:
        raise OSError("no")

    gpio = driver(outputs={"lamp": GpioOutput(27)})
    gpio.set("lamp", True)
    with monkeypatch.context() as patch:
        patch.setattr(SimPin, "_set_state", refuse)
        with running(gpio) as failed:
            assert failed.lost().where == "gpio0 pin 27"
    with running(gpio):
        until(lambda: board.levels().get(27) == 1)
    assert failed.error  # it has held the device through its traceback until here


def test_a_board_that_goes_is_an_error_and_after_it_is_back_the_wishes_and_edges_are_too(board: Board) -> None:
    gpio = driver({"button": GpioInput(17)}, {"lamp": GpioOutput(27)})
    gpio.set("lamp", True)
    with running(gpio) as host:
        assert take(host) == ("button", False, True)
        until(lambda: board.levels().get(27) == 1)
        board.stop()
        error = host.lost()
        assert error.where == "gpio0"
        assert "gone" in error.found

    with running(gpio) as host:
        error = host.lost()
        assert "No such file" in error.found
        assert "GPIOZERO_PIN_FACTORY=callbox-sim" in error.hint

    board.drive(17, 0)
    board.release(27)
    board.start()
    with running(gpio) as host:
        assert take(host) == ("button", True, True)
        until(lambda: board.levels()[27] == 1)
        board.drive(17, 1)
        assert take(host) == ("button", False, False)


def test_a_board_that_goes_a_hundred_times_has_its_contact_and_its_lamp_back_each_time(board: Board) -> None:
    gpio = driver({"button": GpioInput(17)}, {"lamp": GpioOutput(27)})
    for pressed in (False, True) * 50:
        board.drive(17, 0 if pressed else 1)
        board.release(27)
        gpio.set("lamp", pressed)
        with running(gpio) as host:
            assert take(host) == ("button", pressed, True)
            until(lambda pressed=pressed: board.levels().get(27) == int(pressed))  # type: ignore[misc]
            board.stop()
            host.lost()
        board.start()


def test_writing_to_a_board_that_goes_is_an_error_of_run_and_never_of_set(board: Board) -> None:
    gpio = driver(outputs={"lamp": GpioOutput(27)})
    with running(gpio) as host:
        until(lambda: 27 in board.levels())
        board.stop()
        gpio.set("lamp", True)
        host.lost()
    board.start()
    with running(gpio):
        until(lambda: board.levels().get(27) == 1)


def test_two_names_for_one_pin_are_an_error_that_names_it(board: Board) -> None:
    with running(driver({"button": GpioInput(17)}, {"lamp": GpioOutput(17)})) as host:
        error = host.lost()
    assert error.where == "gpio0 pin 17"
    assert "GPIOPinInUse" in error.found
    assert "correct the config" in error.hint


def test_a_pin_that_the_board_has_not_is_an_error_that_names_it_and_the_others_are_let_go(board: Board) -> None:
    with running(driver({"near": GpioInput(17), "far": GpioInput(45)})) as host:
        error = host.lost()
    assert error.where == "gpio0 pin 45"
    assert "no such pin" in error.hint
    with running(driver({"near": GpioInput(17)})) as host:
        assert take(host) == ("near", False, True)


def test_a_pull_against_the_resistor_on_the_board_is_an_error_that_names_the_pin(board: Board) -> None:
    with running(driver({"sda": GpioInput(2, pull="down")})) as host:
        error = host.lost()
    assert error.where == "gpio0 pin 2"
    assert "resistor on the board" in error.hint


def test_without_a_back_end_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with running(driver({"button": GpioInput(17)})) as host:
        error = host.lost()
    assert error.where == "gpio0"
    assert "lgpio" in error.found  # and not what gpiozero would fall back to
    assert "callbox[gpio]" in error.hint


def test_an_unknown_back_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "callbox-simm")
    with running(driver({"button": GpioInput(17)})) as host:
        assert "correct GPIOZERO_PIN_FACTORY" in host.lost().hint


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"pin": 54}, "pin: found 54, allowed is a BCM number from 0 to 53"),
        ({"pin": -1}, "pin: found -1"),
        ({"pin": True}, "pin: found True"),
        ({"pin": "17"}, "pin: found '17'"),
        ({"pin": 17, "normally": "shut"}, "normally: found 'shut', allowed is one of open, closed"),
        ({"pin": 17, "pull": "high"}, "pull: found 'high', allowed is one of up, down, none"),
        ({"pin": 17, "pin_nc": 54}, "pin_nc: found 54, allowed is a BCM number from 0 to 53"),
        ({"pin": 17, "pin_nc": 17}, "pin_nc: found 17, allowed is another pin"),
        (
            {"pin": 17, "pin_nc": 22, "normally": "closed"},
            "normally: found 'closed', allowed is only open beside pin_nc",
        ),
    ],
)
def test_a_bad_key_says_what_is_allowed(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GpioInput(**keys)


def test_a_bad_key_of_an_output_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="active: found 'on', allowed is one of high, low"):
        GpioOutput(27, active="on")  # type: ignore[arg-type]


def test_no_thread_and_no_descriptor_is_left_after_many_runs(board: Board) -> None:
    forget_others()
    counts = []
    for _ in range(3):
        with running(driver({"button": GpioInput(17)}, {"lamp": GpioOutput(27)})) as host:
            take(host)
        until(lambda: not any(thread.name == "sim pins" for thread in threading.enumerate()))
        until(lambda: not board._clients)
        counts.append(descriptors())
    assert counts[0] == counts[-1]
