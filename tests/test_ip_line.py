"""A socket that is there or raises: a name that nobody answers for, and what its reader is told."""

import itertools
import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest
from driver_host import DEADLINE_S, descriptors, forget_others

from drivers.contract import DriverError
from drivers.ip_line import IpLine


def test_a_resolver_that_hangs_neither_silences_the_thread_nor_holds_up_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wire that makes no progress for 20 s would have systemd restart the box, alarms and all."""
    answers, beats = threading.Event(), itertools.count(1)

    def hang(*_args: Any, **_more: Any) -> Any:
        answers.wait(DEADLINE_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(DriverError, match="the name was not found in time"):
        IpLine("ups.example:3493", lambda: next(beats) < 3)
    answers.set()
    assert next(beats) == 4


def test_a_name_that_there_is_not_is_told_with_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_args: Any, **_more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(DriverError) as error:
        IpLine("tcp://receiver.example:12000", lambda: True)
    assert (error.value.where, error.value.hint) == ("tcp://receiver.example:12000", "check name and DNS")


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "ups..example"])
def test_a_name_that_no_host_can_have_is_said_at_once(host: str) -> None:
    with pytest.raises(DriverError, match="no host can have it"):
        IpLine(f"{host}:3493", lambda: True)


def test_where_nobody_listens_the_reader_gets_the_hint_of_the_device_or_else_of_the_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        where = f"127.0.0.1:{closed.getsockname()[1]}"
    for hint, told in (("look at its power", "look at its power"), ("", "nothing listens there")):
        with pytest.raises(DriverError) as error:
            IpLine(where, lambda: True, hint)
        assert error.value.where == where and told in error.value.hint


def test_what_was_written_is_read_at_the_other_end_and_a_hang_up_is_an_error() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        line = stack.enter_context(IpLine(f"127.0.0.1:{server.getsockname()[1]}", lambda: True))
        other = stack.enter_context(server.accept()[0])
        line.write(b"ask")
        assert other.recv(10) == b"ask" and line.read(0) == b""
        other.sendall(b"answer")
        assert line.read(10) == b"answer"
        other.close()
        with pytest.raises(DriverError, match="hung up"):
            line.read(10)


def test_a_server_that_hangs_up_a_hundred_times_is_reached_each_time_and_nothing_stays_open() -> None:
    forget_others()
    counts = set()
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(100):
            with IpLine(f"127.0.0.1:{server.getsockname()[1]}", lambda: True) as line, server.accept()[0] as other:
                other.sendall(b"half a li")
                assert line.read(DEADLINE_S) == b"half a li"
                other.close()
                with pytest.raises(DriverError, match="hung up"):
                    line.read(DEADLINE_S)
            counts.add(descriptors())
    assert len(counts) == 1
