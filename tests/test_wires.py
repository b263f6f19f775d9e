"""Each wire has a thread: it is opened, watched, and opened again when it went."""

import threading
import time
from collections.abc import Callable
from queue import Queue
from typing import Any

import pytest
from bench_box import YAML, config

from agent import wires
from agent.wires import Wire, make_wires
from drivers.contract import DriverError, Edge, Health, Host, Reading

DEADLINE_S = 10.0
GONE = DriverError("/dev/panel", "No such file or directory", "plug it in")

Run = Callable[[Host], None]


class Rude:
    """A driver from somebody else, with a fault in `set`."""

    noise = 0

    def run(self, host: Host) -> None:
        stay_open(host)

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        raise ZeroDivisionError


class FakeDriver:
    """Does in its n-th `run` what the n-th of `runs` does; after the last one it stays open."""

    noise = 0

    def __init__(self, *runs: Run) -> None:
        self.runs = list(runs)
        self.started = Queue[int]()
        self.count = 0

    def run(self, host: Host) -> None:
        self.count += 1
        self.started.put(self.count)
        if self.count <= len(self.runs):
            self.runs[self.count - 1](host)
        else:
            stay_open(host)

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        raise KeyError(output)


def stay_open(host: Host) -> None:
    tick = threading.Event()
    while host.alive():
        tick.wait(0.01)


def gone(_: Host) -> None:
    raise GONE


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(wires, "BACKOFF_MAX_S", 0.01)


@pytest.fixture
def made(quick: None, request: pytest.FixtureRequest) -> Callable[[FakeDriver], tuple[Wire, Queue[Reading]]]:
    def make(driver: FakeDriver) -> tuple[Wire, Queue[Reading]]:
        readings = Queue[Reading]()
        wire = Wire("panel", driver, ["one", "two"], readings.put)

        def end() -> None:
            wire.stop()
            wire.join(DEADLINE_S)
            assert not wire._thread.is_alive()

        request.addfinalizer(end)
        wire.start()
        return wire, readings

    return make


Made = Callable[[FakeDriver], tuple[Wire, Queue[Reading]]]


def health(readings: Queue[Reading]) -> tuple[str, str, str]:
    reading = readings.get(timeout=DEADLINE_S)
    assert isinstance(reading, Health)
    return reading.input, reading.quality, reading.reason


def test_readings_of_a_driver_pass_as_they_are(made: Made) -> None:
    edge = Edge("one", True, 1.5)

    def emits(host: Host) -> None:
        host.emit(edge)
        stay_open(host)

    _, readings = made(FakeDriver(emits))
    assert readings.get(timeout=DEADLINE_S) is edge


def test_a_wire_that_is_gone_takes_its_inputs_offline_with_the_reason_and_is_opened_again(made: Made) -> None:
    driver = FakeDriver(gone, gone)
    _, readings = made(driver)
    said = "/dev/panel: No such file or directory; plug it in"
    for _ in range(2):
        assert [health(readings), health(readings)] == [("one", "offline", said), ("two", "offline", said)]
    assert [driver.started.get(timeout=DEADLINE_S) for _ in range(3)] == [1, 2, 3]


def test_a_bug_in_a_driver_costs_its_wire_and_is_tried_again(made: Made) -> None:
    def bug(_: Host) -> None:
        raise ZeroDivisionError("division by zero")

    driver = FakeDriver(bug)
    _, readings = made(driver)
    assert health(readings)[2] == "panel: ZeroDivisionError: division by zero; a fault in the driver: report it"
    assert [driver.started.get(timeout=DEADLINE_S) for _ in range(2)] == [1, 2]


def test_a_driver_that_ends_by_itself_is_a_bug_too_and_does_not_spin(made: Made) -> None:
    def ends(_: Host) -> None:
        return

    driver = FakeDriver(ends)
    _, readings = made(driver)
    assert health(readings)[:2] == ("one", "offline")
    assert [driver.started.get(timeout=DEADLINE_S) for _ in range(2)] == [1, 2]


def test_the_pauses_grow_and_have_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    driver = FakeDriver(*[gone] * 60)
    wire = Wire("panel", driver, [], lambda _: None)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 60:
            wire.stop()

    monkeypatch.setattr(wire, "_pause", pause)
    wire.start()
    wire.join(DEADLINE_S)
    assert len(pauses) == 60
    assert pauses[0] <= 0.5
    assert max(pauses) <= wires.BACKOFF_MAX_S
    assert max(pauses[10:]) > wires.BACKOFF_MAX_S / 2
    assert len({round(pause, 3) for pause in pauses[10:]}) > 20, "jitter"


def test_a_wire_that_held_begins_its_backoff_anew(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "STABLE_S", 0.0)
    driver = FakeDriver(gone, gone)
    _, readings = made(driver)
    assert health(readings)[1] == "offline"
    assert [driver.started.get(timeout=DEADLINE_S) for _ in range(3)] == [1, 2, 3]


def test_a_stop_ends_an_open_wire_and_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "BACKOFF_FIRST_S", 1000.0)
    monkeypatch.setattr(wires, "BACKOFF_MAX_S", 1000.0)
    for driver in (FakeDriver(), FakeDriver(gone)):
        wire = Wire("panel", driver, [], lambda _: None)
        wire.start()
        driver.started.get(timeout=DEADLINE_S)
        wire.stop()
        wire.join(DEADLINE_S)
        assert not wire._thread.is_alive()
        assert driver.count == 1


def test_it_spoke_only_when_each_input_was_heard_of(made: Made) -> None:
    go = threading.Event()

    def half(host: Host) -> None:
        host.emit(Edge("one", False, 1.0, initial=True))
        go.wait(DEADLINE_S)
        host.emit(Edge("two", False, 1.0, initial=True))
        stay_open(host)

    wire, readings = made(FakeDriver(half))
    readings.get(timeout=DEADLINE_S)
    assert not wire.spoke.is_set()
    go.set()
    assert wire.spoke.wait(DEADLINE_S)


def test_a_wire_that_cannot_be_opened_spoke_too(made: Made) -> None:
    wire, _ = made(FakeDriver(gone))
    assert wire.spoke.wait(DEADLINE_S)


def test_a_wire_counts_as_alive_while_it_waits_and_while_its_driver_asks(made: Made) -> None:
    driver = FakeDriver()
    wire, _ = made(driver)
    driver.started.get(timeout=DEADLINE_S)
    since_s, until_s = wire.progress_s, time.monotonic() + DEADLINE_S
    while wire.progress_s <= since_s and time.monotonic() < until_s:
        wire.spoke.wait(0.001)
    assert wire.progress_s > since_s


def test_each_wire_of_a_config_gets_its_own_inputs_and_outputs() -> None:
    made_wires = make_wires(config(YAML), lambda _wire, _reading: None)
    assert [wire.name for wire in made_wires] == ["gpio0", "panel"]
    found: Any = [wire._inputs for wire in made_wires]
    assert found == [["alarm-1", "hidden", "door", "mains", "mains-2", "undo", "key", "point"], ["desk"]]


def test_a_driver_that_cannot_set_its_output_costs_the_lamp_and_never_the_box(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire("relay8", Rude(), [], Queue[Reading]().put)
    for on in (True, False, True):
        wire.set("lamp", on)
    [told] = caplog.records
    assert "relay8: output lamp" in told.getMessage()
