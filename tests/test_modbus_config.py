"""What a config may say of a Modbus bus: as many modules as can be asked in time, and each channel once."""

from pathlib import Path

import pytest
from config_file import SMALL, english, file, loaded, mistakes

from drivers.modbus import ModbusInput, ModbusOptions
from drivers.modbus_frame import ECHO

__all__ = ["english", "file"]  # fixtures

BUS = SMALL.replace("type: gpio", "type: modbus, port: /dev/bus, baud: 9600").replace("pin: 17", "channel: 1")


def with_modules(count: int, baud: int = 9600) -> str:
    more = "".join(
        f"  - {{id: u{unit}, driver: gpio0, channel: 1, unit: {unit}, kind: panic}}\n" for unit in range(2, count + 1)
    )
    return BUS.replace("9600", str(baud)) + more


@pytest.mark.parametrize(("count", "baud"), [(6, 9600), (13, 115200)])
def test_as_many_modules_as_can_be_asked_within_200_ms_are_allowed(file: Path, count: int, baud: int) -> None:
    assert loaded(file, with_modules(count, baud)).inputs


@pytest.mark.parametrize(
    ("count", "baud", "said"),
    [
        (7, 9600, "found 7 requests for one look at all inputs, 223 ms at 9600 bit/s; allowed are 200 ms"),
        (14, 115200, "found 14 requests for one look at all inputs, 206 ms at 115200 bit/s; allowed are 200 ms"),
    ],
)
def test_a_bus_that_cannot_be_asked_within_200_ms_is_refused(file: Path, count: int, baud: int, said: str) -> None:
    [mistake] = mistakes(file, with_modules(count, baud))
    assert mistake.startswith(f"box.yaml:5: drivers[0]: {said}")
    assert "second bus" in mistake


def test_two_inputs_or_outputs_on_one_channel_are_refused(file: Path) -> None:
    twice = BUS + "  - {id: b, driver: gpio0, channel: 1, unit: 1, kind: fire}\n"
    assert mistakes(file, twice) == [
        "box.yaml:5: drivers[0]: found channel 1 of unit 1 (discrete) for both alarm-1 and b; allowed is one each"
    ]
    coil = "{driver: gpio0, role: relay, channel: 4, id: "
    twice = BUS + f"outputs:\n  - {coil} x}}\n  - {coil} y}}\n"
    assert "channel 4 of unit 1 (coil) for both x and y" in mistakes(file, twice)[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "port and tcp"),
        ({"port": "/dev/x", "tcp": "a:1"}, "port and tcp"),
        ({"tcp": "10.0.0.7"}, "tcp: found '10.0.0.7', allowed is HOST:PORT"),
        ({"tcp": "10.0.0.7:0"}, "tcp: found"),
        ({"port": "/dev/x", "baud": 5}, "baud: found 5, allowed is a speed in bit/s from 1200 to 1000000"),
        ({"port": "/dev/x", "unit": 0}, "unit: found 0, allowed is the number of a module from 1 to 247"),
        ({"port": "/dev/x", "timeout_ms": 1000}, "timeout_ms: found 1000, allowed is a number of ms from 20 to 300"),
    ],
)
def test_bad_options_say_what_is_allowed(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModbusOptions(**keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"channel": 0}, "channel: found 0, allowed is a number from 1 to 65536"),
        ({"channel": 1, "unit": 248}, "unit: found 248"),
        ({"channel": 1, "table": "x"}, "table: found 'x', allowed is one of discrete, coil, input, holding"),
        ({"channel": 1, "normally": "x"}, "normally: found 'x', allowed is one of open, closed"),
        ({"channel": 1, "table": "input", "normally": "closed"}, "normally: found 'closed', allowed is only open"),
    ],
)
def test_a_bad_input_says_what_is_allowed(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModbusInput(**keys)  # type: ignore[arg-type]


def test_an_echo_is_named_with_its_cure() -> None:
    assert "check the echo setting" in ECHO.reason
