"""What the daemon tells systemd, byte for byte; when the watchdog is fed, in virtual time."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """systemd's end: a datagram socket with a path, or an abstract one written with an @."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@callbox-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.settimeout(5)
        door.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield door


def test_armed_is_one_message_with_a_line_for_people(manager: socket.socket) -> None:
    notify.ready("armed, 3 inputs")
    assert manager.recv(4096) == b"READY=1\nSTATUS=armed, 3 inputs"


def test_a_status_may_be_chinese(manager: socket.socket) -> None:
    notify.send("STATUS=已布防")
    assert manager.recv(4096) == b"STATUS=\xe5\xb7\xb2\xe5\xb8\x83\xe9\x98\xb2"


def test_a_reload_carries_the_moment_it_began(manager: socket.socket) -> None:
    before_us = time.monotonic_ns() // 1000
    notify.reloading()
    first, second = manager.recv(4096).split(b"\n")
    key, stamp_us = second.split(b"=")
    assert (first, key) == (b"RELOADING=1", b"MONOTONIC_USEC")
    assert before_us <= int(stamp_us) <= time.monotonic_ns() // 1000


def test_a_stop_is_said(manager: socket.socket) -> None:
    notify.stopping()
    assert manager.recv(4096) == b"STOPPING=1"


def test_without_systemd_nothing_is_sent_and_nothing_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.send("READY=1")


def test_a_manager_that_does_not_listen_is_logged_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify.send("WATCHDOG=1")
    assert "systemd was not told WATCHDOG=1" in caplog.text
    assert "No such file or directory" in caplog.text


def test_a_manager_that_does_not_read_never_blocks_the_loop(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    while not caplog.records:  # until its queue is full
        notify.send("WATCHDOG=1")
    assert "Resource temporarily unavailable" in caplog.text


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_the_time_allowed(
    environment: dict[str, str], interval_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert notify.watchdog_interval_s() == interval_s


def test_feeding_is_due_at_once_and_then_every_interval(manager: socket.socket) -> None:
    watchdog = notify.Watchdog(interval_s=15.0)
    fed_s = []
    for now_s in range(100, 150):
        if watchdog.due(now_s):
            watchdog.feed(now_s)
            fed_s.append(now_s)
            assert manager.recv(4096) == b"WATCHDOG=1"
    assert fed_s == [100, 115, 130, 145]


def test_a_loop_that_nobody_watches_feeds_nobody() -> None:
    assert not notify.Watchdog(interval_s=None).due(1e9)


def test_a_worker_that_stands_still_is_named() -> None:
    progress_s = {"journal": 79.9, "gpio0": 99.0, "mqtt": 50.0, "panel": 80.0}
    assert notify.stalled(progress_s, now_s=100.0) == ["journal", "mqtt"]
    assert notify.stalled(progress_s, now_s=100.0, limit_s=60.0) == []
    assert notify.stalled({}, now_s=100.0) == []
