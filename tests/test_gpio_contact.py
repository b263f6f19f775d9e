"""A contact at pins that the test moves by hand, to put a read between an edge and its callback."""

import queue
import time
from types import SimpleNamespace
from typing import Any

import pytest
from driver_host import DEADLINE_S, RecordingHost

import drivers.gpio
from drivers.contract import Edge

DOWN_UP = (0, 1)


def take(host: RecordingHost) -> tuple[str, bool, bool]:
    edge = host.take()
    assert isinstance(edge, Edge)
    return edge.input, edge.active, edge.initial


class FakePin:
    """A pin that the test moves by hand, to put a read between an edge and its callback."""

    def __init__(self) -> None:
        self.state = 1
        self.bounce: float | None = 1.0
        self.edges = ""
        self.when_changed: Any = None


class FakeFactory:
    """gpiozero's clock, which the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def ticks(self) -> float:
        return self.now

    def ticks_diff(self, later: float, earlier: float) -> float:
        return later - earlier


def contact_at(pin: FakePin, host: RecordingHost, factory: FakeFactory | None = None) -> Any:
    return drivers.gpio._Contact("button", False, [pin], factory or FakeFactory(), host, lambda: None)


class HastyPin(FakePin):
    """A pin that falls while its edges are being enabled, too early for a callback."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "when_changed" and value is not None:
            self.state = 0
        super().__setattr__(name, value)


def levels(host: RecordingHost) -> list[bool]:
    found: list[bool] = []
    while True:
        try:
            edge = host.readings.get_nowait()
        except queue.Empty:
            return found
        assert isinstance(edge, Edge)
        found.append(edge.active)


def test_an_edge_has_the_level_it_came_with_and_not_a_later_read() -> None:
    host, pin = RecordingHost(), FakePin()
    contact = contact_at(pin, host)
    assert (pin.bounce, pin.edges) == (None, "both")
    for state in DOWN_UP:  # both callbacks run when the pin is up again
        contact._changed(0.0, state)
    assert levels(host) == [False, True, False]


def test_a_look_in_the_middle_of_a_press_neither_adds_nor_loses_an_edge() -> None:
    host, pin = RecordingHost(), FakePin()
    contact = contact_at(pin, host)
    pin.state = 0
    contact.look()  # sees the press before its callback does
    for state in (0, 1, 0):
        contact._changed(0.0, state)
    assert levels(host) == [False, True, False, True]


def test_a_look_finds_an_edge_that_never_came() -> None:
    host, pin = RecordingHost(), FakePin()
    contact = contact_at(pin, host)
    pin.state = 0
    contact.look()
    assert levels(host) == [False, True]


def test_an_edge_that_is_told_late_has_the_time_of_its_back_end() -> None:
    """Two edges that wait for their callbacks stand as far apart as they were: a press of 50 ms stays one."""
    host, factory = RecordingHost(), FakeFactory()
    contact = contact_at(FakePin(), host, factory)
    host.take()
    contact._changed_s = 0.0
    factory.now = 100.0
    contact._changed(98.0, 0)
    contact._changed(98.05, 1)
    press, release = host.take(), host.take()
    assert release.seen_s - press.seen_s == pytest.approx(0.05, abs=0.01)
    assert 1.9 < time.monotonic() - press.seen_s < 2.0 + DEADLINE_S


@pytest.mark.parametrize("lost", range(1, 6))
def test_an_edge_is_never_older_than_it_is_wherever_its_thread_loses_the_processor(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clocks are one, read six times here, and 30 ms go by at one of them: an edge at 50.0 told at 50.001."""
    reads = iter(range(1, 100))
    now_s = [50.001]

    def read() -> float:
        now_s[0] += 0.03 if next(reads) == lost else 0.00001
        return now_s[0]

    factory = FakeFactory()
    monkeypatch.setattr(factory, "ticks", read)
    monkeypatch.setattr(drivers.gpio, "time", SimpleNamespace(monotonic=read))
    assert 50.0 <= drivers.gpio.seen(factory, 50.0) < 50.001


@pytest.mark.parametrize("ticks", [1_700_000_000.0, -1_700_000_000.0])
def test_a_back_end_with_another_clock_is_not_believed(ticks: float) -> None:
    host, factory = RecordingHost(), FakeFactory()
    contact = contact_at(FakePin(), host, factory)
    began_s = host.take().seen_s
    contact._changed(ticks, 0)
    assert began_s <= host.take().seen_s <= time.monotonic()


def test_a_form_c_contact_that_leaves_its_pole_has_the_next_look_come_when_that_is_a_fault() -> None:
    stirred: list[float] = []
    factory, no, nc = FakeFactory(), FakePin(), FakePin()
    nc.state = 0  # closed to ground
    contact = drivers.gpio._Contact(
        "button", False, [no, nc], factory, RecordingHost(), lambda: stirred.append(time.monotonic())
    )
    assert contact.due_s() is None
    contact._nc_changed(0.0, 1)
    assert len(stirred) == 1
    assert contact.due_s() == pytest.approx(contact._changed_s + 0.1)
    contact._changed(0.0, 0)
    assert (len(stirred), contact.due_s()) == (1, None)


def test_a_press_while_the_edges_are_being_enabled_is_a_press_and_no_level_at_the_start() -> None:
    host = RecordingHost()
    contact_at(HastyPin(), host)
    assert [take(host), take(host)] == [("button", False, True), ("button", True, False)]
