"""The scanner driver on real ptys, and the simulated scanner at their other end."""

from pathlib import Path
from typing import Any

import pytest
from driver_host import RecordingHost, descriptors, running, until

from drivers.contract import Code, Driver, Health, Paper, Reading
from drivers.scanner import ScannerDriver, ScannerOptions
from drivers.scans import ScanInput
from simulators.line import LinePanel
from simulators.scanner import obey

DESK = {"desk": ScanInput()}


def driver(port: str, **options: Any) -> ScannerDriver:
    return ScannerDriver("scan0", ScannerOptions(port, **options), DESK, {})


def take_good(host: RecordingHost) -> None:
    reading = host.take()
    assert isinstance(reading, Health)
    assert (reading.input, reading.quality) == ("desk", "good")


def take_code(host: RecordingHost) -> str:
    reading: Reading = host.take()
    assert isinstance(reading, Code)
    return reading.code


def test_a_scanner_has_no_outputs() -> None:
    made: Driver = driver("/dev/null")
    with pytest.raises(KeyError):
        made.set("lamp", True)


def test_scans_of_a_real_port_are_told_and_garbage_is_counted() -> None:
    with LinePanel() as scanner:
        desk = driver(scanner.path)
        with running(desk) as host:
            take_good(host)
            scanner.send(b"\xff\xfe\x00\r\n" + b"x" * 20_000 + b"\r\n4006381333931\r\n\r\n4006")
            assert take_code(host) == "4006381333931"
            scanner.send(b"381\r")
            assert take_code(host) == "4006381"
            until(lambda: desk.noise == 2)


def test_a_scanner_without_a_terminator_is_read_by_its_pauses() -> None:
    with LinePanel() as scanner, running(driver(scanner.path, end_ms=50)) as host:
        take_good(host)
        for code in ("4006381333931", "票号 7"):
            scanner.send(code.encode())
            assert take_code(host) == code


def test_a_scanner_pulled_out_a_hundred_times_works_each_time_it_is_back(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "scanner") as scanner:
        desk = driver(scanner.path)
        for turn in range(100):
            with running(desk) as host:
                take_good(host)
                scanner.send(f"CODE-{turn}\rhalf a co".encode())
                assert take_code(host) == f"CODE-{turn}"
                scanner.unplug()
                assert host.lost().where == scanner.path
            scanner.plug()
        assert descriptors() < 100


# ---- the simulated scanner


def test_the_commands_of_the_simulated_scanner_do_what_they_say(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "scanner") as scanner:
        desk = driver(scanner.path)
        with running(desk) as host:
            take_good(host)
            obey(scanner, r"]C110AB\x1d217")
            assert take_code(host) == "10AB\x1d217"
            obey(scanner, "!gbk 票号 0042")
            assert take_code(host) == "票号 0042"
            obey(scanner, "!double 4006381333931")
            obey(scanner, "!half 40")
            obey(scanner, "42")
            assert [take_code(host), take_code(host)] == ["4006381333931", "4042"]
            for layout, issuer in (("td3", "UTO"), ("td1", "UTO"), ("", "UTO")):
                obey(scanner, f"!mrz {layout}".rstrip())
                reading = host.take()
                assert isinstance(reading, Paper)
                assert (reading.layout, reading.fields["issuer"], reading.wrong) == (layout or "td3", issuer, ())
            obey(scanner, "!noise 64")
            obey(scanner, "")
            until(lambda: desk.noise > 0)
            obey(scanner, "!unplug")
            host.lost()
        assert not (tmp_path / "scanner").is_symlink()
        assert obey(scanner, "!plug") == scanner.path
        for wrong in ("!mrz td9", "!noise many", "!dance"):
            assert "!mrz [LAYOUT]" in obey(scanner, wrong)
