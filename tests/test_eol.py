"""End-of-line resistors: windows from resistors, an MCP3008 on the simulated board, and no press of 50 ms missed."""

import random
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from driver_host import RecordingHost, descriptors, running, until
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.gpio
from agent.inputs import Contact, Fact, Pressed, Released
from drivers.contract import Edge, Health
from drivers.eol import APART_MIN, HYSTERESIS, Window, states
from drivers.gpio import GpioDriver, GpioInput, GpioOptions
from drivers.mcp3008 import FULL_SCALE, PERIOD_S, Line, Mcp3008Driver, Mcp3008Input, Mcp3008Options
from simulators.board import Board
from simulators.spi import mcp3008

BUTTON = Mcp3008Input(3, pullup_ohm=4700, eol_ohm=4700, contact_ohm=2200)
DOOR = Mcp3008Input(0, pullup_ohm=4700, eol_ohm=4700, contact_ohm=4700, normally="closed")


def level(ohm: float, pullup_ohm: float = 4700) -> int:
    """What the converter makes of a wire of so many ohms; by hand: 4700 ohm at 4700 are half of 1023."""
    return round(FULL_SCALE * ohm / (ohm + pullup_ohm))


IDLE, PRESSED = level(4700), level(1498.55)  # 4700 and 2200 side by side: 1 / (1/4700 + 1/2200) = 1498.55
CUT, SHORTED = 1023, 0


# ---- windows


def test_a_contact_that_is_normally_open_lowers_the_line_and_one_that_is_normally_closed_raises_it() -> None:
    assert [(round(part, 3), wire) for part, wire in states("open", 4700, 4700, 2200)] == [
        (0.0, "short"),
        (0.242, "active"),  # 1498.55 / 6198.55
        (0.5, "idle"),
        (1.0, "open"),
    ]
    assert [(round(part, 3), wire) for part, wire in states("closed", 4700, 4700, 4700)] == [
        (0.0, "short"),
        (0.5, "idle"),
        (0.667, "active"),  # 9400 / 14100
        (1.0, "open"),
    ]


def test_without_a_resistor_at_the_contact_the_fault_that_looks_like_a_press_is_one() -> None:
    assert [wire for _, wire in states("open", 4700, 4700, None)] == ["active", "idle", "open"]
    assert [wire for _, wire in states("closed", 4700, 4700, None)] == ["short", "idle", "active"]


@pytest.mark.parametrize("tolerance", [-0.05, 0.05])
@pytest.mark.parametrize("key", [BUTTON, DOOR], ids=["button", "door"])
def test_resistors_of_5_percent_that_err_against_each_other_are_read_right(key: Mcp3008Input, tolerance: float) -> None:
    assert key.contact_ohm is not None
    eol, contact = key.eol_ohm * (1 + tolerance), key.contact_ohm * (1 + tolerance)
    active = eol * contact / (eol + contact) if key.normally == "open" else eol + contact
    window = Window(states(key.normally, key.pullup_ohm, key.eol_ohm, key.contact_ohm))
    pullup = key.pullup_ohm * (1 - tolerance)
    found = [window.read(level(ohm, pullup) / FULL_SCALE) for ohm in (eol, active, eol, 0, active, 1e9, eol)]
    assert found == ["idle", "active", "idle", "short", "active", "open", "idle"]


def test_a_voltage_between_two_windows_stays_what_it_was() -> None:
    window = Window([(0.0, "short"), (0.4, "idle"), (1.0, "open")])
    assert window.read(0.4) == "idle"
    assert [window.read(0.7 + off) for off in (0.015, -0.015, 0.019)] == ["idle"] * 3
    assert window.read(0.7 + HYSTERESIS + 0.001) == "open"
    assert [window.read(0.7 + off) for off in (-0.015, 0.015)] == ["open"] * 2
    assert window.read(0.7 - HYSTERESIS - 0.001) == "idle"


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.sampled_from(["open", "closed"]),
    st.integers(1, 1_000_000),
    st.integers(1, 1_000_000),
    st.none() | st.integers(1, 1_000_000),
    st.lists(st.integers(0, FULL_SCALE), max_size=20),
)
def test_any_resistors_are_refused_or_told_apart_and_any_level_reads_as_something(
    normally: Any, pullup: int, eol: int, contact: int | None, levels: list[int]
) -> None:
    try:
        found = states(normally, pullup, eol, contact)
    except ValueError as error:
        assert str(error).startswith(("eol_ohm: found ", "contact_ohm: found "))
        return
    window = Window(found)
    for raw in levels:
        assert window.read(raw / FULL_SCALE) in {wire for _, wire in found}
    for part, wire in found:
        assert window.read(part) == wire  # whatever it was before
    assert all(high - low >= APART_MIN for (low, _), (high, _) in pairwise(found))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"channel": 8}, "channel: found 8, allowed is a whole number from 0 to 7"),
        ({"channel": True}, "channel: found True"),
        ({"pullup_ohm": 0}, "pullup_ohm: found 0, allowed is a whole number from 1 to 1000000"),
        ({"eol_ohm": 4.7}, "eol_ohm: found 4.7"),
        ({"eol_ohm": 100}, "eol_ohm: found 100, which sets short and idle 0.02 of full scale apart"),
        ({"eol_ohm": 100_000, "contact_ohm": None}, "eol_ohm: found 100000, which sets idle and open 0.04"),
        ({"contact_ohm": 100_000}, "contact_ohm: found 100000, which sets active and idle 0.01 of full scale apart"),
        ({"contact_ohm": 100}, "contact_ohm: found 100, which sets short and active 0.02"),
        ({"normally": "shut"}, "normally: found 'shut', allowed is one of open, closed"),
    ],
)
def test_a_bad_key_says_what_is_allowed(keys: dict[str, Any], says: str) -> None:
    good = {"channel": 0, "pullup_ohm": 4700, "eol_ohm": 4700, "contact_ohm": 2200}
    with pytest.raises(ValueError, match=says):
        Mcp3008Input(**good | keys)


def test_a_bad_chip_select_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="select: found 2, allowed is a whole number from 0 to 1"):
        Mcp3008Options(select=2)


# ---- measured every 10 ms, in virtual time


def facts(line: Line, rng: random.Random, *levels: tuple[float, int], until_s: float) -> list[Fact]:
    """What the agent makes of a line that has these levels from these times on, measured with some delay each time."""
    contact, found, at_s = Contact(0.020), [], 1.0 + rng.uniform(0, PERIOD_S)
    while at_s < until_s:
        raw = [now for since_s, now in levels if since_s <= at_s][-1]
        for reading in line.measured(raw, at_s):
            if isinstance(reading, Edge):
                found += contact.edge(reading.active, reading.seen_s, initial=reading.initial)
        found += contact.tick(at_s)
        at_s += PERIOD_S + rng.uniform(0, 0.002)
    return found


def test_no_press_of_50_ms_is_missed_wherever_it_falls_between_two_measurements() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        pressed_s = 2 + rng.random()
        told = facts(Line("b", BUTTON), rng, (0, IDLE), (pressed_s, PRESSED), (pressed_s + 0.05, IDLE), until_s=4)
        assert [type(fact) for fact in told] == [Pressed, Released], f"seed {seed}"


def test_a_line_that_is_cut_or_short_is_a_fault_after_100_ms_and_never_a_press() -> None:
    for fault, quality in ((CUT, "open"), (SHORTED, "short")):
        line = Line("b", BUTTON)
        told = [reading for n in range(30) for reading in line.measured(IDLE if n < 10 else fault, 1 + n * PERIOD_S)]
        assert [type(reading) for reading in told] == [Edge, Health]
        assert told[1] == Health("b", quality, told[1].reason, told[1].seen_s)  # type: ignore[arg-type, union-attr]
        assert told[1].seen_s == pytest.approx(1.2, abs=1.001 * PERIOD_S)
        assert isinstance(told[1], Health)
        assert told[1].reason


# ---- the wire


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ([0x01, 0x80, 0x00], [0x00, 0x02, 0xA5]),  # start, single, channel 0: null bit, then 10 1010 0101
        ([0x01, 0xB0, 0x00], [0x00, 0x03, 0xFF]),  # channel 3
        ([0x01, 0xF0, 0x00], [0x00, 0x00, 0x01]),  # channel 7
        ([0x00, 0x60, 0x00, 0x00], [0x00, 0x00, 0xA9, 0x40]),  # the start bit may come at any clock
        ([0x00, 0x00, 0x00], [0x00, 0x00, 0x00]),  # no start bit
    ],
)
def test_the_simulated_converter_answers_as_the_data_sheet_says(sent: list[int], back: list[int]) -> None:
    assert mcp3008(sent, {0: 0x2A5, 3: 0x3FF, 7: 1, 1: 0}.__getitem__) == back


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "callbox-sim")
    monkeypatch.setenv("CALLBOX_SIM_BOARD", str(tmp_path / "board"))
    with Board(tmp_path / "board") as board:
        yield board


def driver(select: int = 0, **inputs: Mcp3008Input) -> Mcp3008Driver:
    return Mcp3008Driver("adc0", Mcp3008Options(select), inputs, {})


def take(host: RecordingHost) -> tuple[str, bool | str]:
    told = host.take()
    assert isinstance(told, Edge | Health)
    return told.input, told.active if isinstance(told, Edge) else told.quality


def test_a_press_a_cut_and_a_short_on_the_board_are_told_apart(board: Board) -> None:
    board.measure(0, 3, IDLE)
    board.measure(0, 0, level(4700))
    with running(driver(button=BUTTON, door=DOOR)) as host:
        assert {take(host), take(host)} == {("button", False), ("door", False)}
        board.measure(0, 3, PRESSED)
        assert take(host) == ("button", True)
        board.measure(0, 3, CUT)
        assert take(host) == ("button", "open")
        board.measure(0, 3, SHORTED)
        assert take(host) == ("button", "short")
        board.measure(0, 3, IDLE)
        assert [take(host), take(host)] == [("button", "good"), ("button", False)]
        board.measure(0, 0, level(9400))
        assert take(host) == ("door", True)


def test_a_channel_without_a_wire_is_open(board: Board) -> None:
    with running(driver(1, button=BUTTON)) as host:
        assert take(host) == ("button", "open")


def test_a_converter_and_pins_of_one_board_live_and_end_beside_each_other(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers.gpio, "LOOK_S", 0.02)
    board.measure(0, 3, IDLE)
    with running(GpioDriver("gpio0", GpioOptions(), {"panic": GpioInput(17)}, {})) as pins:
        assert isinstance(pins.take(), Edge)
        with running(driver(button=BUTTON)) as host:
            assert take(host) == ("button", False)
        board.drive(17, 0)
        edge = pins.take()
        assert isinstance(edge, Edge)
        assert edge.active


def test_a_board_that_goes_a_hundred_times_is_an_error_each_time_and_its_lines_are_back_with_it(board: Board) -> None:
    converter = driver(button=BUTTON)
    for pressed in (False, True) * 50:
        board.measure(0, 3, PRESSED if pressed else IDLE)
        with running(converter) as host:
            assert take(host) == ("button", pressed)
            board.stop()
            error = host.lost()
            assert (error.where, "gone" in error.found) == ("adc0 SPI 0.0", True)
        board.start()


def test_a_system_without_spi_is_an_error_that_says_how_to_switch_it_on(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise FileNotFoundError("/dev/spidev0.0")

    monkeypatch.setattr("simulators.pins.SimFactory.converter", refuse)
    with running(driver(button=BUTTON)) as host:
        error = host.lost()
    assert "/dev/spidev0.0" in error.found
    assert "dtparam=spi=on" in error.hint


def test_it_has_no_outputs() -> None:
    with pytest.raises(KeyError):
        driver().set("lamp", True)


def test_no_thread_and_no_descriptor_is_left_after_many_runs(board: Board) -> None:
    before = descriptors()
    for _ in range(3):
        with running(driver(button=BUTTON)) as host:
            take(host)
    until(lambda: not any(thread.name == "sim pins" for thread in threading.enumerate()))
    until(lambda: descriptors() <= before)
