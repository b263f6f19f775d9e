"""The Modbus driver on real wires: simulated modules on a pty and on TCP, and every fault of a bus."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from config_file import english, file
from driver_host import RecordingHost, descriptors, forget_others, running, until

from drivers.contract import Driver, DriverError, Edge, Health
from drivers.modbus import ModbusDriver, ModbusInput, ModbusOptions, ModbusOutput
from drivers.modbus_frame import SILENT, Request
from drivers.modbus_wire import RtuWire
from drivers.serial_port import SerialPort
from simulators.line import LinePanel
from simulators.modbus import Modules, SerialBus, TcpBus

__all__ = ["english", "file"]  # fixtures

Bus = SerialBus | TcpBus
INPUTS = {"door": ModbusInput(channel=3), "far": ModbusInput(channel=1, unit=2)}
REASONS = {
    "silent": "nothing answers",
    "foreign": "unit 9 answered",
    "exception": "exception 2, illegal address",
    "echo": "our own request came back",
    "crc": "bad CRC",
}


class Site:
    """Eight modules, and what their relays do."""

    def __init__(self, bus: Callable[[Modules], Bus]) -> None:
        self.relays: dict[tuple[int, int], bool] = {}
        self.modules = Modules(range(1, 9), self._relay)
        self.bus = bus(self.modules)

    def _relay(self, unit: int, channel: int, on: bool) -> None:
        self.relays[unit, channel] = on

    def driver(
        self, inputs: dict[str, ModbusInput] = INPUTS, outputs: dict[str, ModbusOutput] | None = None
    ) -> ModbusDriver:
        if isinstance(self.bus, TcpBus):
            options = ModbusOptions(tcp=self.bus.path, timeout_ms=150)
        else:
            options = ModbusOptions(port=self.bus.path, baud=115200, timeout_ms=150)
        return ModbusDriver("relay8", options, inputs, outputs or {})


@pytest.fixture(params=["rtu", "tcp"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site((lambda modules: SerialBus(modules, tmp_path / "bus")) if request.param == "rtu" else TcpBus)
    with site.bus:
        yield site


@pytest.fixture
def rtu(tmp_path: Path) -> Iterator[Site]:
    site = Site(lambda modules: SerialBus(modules, tmp_path / "bus"))
    with site.bus:
        yield site


def take_edge(host: RecordingHost) -> tuple[str, bool]:
    reading = host.take()
    assert isinstance(reading, Edge), reading
    return reading.input, reading.active


def take_health(host: RecordingHost) -> Health:
    reading = host.take()
    assert isinstance(reading, Health), reading
    return reading


def found(host: RecordingHost) -> None:
    assert {take_edge(host), take_edge(host)} == {("door", False), ("far", False)}


def test_contacts_of_two_modules_are_told_as_found_and_as_they_change(site: Site) -> None:
    site.modules.obey("on 1/3")
    driver: Driver = site.driver()
    with running(driver) as host:
        assert {take_edge(host), take_edge(host)} == {("door", True), ("far", False)}
        site.modules.obey("on 2/1")
        assert take_edge(host) == ("far", True)
        site.modules.obey("off 1/3")
        assert take_edge(host) == ("door", False)
    assert driver.noise == 0


def test_presses_that_are_too_short_to_be_seen_are_counted_by_the_module(site: Site) -> None:
    site.modules.obey("count 1/3 65534")
    with running(site.driver({"desk": ModbusInput(channel=3, table="holding")})) as host:
        assert take_health(host).quality == "good"
        site.modules.obey("pulse 1/3 3")
        assert [take_edge(host) for _ in range(6)] == [("desk", True), ("desk", False)] * 3


def test_each_fault_of_a_module_is_offline_with_its_own_reason_and_back_and_costs_no_other(site: Site) -> None:
    """One module for each; on TCP a spoilt frame has a test of its own."""
    faults = [fault for fault in REASONS if fault != "crc" or isinstance(site.bus, SerialBus)]
    units = {f"unit {unit}": fault for unit, fault in enumerate(faults, 2)}
    inputs = {name: ModbusInput(channel=1, unit=unit) for unit, name in enumerate(units, 2)}
    driver = site.driver({"door": ModbusInput(channel=3), **inputs})
    with running(driver) as host:
        assert {take_edge(host)[0] for _ in range(1 + len(units))} == {"door", *units}
        for name, fault in units.items():
            site.modules.obey(f"fault {name.removeprefix('unit ')} {fault}")
        said = {health.input: health.reason for health in (take_health(host) for _ in units)}
        for name, fault in units.items():
            assert said[name].startswith(f"{name}: {REASONS[fault]}"), fault
        site.modules.obey("on 1/3")
        assert take_edge(host) == ("door", True)
        for name in units:
            site.modules.obey(f"fault {name.removeprefix('unit ')} good")
        assert {take_edge(host) for _ in units} == {(name, False) for name in units}
    assert driver.noise >= 3 * sum(fault in ("crc", "foreign", "echo") for fault in faults)


def test_a_module_whose_answer_comes_too_late_does_not_answer_for_another(site: Site) -> None:
    """On a serial line it may pass for its own next answer: nothing in a frame says which request it is for."""
    site.modules.obey("on 2/1")
    site.modules.obey("fault 2 slow")
    with running(site.driver()) as host:
        assert take_edge(host) == ("door", False)
        told = [host.take()]
        beats = host.beats
        until(lambda: host.beats > beats + 20)
        site.modules.obey("on 1/3")
        while told[-1].input == "far":
            told.append(host.take())
        *far, door = told
        assert isinstance(door, Edge) and door.active
        site.modules.obey("fault 2 good")
        while not isinstance(far[-1], Edge):
            far.append(host.take())
        assert {each.active for each in far if isinstance(each, Edge)} == {True}
        reasons = [each.reason for each in far if isinstance(each, Health)]
        assert all(reason.startswith("unit 2: nothing answers") for reason in reasons)
        if isinstance(site.bus, TcpBus):  # there an answer has the number of its request
            assert [type(each) for each in far] == [Health, Edge]


def test_an_answer_that_came_before_it_was_asked_for_is_none() -> None:
    with LinePanel() as panel, SerialPort(panel.path, 115200) as port:
        panel.send(bytes.fromhex("010201016048"))
        assert RtuWire(port, 115200, 0.05).ask(Request(1, 2, 0, 8)) == SILENT


def test_garbage_is_counted_and_read_as_nothing(rtu: Site) -> None:
    driver = rtu.driver()
    with running(driver) as host:
        found(host)
        assert isinstance(rtu.bus, SerialBus)
        rtu.bus.send(b"\xff\x00" * 40)  # babble between the frames
        rtu.modules.obey("fault 2 garbage")
        assert take_health(host).quality == "offline"
        until(lambda: driver.noise >= 3)
        rtu.modules.obey("fault 2 good")
        assert take_edge(host) == ("far", False)


def test_bytes_on_a_tcp_port_that_are_no_modbus_are_an_error_that_says_so() -> None:
    site = Site(TcpBus)
    with site.bus, running(site.driver()) as host:
        found(host)
        site.modules.obey("fault 1 crc")
        error = host.lost()
    assert "no Modbus TCP" in error.found
    assert "RTU over TCP" in error.hint


def test_a_tcp_connection_on_which_nobody_answers_any_more_is_given_up_for_a_new_one() -> None:
    site = Site(TcpBus)
    driver = site.driver()
    with site.bus:
        with running(driver) as host:
            found(host)
            site.modules.obey("fault 1 silent")
            site.modules.obey("fault 2 silent")
            while not host.ended.is_set():
                take_health(host)
                if host.readings.empty():
                    host.ended.wait(1)
            assert "no module answers" in host.lost().found
        site.modules.obey("fault 1 good")
        site.modules.obey("fault 2 good")
        with running(driver) as host:
            found(host)


def test_a_relay_is_switched_at_once_and_once_more_when_its_module_was_started_anew(site: Site) -> None:
    driver = site.driver(outputs={"siren": ModbusOutput(channel=2, unit=2)})
    driver.set("siren", True)
    with running(driver) as host:
        found(host)
        until(lambda: site.relays == {(2, 2): True})
        site.modules.obey("fault 2 silent")
        assert take_health(host).input == "far"
        driver.set("siren", False)
        driver.set("siren", True)
        site.modules.obey("reset 2")
        site.relays.clear()
        site.modules.obey("fault 2 good")
        until(lambda: site.relays == {(2, 2): True})
    with pytest.raises(KeyError):
        driver.set("lamp", True)


def test_a_relay_that_is_wished_off_as_the_driver_ends_is_off(site: Site) -> None:
    driver = site.driver(outputs={"siren": ModbusOutput(channel=2)})
    driver.set("siren", True)
    with running(driver) as host:
        until(lambda: site.relays == {(1, 2): True})
        host.stopping.set()
        driver.set("siren", False)
    assert site.relays == {(1, 2): False}


def test_a_relay_that_cannot_be_switched_as_the_driver_ends_is_named(site: Site) -> None:
    driver = site.driver({}, {"siren": ModbusOutput(channel=2), "gate": ModbusOutput(channel=2, unit=2)})
    site.modules.obey("fault 2 silent")
    driver.set("siren", True)
    driver.set("gate", True)
    host = RecordingHost()
    host.stopping.set()
    with pytest.raises(DriverError, match="not switched: gate; look at these relays"):
        driver.run(host)
    assert site.relays == {(1, 2): True}


def test_a_pulled_adapter_is_an_error_and_the_bus_works_again_after_it_is_back(site: Site) -> None:
    driver = site.driver()
    for _ in range(3):
        with running(driver) as host:
            found(host)
            site.bus.unplug()
            error = host.lost()
        assert error.where == site.bus.path
        with running(driver) as host:
            assert host.lost().found in ("No such file or directory", "Connection refused")
        site.bus.plug()


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.soak)])
def test_a_bus_pulled_out_many_times_is_read_each_time_and_leaves_nothing_behind(tmp_path: Path, times: int) -> None:
    site = Site(lambda modules: SerialBus(modules, tmp_path / "bus"))
    forget_others()
    counts = []
    with site.bus:
        for _ in range(times):
            with running(site.driver()) as host:
                found(host)
                site.bus.unplug()
                host.lost()
            site.bus.plug()
            counts.append((descriptors(), threading.active_count()))
    assert counts[0] == counts[-1]


def test_a_silent_bus_still_shows_that_the_driver_lives(rtu: Site) -> None:
    rtu.modules.obey("fault 1 silent")
    rtu.modules.obey("fault 2 silent")
    with running(rtu.driver()) as host:
        until(lambda: host.beats >= 10)


# ---- the simulator


@pytest.mark.parametrize(
    "line", ["on", "on 9/1", "on 1/17", "on 1/0", "on x", "pulse 1/1 x", "fault 1 dead", "fault 9 crc", "reset x", "x"]
)
def test_a_command_of_the_simulated_modules_that_makes_no_sense_does_nothing(line: str) -> None:
    assert Modules([1]).obey(line) is False


def test_the_simulated_modules_do_what_stdin_says_and_tell_of_their_relays() -> None:
    argv = [sys.executable, "-c", "from simulators.cli import main; raise SystemExit(main())", "modbus", "--tcp", "0"]
    env = os.environ | {"CALLBOX_LANG": "en"}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        process.stdin.write("up 3\non 3\n")
        assert "up 3" in process.stdout.readline()
        driver = ModbusDriver("bus", ModbusOptions(tcp=address), {"door": INPUTS["door"]}, {"gate": ModbusOutput(2)})
        with running(driver) as host:
            until(lambda: take_edge(host) == ("door", True))  # it may have been asked before it read its stdin
            driver.set("gate", True)
            assert process.stdout.readline() == "unit 1 relay 2 on\n"
        process.terminate()
        process.communicate(timeout=10)
        assert process.returncode == 0


# ---- at the pace of a real line


@pytest.mark.soak
@pytest.mark.parametrize(("units", "baud"), [(6, 9600), (13, 115200)])
def test_a_full_bus_is_asked_within_200_ms_and_with_a_dead_module_within_its_timeout_more(
    units: int, baud: int
) -> None:
    """The simulator takes as long for its answers as such a line, and 10 ms to begin. Prints what it measured."""
    modules = Modules(range(1, units + 1))
    times: list[float] = []
    answer = modules.asked

    def asked(number: int, function: int, address: int, value: int) -> tuple[bytes, str] | None:
        if number == 1:
            times.append(time.monotonic())
        return answer(number, function, address, value)

    modules.asked = asked  # type: ignore[method-assign]
    inputs = {f"u{unit}": ModbusInput(channel=8, unit=unit) for unit in range(1, units + 1)}
    with SerialBus(modules, baud=baud) as bus:
        driver = ModbusDriver("bus", ModbusOptions(port=bus.path, baud=baud), inputs, {})
        with running(driver) as host:
            for _ in inputs:
                take_edge(host)
            for fault, most_s in (("good", 0.2), ("silent", 0.3)):
                modules.obey(f"fault 2 {fault}")
                times.clear()
                began_s = time.process_time()
                host.ended.wait(20)
                gaps = sorted(b - a for a, b in pairwise(times))
                spent = (time.process_time() - began_s) / 20
                longest_ms, over = gaps[-1] * 1000, sum(gap > 0.2 for gap in gaps)
                print(  # noqa: T201  the figures of docs/wires.md
                    f"{units} modules, {baud} bit/s, unit 2 {fault}: median {gaps[len(gaps) // 2] * 1000:.0f} ms,"
                    f" longest {longest_ms:.0f} ms, later than 200 ms {over} of {len(gaps)}, processor {spent:.1%}"
                )
                assert gaps[len(gaps) // 2] <= 0.2
                assert gaps[-1] <= most_s + 0.05  # two processes on one machine
