"""However the daemon ends, outputs end in their safe state."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_box import YAML, config
from real_box import BUTTON, MAY, RealBox, until

from agent import wires
from agent.config import Config
from agent.wires import make_safe
from drivers.contract import DriverError, Edge, Host

SIREN, LOCK = 13, 19
LOCKED = YAML.replace("outputs:\n", 'outputs:\n  - {id: lock, driver: gpio0, pin: 20, role: relay, safe: "on"}\n')


class Wired:
    """A driver that writes what was wished when it is told to leave, as the contract says."""

    noise = 0

    def __init__(self, run: Callable[[Host], None]) -> None:
        self._run, self.wished, self.written = run, dict[str, bool](), dict[str, bool]()

    def run(self, host: Host) -> None:
        self._run(host)
        assert not host.alive()
        self.written = dict(self.wished)

    def set(self, output: str, on: bool) -> None:
        self.wished[output] = on


def left(monkeypatch: pytest.MonkeyPatch, run: Callable[[Host], None]) -> tuple[Wired, list[str]]:
    """What `make_safe` did with a wire, and what it says of it."""
    wire, box = Wired(run), config(LOCKED)

    def wired(_config: Config, put: Callable[..., None]) -> list[wires.Wire]:
        return [wires.Wire("gpio0", wire, ["alarm-1"], lambda reading: put("gpio0", reading))]

    monkeypatch.setattr(wires, "make_wires", wired)
    return wire, make_safe(box)


def test_each_output_is_written_as_its_role_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wire, problems = left(monkeypatch, lambda host: host.emit(Edge("alarm-1", True, 1.0, initial=True)))
    assert (wire.written, problems) == ({"lock": True, "lamp": False}, [])


def test_a_wire_that_is_gone_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Host) -> None:
        raise DriverError("/dev/ttyUSB0", "No such file or directory", "plug it in")

    assert left(monkeypatch, gone)[1] == ["/dev/ttyUSB0: No such file or directory; plug it in"]


def test_a_fault_in_a_driver_is_told_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_: Host) -> None:
        raise ZeroDivisionError

    [said] = left(monkeypatch, faulty)[1]
    assert said.startswith("gpio0: ZeroDivisionError")


def test_a_device_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(wires, "SAFE_S", 0.05)

    def silent(_: Host) -> None:
        never.wait()

    [said] = left(monkeypatch, silent)[1]
    never.set()
    assert said.startswith("gpio0: no answer within")


def test_a_box_that_is_killed_or_stopped_leaves_no_siren_on(tmp_path: Path) -> None:
    levels, lock = dict[int, int](), list[int]()

    def watch(pin: int, level: int, _: float) -> None:
        levels[pin] = level
        lock.extend([level] if pin == LOCK else [])

    outputs: list[dict[str, Any]] = [
        {"id": "siren", "driver": "gpio0", "pin": SIREN, "role": "siren"},
        {"id": "lock", "driver": "gpio0", "pin": LOCK, "role": "relay", "safe": "on"},
    ]
    operators = [{"name": "nobody", "key": "A" * 43, "may": MAY}]
    with RealBox(tmp_path, outputs=outputs, operators=operators) as box:
        box.board.watch(watch)
        box.power_on()
        box.armed().press(BUTTON)
        until(lambda: levels.get(SIREN) == levels.get(LOCK) == 1, "the siren sounds")
        done = box.callbox("safe", "--config", str(box.file))
        assert (done.returncode, b"another callbox runs" in done.stderr) == (1, True)
        assert levels[SIREN] == 1, "nobody quiets a box that runs"
        box.kill()
        box.board.release(LOCK)
        assert (levels[SIREN], levels[LOCK]) == (1, 0), "the one holds what was written last, the other lets go"
        done = box.callbox("safe", "--config", str(box.file))
        assert (done.returncode, done.stderr) == (0, b"")
        assert levels[SIREN] == 0
        assert lock == [1, 0, 1, 0], "written, and let go: a pin is nobody's when its process has ended"

        box.power_on()
        box.armed().press(BUTTON)
        until(lambda: levels[SIREN] == 1, "the siren sounds again")
        assert box.stop() == 0
        assert levels[SIREN] == 0
