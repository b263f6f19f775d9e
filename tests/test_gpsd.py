"""The gpsd driver: its parser on lines of gpsd's manual, a bad server on TCP, and a real gpsd fed by our receiver."""

import json
import os
import shutil
import socket
import subprocess
import threading

import pytest
from driver_host import running, until
from hypothesis import given, settings
from hypothesis import strategies as st
from tcp_server import answers, free_port, server

from drivers.contract import Fix
from drivers.gps import PositionInput
from drivers.gpsd import LINE_BYTES_MAX, WATCH, GpsdDriver, GpsdOptions, GpsdParser
from simulators.gps import Receiver
from simulators.line import LinePanel

# gpsd_json(5), the examples there, typed off
TPV = (
    b'{"class":"TPV","device":"/dev/pts/1","time":"2005-06-08T10:34:48.283Z","ept":0.005,'
    b'"lat":46.498293369,"lon":7.567411672,"alt":1343.127,"eph":36.000,"epv":32.321,'
    b'"track":10.3788,"speed":0.091,"climb":-0.085,"mode":3}\r\n'
)
SKY = b'{"class":"SKY","device":"/dev/pts/1","time":"2005-07-08T11:28:07.114Z","xdop":1.55,"hdop":1.24,"uSat":7}\r\n'


def test_the_examples_of_the_manual_are_read_as_it_says() -> None:
    parser = GpsdParser()
    assert parser.feed(SKY + TPV, 7.0) == [
        Fix("", 46.498293369, 7.567411672, 7.0, 0.091, 10.3788, 7, 1.24, 1118226888.283)
    ]
    assert parser.take_noise() == 0


@pytest.mark.parametrize(
    "line",
    [
        b'{"class":"TPV","mode":1}',
        b'{"class":"TPV","mode":0,"lat":1,"lon":2,"time":"2005-06-08T10:34:48.283Z"}',
        b'{"class":"TPV","mode":3,"lat":91,"lon":2}',
        b'{"class":"TPV","mode":3,"lat":NaN,"lon":Infinity}',
        b'{"class":"TPV","mode":3,"lat":true,"lon":"2"}',
        b'{"class":"TPV","mode":3,"lat":1' + b"0" * 400 + b',"lon":2}',
    ],
)
def test_a_tpv_without_a_place_is_a_fix_that_knows_none(line: bytes) -> None:
    assert GpsdParser().feed(line + b"\n", 7.0) == [Fix("", None, None, 7.0)]


@pytest.mark.parametrize("time", ["", "yesterday", "2005-06-08T10:34:61Z", 5, None, "9999-12-31T23:59:59-23:59"])
def test_a_time_that_is_none_costs_the_time_alone(time: object) -> None:
    line = json.dumps({"class": "TPV", "mode": 2, "lat": 1.5, "lon": 2.5, "time": time})
    assert GpsdParser().feed(line.encode() + b"\n", 7.0) == [Fix("", 1.5, 2.5, 7.0)]


@pytest.mark.parametrize(
    "line", [b"no json", b"[]", b"5", b"{}", b'{"class":5}', b"[" * 10_000, b"\xff\xfe", b"9" * LINE_BYTES_MAX]
)
def test_what_is_no_object_of_a_class_is_noise(line: bytes) -> None:
    parser = GpsdParser()
    assert parser.feed(line + b"\n" + TPV, 7.0)[0].latitude == 46.498293369
    assert parser.take_noise() == 1


def test_a_line_without_end_takes_no_memory_and_is_one_noise() -> None:
    parser = GpsdParser()
    for _ in range(50):
        assert parser.feed(b"{" * 4096, 7.0) == []
    assert len(parser._unread) <= LINE_BYTES_MAX + 1
    assert len(parser.feed(b"\n" + TPV, 7.0)) == 1
    assert parser.take_noise() == 1


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([TPV, SKY, TPV[:40], b"\n", b'{"class":"TPV",']))))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_comes_the_parser_stands_and_reads_the_next_line(pieces: list[bytes]) -> None:
    parser = GpsdParser()
    for piece in pieces:
        parser.feed(piece, 7.0)
        assert len(parser._unread) <= LINE_BYTES_MAX + 1
    assert parser.feed(b"\n" + TPV, 7.0)[-1].latitude == 46.498293369


def test_bad_options_say_what_is_allowed() -> None:
    for tcp in ("gpsd", "gpsd:", ":2947", "gpsd:0", "gpsd:65536", "gps d:2947", "gpsd:²"):
        with pytest.raises(ValueError, match=r"tcp: found .* allowed is HOST:PORT"):
            GpsdOptions(tcp=tcp)
    assert GpsdOptions(tcp="[::1]:2947").tcp == "[::1]:2947"


# ---- on TCP


def driver(port: int) -> GpsdDriver:
    return GpsdDriver("car", GpsdOptions(f"127.0.0.1:{port}"), {"sat": PositionInput()}, {})


def test_it_asks_for_fixes_and_a_server_that_hangs_up_is_an_error() -> None:
    asked: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        asked.append(peer.recv(100))
        peer.sendall(b"\x00noise\r\n" + TPV[:50])
        peer.sendall(TPV[50:])

    with server(talk) as port, running(gpsd := driver(port)) as host:
        reading = host.take()
        assert isinstance(reading, Fix)
        assert (reading.input, reading.latitude) == ("sat", 46.498293369)
        error = host.lost()
    assert asked == [WATCH]
    assert (error.where, error.found, gpsd.noise) == (f"127.0.0.1:{port}", "the other side hung up", 1)


def test_nobody_there_is_an_error_that_says_where_to_look() -> None:
    with running(driver(free_port())) as host:
        error = host.lost()
    assert (error.found, "systemctl status gpsd" in error.hint) == ("Connection refused", True)


def test_a_gpsd_that_tells_no_fix_is_an_error_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.gpsd.SILENT_S", 0.01)
    monkeypatch.setattr("drivers.gpsd.READ_WAIT_S", 0.01)
    quiet = threading.Event()

    def talk(peer: socket.socket) -> None:
        peer.sendall(b'{"class":"VERSION","release":"3.22"}\r\n{"class":"DEVICES","devices":[]}\r\n')
        quiet.wait(10)

    with server(talk) as port:
        with running(driver(port)) as host:
            assert "has told no fix" in host.lost().found
        quiet.set()


@pytest.mark.real
def test_a_real_gpsd_tells_what_our_receiver_says_to_it() -> None:
    if (program := shutil.which("gpsd", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        pytest.fail("gpsd is not installed: apt-get install gpsd")
    receiver = Receiver(31.2304, 121.4737)
    port = free_port()
    with LinePanel() as cable:
        gpsd = subprocess.Popen([program, "-N", "-n", "-b", "-S", str(port), cable.path], stderr=subprocess.DEVNULL)
        try:
            until(lambda: answers(port))
            seen: list[Fix] = []
            with running(driver(port)) as host:
                second = 1_795_311_200.0

                def told() -> bool:
                    nonlocal second
                    second += 1
                    cable.send(receiver.says(second))
                    while not host.readings.empty():
                        reading = host.take()
                        assert isinstance(reading, Fix)
                        seen.append(reading)
                    return bool(seen) and seen[-1].latitude is not None and seen[-1].utc_s is not None

                until(told)
            [*_, made] = seen
            assert made.utc_s is not None
            assert 1_795_311_200 < made.utc_s <= second
            assert (made.latitude, made.longitude) == pytest.approx(receiver.place(made.utc_s)[:2], abs=1e-4)
        finally:
            gpsd.terminate()
            gpsd.wait(10)
