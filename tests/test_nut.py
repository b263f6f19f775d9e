"""The nut driver: its parser on upsd's words, a bad upsd on TCP, and the real one with NUT's simulated UPS."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from driver_host import RecordingHost, running, until
from hypothesis import given, settings
from hypothesis import strategies as st
from tcp_server import answers, free_port, server

from drivers.contract import Edge, Health, Reading
from drivers.nut import LINE_BYTES_MAX, WORDS, NutDriver, NutInput, NutOptions, NutParser, Signal

SIGNALS: dict[str, Signal] = {signal: signal for signal in WORDS}
GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/nut.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 4 and not line.startswith("Line")
]
OL, OB_LB, STALE = b'VAR desk ups.status "OL"\n', b'VAR desk ups.status "OB LB"\n', b"ERR DATA-STALE\n"


def parser() -> NutParser:
    return NutParser("desk", SIGNALS)


def levels(readings: list[Reading]) -> dict[str, bool]:
    return {reading.input: reading.active for reading in readings if isinstance(reading, Edge)}


@pytest.mark.parametrize("row", GOLDEN, ids=[row[0] for row in GOLDEN])
def test_upsds_words_mean_what_its_manual_says(row: list[str]) -> None:
    line, *cells = row
    ups = parser()
    readings = ups.feed(line.encode() + b"\n", 7.0)
    assert (ups.answers, ups.take_noise(), len(readings)) == (1, 0, 4)
    if cells[0] in ("on", "off"):
        wanted = zip(SIGNALS, cells, strict=True)
        assert readings == [Edge(name, cell == "on", 7.0, initial=True, settled=True) for name, cell in wanted]
        return
    for reading in readings:
        assert isinstance(reading, Health)
        assert reading.quality == "offline"
        assert cells[0] in reading.reason


def test_the_table_of_words_has_rows() -> None:
    assert len(GOLDEN) == 18


def test_only_changes_are_told_and_the_first_levels_are_those_that_were_found() -> None:
    ups = parser()
    assert levels(ups.feed(OL * 3, 1.0)) == dict.fromkeys(SIGNALS, False)
    edges = ups.feed(OB_LB * 2, 3.0)
    assert edges == [Edge("on-battery", True, 3.0, settled=True), Edge("low", True, 3.0, settled=True)]
    assert levels(ups.feed(OL, 5.0)) == {"on-battery": False, "low": False}


def test_a_ups_that_was_not_heard_is_offline_and_all_its_levels_are_told_again_when_it_is() -> None:
    ups = parser()
    ups.feed(OL, 1.0)
    assert {reading.input for reading in ups.feed(STALE, 3.0) if isinstance(reading, Health)} == set(SIGNALS)
    assert ups.feed(STALE, 4.0) == []  # once is enough
    edges = ups.feed(OB_LB, 5.0)
    assert levels(edges) == {"on-battery": True, "low": True, "replace": False, "shutdown": False}
    assert not any(edge.initial for edge in edges if isinstance(edge, Edge))  # it was seen to change, while we live


@pytest.mark.parametrize(
    "line",
    [
        b'VAR other ups.status "OB"',
        b'VAR desk battery.charge "5"',
        b'VAR desk ups.status "OB',
        b"VAR desk ups.status OB",
        b'VAR desk ups.status "O\\"B"',
        b"ERR",
        b"OKAY",
        b"\xff\xfe",
        b"ERR " + b"A" * LINE_BYTES_MAX,
        b'VAR desk ups.status "' + b"OL " * 400 + b'"',
    ],
)
def test_what_is_no_answer_is_noise_and_no_reading(line: bytes) -> None:
    ups = parser()
    assert ups.feed(line + b"\n", 7.0) == []
    assert (ups.take_noise(), ups.answers) == (1, 0)


def test_a_line_without_end_takes_no_memory_and_is_one_noise() -> None:
    ups = parser()
    for _ in range(100):
        ups.feed(b"VAR " * 500, 7.0)
    assert len(ups._unread) <= LINE_BYTES_MAX + 1
    assert len(ups.feed(b"\n" + OL, 7.0)) == 4
    assert ups.take_noise() == 1


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([OL, OB_LB, STALE, b"OK\n", b"\n", b"VAR desk "]))))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_comes_the_parser_stands_and_reads_the_next_answer(pieces: list[bytes]) -> None:
    ups = parser()
    for piece in pieces:
        ups.feed(piece, 7.0)
        assert len(ups._unread) <= LINE_BYTES_MAX + 1
    ups.feed(b"\n" + STALE, 7.0)
    assert levels(ups.feed(OB_LB, 7.0))["low"] is True


# ---- keys


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"tcp": "host"}, "tcp: found 'host', allowed is HOST:PORT"),
        ({"ups": "a b"}, "ups: found 'a b'"),
        ({"ups": "a\nFSD a"}, "ups: found"),
        ({"user": "box"}, "user: found without password_file"),
        ({"user": "a b", "password_file": "/x"}, "user: found 'a b'"),
        ({"password_file": "/x"}, "allowed are both, or none"),
        ({"user": "box", "password_file": "x"}, "password_file: found 'x', allowed is a whole path"),
    ],
)
def test_bad_options_say_what_is_allowed(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        NutOptions(**{"ups": "desk", **keys})


def test_an_input_has_the_kind_of_its_signal() -> None:
    assert [NutInput(signal, "battery").battery for signal in ("low", "replace", "shutdown")] == [
        "low",
        "replace",
        "shutdown",
    ]
    NutInput("on-battery", "ac")
    with pytest.raises(ValueError, match="kind: found 'ac', allowed with signal low is battery"):
        NutInput("low", "ac")
    with pytest.raises(ValueError, match="kind: found 'panic', allowed with signal on-battery is ac"):
        NutInput("on-battery", "panic")
    with pytest.raises(ValueError, match="signal: found 'full', allowed is one of on-battery, low, replace, shutdown"):
        NutInput("full", "battery")  # type: ignore[arg-type]


# ---- on TCP


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.nut.POLL_S", 0.05)
    monkeypatch.setattr("drivers.nut.READ_WAIT_S", 0.05)


def driver(port: int, **keys: str) -> NutDriver:
    inputs = {name: NutInput(signal, "ac" if signal == "on-battery" else "battery") for name, signal in SIGNALS.items()}
    return NutDriver("ups", NutOptions("desk", f"127.0.0.1:{port}", **keys), inputs, {})


def take(host: RecordingHost, count: int = 4) -> list[Reading]:
    return [host.take() for _ in range(count)]


def test_a_ups_has_no_outputs() -> None:
    with pytest.raises(KeyError):
        driver(3493).set("siren", True)


def test_with_a_user_it_logs_in_so_that_the_primary_waits_and_logs_out_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "password").write_text('pa"ss\\\nsecond line\n')
    heard: list[str] = []

    def talk(peer: socket.socket) -> None:
        with peer.makefile("rw") as stream:
            for line in stream:
                heard.append(line.strip())
                stream.write('VAR desk ups.status "OL"\n' if line.startswith("GET") else "OK\n")
                stream.flush()

    with server(talk) as port:
        with running(driver(port, user="box", password_file=str(tmp_path / "password"))) as host:
            assert levels(take(host)) == dict.fromkeys(SIGNALS, False)
            until(lambda: heard.count("GET VAR desk ups.status") >= 2)
        until(lambda: heard[-1] == "LOGOUT")
    assert heard[:4] == ["USERNAME box", r'PASSWORD "pa\"ss\\"', "LOGIN desk", "GET VAR desk ups.status"]


def test_a_user_that_is_refused_is_an_error_that_does_not_tell_the_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    with server(lambda peer: peer.sendall(b"OK\nERR ACCESS-DENIED\n")) as port:
        with running(driver(port, user="box", password_file=str(tmp_path / "password"))) as host:
            error = host.lost()
        assert error.found in ("PASSWORD: ERR ACCESS-DENIED", "USERNAME: ERR ACCESS-DENIED")
        assert "upsd.users" in error.hint and "secret" not in str(error)
        with running(driver(port, user="box", password_file=str(tmp_path / "none"))) as host:
            assert "No such file" in host.lost().found


def test_nobody_there_one_that_hangs_up_and_one_that_never_answers_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.nut.ANSWER_S", 0.1)
    with running(driver(free_port())) as host:
        assert (host.lost().found, "upsc" in host.lost().hint) == ("Connection refused", True)
    with server(lambda peer: peer.sendall(OL)) as port, running(driver(port)) as host:
        take(host)
        assert host.lost().found in ("the other side hung up", "Connection reset by peer", "Broken pipe")
    end = threading.Event()
    with server(lambda _: until(end.is_set)) as port:
        with running(driver(port)) as host:
            assert "no answer" in host.lost().found
        end.set()


# ---- the real upsd


@contextmanager
def upsd(folder: Path) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """NUT's own server and its simulated UPS, whose variables stand in the file desk.dev."""
    places = "/lib/nut:/usr/lib/nut:/usr/sbin"
    programs = [shutil.which(name, path=places) for name in ("dummy-ups", "upsd")]
    if None in programs:
        pytest.fail("NUT is not installed: apt-get install nut-server")
    port = free_port()
    (folder / "ups.conf").write_text("[desk]\n driver = dummy-ups\n port = desk.dev\n pollinterval = 1\n")
    (folder / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {port}\n")
    (folder / "upsd.users").write_text('[box]\n password = "pa ss"\n upsmon slave\n')
    (folder / "desk.dev").write_text("ups.status: OL\n")
    environment = {
        **os.environ,
        "NUT_CONFPATH": str(folder),
        "NUT_STATEPATH": str(folder),
        "NUT_ALTPIDPATH": str(folder),
    }
    started = []
    with (folder / "log").open("wb") as log:
        try:
            for program, arguments in zip(programs, (["-a", "desk", "-F"], ["-F"]), strict=True):
                assert program is not None
                user = ["-u", "root"] if os.geteuid() == 0 else []
                started.append(
                    subprocess.Popen([program, *arguments, *user], env=environment, stdout=log, stderr=log, cwd=folder)
                )
                until((folder / "dummy-ups-desk").exists)
            until(lambda: answers(port))
            yield port, started[0]
        finally:
            for process in started:
                process.terminate()
                process.wait(10)


@pytest.mark.real
def test_the_real_upsd_tells_mains_and_battery_of_nuts_own_simulated_ups(tmp_path: Path) -> None:
    nut, secret = tmp_path / "nut", tmp_path / "password"
    nut.mkdir()
    secret.write_text("pa ss\n")
    with upsd(nut) as (port, ups), running(driver(port, user="box", password_file=str(secret))) as host:
        until(lambda: levels(take(host)) == dict.fromkeys(SIGNALS, False))
        (nut / "desk.dev").write_text("ups.status: OB LB\n")
        assert levels(take(host, 2)) == {"on-battery": True, "low": True}
        (nut / "desk.dev").write_text("ups.status: OL CHRG\n")
        assert levels(take(host, 2)) == {"on-battery": False, "low": False}
        ups.kill()
        ups.wait()
        until(lambda: "upsd says" in getattr(host.take(), "reason", ""))
