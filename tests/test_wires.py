"""The drivers' threads, with drivers that do as they are told."""

import queue
import time

import pytest

from agent.wires import Wire
from drivers.contract import DriverError, Edge, Health, Host, Reading

DEADLINE_S = 10.0


class Told:
    """A driver that emits what it is handed, and fails when it is handed an error."""

    def __init__(self) -> None:
        self.noise = 0
        self.script: queue.Queue[Reading | Exception] = queue.Queue()
        self.runs = 0

    def run(self, host: Host) -> None:
        self.runs += 1
        while host.alive():
            try:
                word = self.script.get(timeout=0.05)
            except queue.Empty:
                continue
            if isinstance(word, Exception):
                raise word
            host.emit(word)

    def set(self, output: str, on: bool) -> None:  # noqa: ARG002
        raise KeyError(output)


class Rig:
    def __init__(self, *inputs: str) -> None:
        self.driver, self.heard = Told(), queue.Queue[Reading]()
        self.wire = Wire("w", self.driver, inputs, self.heard.put)

    def __enter__(self) -> "Rig":
        self.wire.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.stop()
        self.wire.join(DEADLINE_S)


def edge(name: str) -> Edge:
    return Edge(name, False, time.monotonic(), initial=True)


def test_a_wire_has_spoken_when_each_of_its_inputs_has_and_not_before() -> None:
    with Rig("a", "b") as rig:
        rig.driver.script.put(edge("a"))
        assert rig.heard.get(timeout=DEADLINE_S).input == "a"
        assert not rig.wire.spoke.wait(0.1), "a press of b would still be missed"
        rig.driver.script.put(edge("b"))
        assert rig.wire.spoke.wait(DEADLINE_S)


def test_a_wire_without_inputs_keeps_nobody_waiting() -> None:
    with Rig() as rig:
        assert rig.wire.spoke.is_set()


@pytest.mark.parametrize("error", [DriverError("w", "it is gone", "look"), ZeroDivisionError("a bug")])
def test_a_wire_that_fails_is_offline_and_is_opened_again(error: Exception) -> None:
    with Rig("a") as rig:
        rig.driver.script.put(error)
        reading = rig.heard.get(timeout=DEADLINE_S)
        assert isinstance(reading, Health) and reading.quality == "offline" and str(error.args[0]) in reading.reason
        assert rig.wire.spoke.is_set()
        rig.driver.script.put(edge("a"))
        assert isinstance(rig.heard.get(timeout=DEADLINE_S), Edge)
        assert rig.driver.runs == 2
