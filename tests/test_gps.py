"""The gps driver on real ptys, with the simulated receiver; pynmea2 reads that one too."""

import select
import subprocess
import sys
import time
from pathlib import Path

import pynmea2  # type: ignore[import-untyped]
import pytest
from driver_host import RecordingHost, descriptors, forget_others, running, until

from drivers.contract import Fix, Health
from drivers.gps import GpsDriver, GpsOptions, PositionInput
from drivers.nmea import NmeaParser
from simulators.gps import FAULTS, JUMP_S, Receiver, obey
from simulators.line import LinePanel

AT_S = 1_795_311_200.25  # 2026-11-22T01:33:20.25Z


def driver(port: str) -> GpsDriver:
    return GpsDriver("car", GpsOptions(port=port), {"sat": PositionInput()}, {})


def take_good(host: RecordingHost) -> None:
    reading = host.take()
    assert isinstance(reading, Health)
    assert (reading.input, reading.quality) == ("sat", "good")


def take_fix(host: RecordingHost) -> Fix:
    reading = host.take()
    assert isinstance(reading, Fix)
    return reading


def test_sentences_of_a_real_port_are_fixes_and_a_pulled_cable_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    receiver = Receiver(31.2304, 121.4737)
    with LinePanel(tmp_path / "sat") as cable:
        gps = driver(cable.path)
        with running(gps) as host:
            until(lambda: host.beats >= 1)  # what came before the port was open is lost
            obey(receiver, cable, "checksum")
            cable.send(receiver.says(AT_S))
            until(lambda: gps.noise == 2)
            obey(receiver, cable, "good")
            cable.send(receiver.says(AT_S))
            take_good(host)
            made = take_fix(host)
            assert (made.latitude, made.longitude) == pytest.approx(receiver.place(AT_S)[:2], abs=1e-6)
            assert (made.utc_s, made.satellites) == (AT_S, 9)
            assert made.seen_s == pytest.approx(time.monotonic(), abs=5)
            obey(receiver, cable, "unplug")
            assert "cable" in host.lost().hint
        assert obey(receiver, cable, "plug") == cable.path
        with running(gps) as host:
            until(lambda: host.beats >= 1)
            cable.send(receiver.says(AT_S))
            take_good(host)
            assert take_fix(host).utc_s == AT_S
    assert gps.noise == 2


def test_a_receiver_pulled_out_a_hundred_times_is_read_each_time_and_leaves_nothing_open(tmp_path: Path) -> None:
    forget_others()
    receiver, counts = Receiver(31.2304, 121.4737), set()
    with LinePanel(tmp_path / "sat") as cable:
        gps = driver(cable.path)
        for turn in range(100):
            with running(gps) as host:
                until(lambda: host.beats >= 1)
                cable.send(receiver.says(AT_S + turn))
                take_good(host)
                assert take_fix(host).utc_s == AT_S + turn
                cable.send(b"$GPRMC,half")
                cable.unplug()
                host.lost()
            counts.add(descriptors())
            cable.plug()
    assert len(counts) == 1


def test_a_receiver_has_no_outputs() -> None:
    with pytest.raises(KeyError):
        driver("/dev/null").set("lamp", True)


def test_bad_options_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="port: found nothing"):
        GpsOptions(port="")
    with pytest.raises(ValueError, match="baud: found 7, allowed is a speed from 50"):
        GpsOptions(port="/dev/ttyUSB0", baud=7)


# ---- the simulated receiver


def test_what_the_simulated_receiver_says_is_nmea_also_to_pynmea2() -> None:
    receiver = Receiver(-33.8688, -151.2093)
    gga, rmc = [pynmea2.parse(line, check=True) for line in receiver.says(AT_S).decode().split()]
    assert (rmc.latitude, rmc.longitude) == pytest.approx(receiver.place(AT_S)[:2], abs=1e-6)
    assert (gga.latitude, gga.longitude) == (rmc.latitude, rmc.longitude)
    assert rmc.datetime.timestamp() == AT_S


def test_each_fault_of_the_simulated_receiver_is_what_its_word_says() -> None:
    receiver, found = Receiver(31.2304, 121.4737), {}
    for fault in FAULTS:
        receiver.fault = fault
        parser = NmeaParser(["sat"])
        readings = [reading for second in range(3) for reading in parser.feed(receiver.says(AT_S + second), second)]
        parser.feed(b"\r\n", 3.0)
        found[fault] = [reading for reading in readings if isinstance(reading, Fix)], parser.take_noise()
    assert [made.utc_s for made in found["good"][0]] == [AT_S, AT_S + 1, AT_S + 2]
    assert [made.utc_s for made in found["stale"][0]] == [AT_S] * 3
    assert [made.utc_s for made in found["jump"][0]] == [AT_S + JUMP_S + second for second in range(3)]
    assert [made.latitude for made in found["void"][0]] == [None] * 3
    assert [made for fault in ("checksum", "half", "silence") for made in found[fault][0]] == []
    assert [found[fault][1] for fault in FAULTS] == [0, 0, 0, 0, 6, 2, 0]  # halves without an end are one line


def test_the_command_prints_its_port_speaks_there_and_takes_words() -> None:
    command = [sys.executable, "-c", "import sys; from simulators.cli import main; sys.exit(main())", "gps"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        path = process.stdout.readline().strip()
        with running(driver(path)) as host:
            take_good(host)
            assert take_fix(host).latitude == pytest.approx(31.2304, abs=0.01)
            process.stdin.write("void\nnonsense\n")
            process.stdin.flush()
            assert process.stdout.readline() == "void\n"
            assert "silence" in process.stdout.readline()
            until(lambda: take_fix(host).latitude is None)
        process.stdin.close()
        assert not select.select([process.stdout], [], [], 0)[0]  # it goes on
        process.terminate()
        assert process.wait(10) == 0
