"""The path to an alarm receiver: against an independent one, and against one that answers what it should not."""

import queue
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from driver_host import DEADLINE_S
from path_host import report, running
from pysiaalarm.account import SIAAccount
from pysiaalarm.event import SIAEvent
from pysiaalarm.sync.client import SIAClient
from pysiaalarm.utils.enums import CommunicationsProtocol
from receiver import HANG_UP, answer, receiver

from drivers import dc09
from drivers.dc09 import Dc09Options, Dc09Path
from drivers.dc09_frame import framed, stamp

KEY = "0123456789ABCDEF"


@contextmanager
def sia(scheme: str, key: str | None) -> Iterator[tuple[str, "queue.SimpleQueue[SIAEvent]"]]:
    """pysiaalarm's server: its address, and what it took."""
    events: queue.SimpleQueue[SIAEvent] = queue.SimpleQueue()
    protocol = CommunicationsProtocol.TCP if scheme == "tcp" else CommunicationsProtocol.UDP
    client = SIAClient("127.0.0.1", 0, [SIAAccount("1234", key)], events.put, protocol)
    client.start(poll_interval=0.01)
    try:
        yield f"{scheme}://127.0.0.1:{client.sia_server.server_address[1]}", events
    finally:
        client.stop()


def key_file(folder: Path, key: str) -> Path:
    (file := folder / "key").write_text(key.encode().hex() + "\n")
    return file


def path(address: str, **more: object) -> Dc09Path:
    return Dc09Path("receiver", Dc09Options(address, "1234", **more))  # type: ignore[arg-type]


def now_report(seq: int = 1, **more: object) -> object:
    return report(seq, **{"wall_s": time.time(), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
@pytest.mark.parametrize("key", [None, KEY, KEY + "01234567", KEY * 2])
def test_an_independent_receiver_takes_alarms_and_restores(scheme: str, key: str | None, tmp_path: Path) -> None:
    file = key_file(tmp_path, key) if key else None
    with sia(scheme, key) as (address, events):
        alarm, restore = now_report(1), now_report(2, cid=130, qualifier=3, zone=12)
        with running(path(address, key_file=file), alarm, restore) as host:  # type: ignore[arg-type]
            assert host.take("good") == ("good", 0, "")
            assert [host.take(), host.take()] == [("delivered", 1, ""), ("delivered", 2, "")]
        taken = [events.get(timeout=DEADLINE_S) for _ in range(3)]
    null, first, second = sorted(taken, key=lambda event: str(event.ri))  # told from a thread for each datagram
    assert null.code == "RP"
    assert (first.code, first.ri, first.account, first.encrypted) == ("PA", "001", "1234", bool(key))
    assert (second.code, second.ri) == ("BH", "012")


def test_an_independent_receiver_reads_sia_dcs_with_a_position() -> None:
    with sia("tcp", None) as (address, events):
        alarm = now_report(latitude=29.8, longitude=106.5)
        with running(path(address, format="sia-dcs"), alarm) as host:  # type: ignore[arg-type]
            assert host.take() == ("delivered", 1, "")
        events.get(timeout=DEADLINE_S)
        event = events.get(timeout=DEADLINE_S)
    assert event.code == "PA"
    assert event.message == "001"
    assert [(entry.identifier, entry.value) for entry in event.extended_data or ()] == [
        ("X", "106E30.000"),
        ("Y", "29N48.000"),
    ]


def test_a_wrong_key_is_a_clear_trouble_and_loses_no_report(tmp_path: Path) -> None:
    with sia("tcp", KEY) as (address, _):
        file = key_file(tmp_path, KEY[::-1])
        with running(path(address, key_file=file), now_report()) as host:  # type: ignore[arg-type]
            error = host.lost()
            assert "compare account and key_file" in error.hint
            assert host.said.empty()
            assert len(host.reports) == 1


def ack(body: bytes) -> bytes:
    return answer("ACK", body)


def test_messages_are_numbered_one_after_the_other_and_from_9999_to_1() -> None:
    with receiver(ack) as far:
        way = path(far.address)
        way._sequence = 9998
        with running(way, report(1), report(2)) as host:
            host.take(), host.take()
        numbers = [re.findall(rb'"(\d{4})R0L0#1234', far.take()) for _ in range(3)]
    assert numbers == [[b"9999"], [b"0001"], [b"0002"]]


def test_one_connection_serves_for_all_and_one_that_was_hung_up_is_made_anew() -> None:
    with receiver(ack) as far:
        with running(path(far.address), report(1), report(2)) as host:
            host.take(), host.take()
            assert far.calls == 1
            far.reply = lambda body: HANG_UP if far.calls == 1 else ack(body)
            host.give(report(3))
            assert host.take() == ("delivered", 3, "")
            assert far.calls == 2
        bodies = [far.take() for _ in range(5)]
    assert bodies[3][:20] == bodies[4][:20], "the same message has the same number"


def test_a_nak_brings_the_receivers_time_and_the_message_goes_again_with_it() -> None:
    there_s = time.time() + 86_400.0
    naks = [b"NAK"]

    def reply(body: bytes) -> bytes:
        return framed(f'"NAK"0000R0L0A0[]_{stamp(there_s)}'.encode()) if naks and naks.pop() else ack(body)

    with receiver(reply) as far:
        with running(path(far.address), report(1)) as host:
            assert host.take() == ("delivered", 1, "")
        first, again, alarm = far.take(), far.take(), far.take()
    day = f",{time.strftime('%m-%d-%Y', time.gmtime(there_s))}".encode()
    assert not first.endswith(day)
    assert again.endswith(day)
    assert alarm.endswith(day), "the next one too"
    assert first[:12] == again[:12]


def test_a_receiver_that_says_nak_to_its_own_time_refuses_the_way_and_no_report() -> None:
    nak = framed(b'"NAK"0000R0L0A0[]_01:52:28,11-22-2026')
    with receiver(lambda _: nak) as far, running(path(far.address), report()) as host:
        assert "NAK" in host.lost().found
        assert host.said.empty()


def test_a_nak_that_names_no_time_refuses_the_way() -> None:
    with receiver(lambda _: framed(b'"NAK"0000R0L0A0[]')) as far, running(path(far.address), report()) as host:
        assert "NAK" in host.lost().found
        assert len(host.reports) == 1


def test_duh_parks_the_report_and_the_next_one_goes() -> None:
    def reply(body: bytes) -> bytes:
        return answer("DUH" if b"1120" in body else "ACK", body)

    with receiver(reply) as far, running(path(far.address), report(1), report(2, cid=130)) as host:
        what, seq, reason = host.take()
        assert (what, seq) == ("refused", 1)
        assert "DUH" in reason
        assert host.take() == ("delivered", 2, "")


def test_duh_to_a_null_is_a_trouble_of_the_way_and_parks_nothing() -> None:
    with receiver(lambda body: answer("DUH", body)) as far, running(path(far.address), report()) as host:
        assert "DUH" in host.lost().found
        assert host.said.empty()


def test_rsp_counts_as_an_acknowledgement() -> None:
    with receiver(lambda body: answer("RSP", body, "[K0123]")) as far, running(path(far.address), report()) as host:
        assert host.take() == ("delivered", 1, "")


def test_an_answer_to_another_message_is_none_and_garbage_is_counted() -> None:
    def reply(body: bytes) -> bytes:
        return b"garbage\r" + framed(b'"ACK"0000R0L0#1234[]') + ack(body)

    with receiver(reply) as far:
        way = path(far.address)
        with running(way, report()) as host:
            assert host.take() == ("delivered", 1, "")
        assert way.noise == 4, "two each to the NULL and to the alarm"


@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_a_lost_answer_is_waited_for_and_the_message_sent_again(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dc09, "ANSWER_S", 0.05)
    lost = [True]

    def reply(body: bytes) -> bytes:
        return b"" if lost and lost.pop() else ack(body)

    with receiver(reply, scheme) as far, running(path(far.address), report()) as host:
        assert host.take() == ("delivered", 1, "")


def test_a_receiver_that_never_answers_is_a_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dc09, "ANSWER_S", 0.05)
    with receiver(lambda _: b"") as far, running(path(far.address), report()) as host:
        assert "no answer" in host.lost().found
        assert host.said.empty()


def test_nobody_there_is_said_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with running(path(address)) as host:
        error = host.lost()
    assert (error.where, error.found) == (address, "Connection refused")
    assert "nothing listens there" in error.hint


def test_the_way_is_tried_every_supervise_s_and_a_receiver_that_is_gone_is_missed() -> None:
    with receiver(ack) as far:
        way = path(far.address)
        with running(way) as host:
            assert host.take("good") == ("good", 0, "")
            way._due_s = time.monotonic()
            assert host.take("good") == ("good", 0, "")
            assert [far.take()[:6], far.take()[:6]] == [b'"NULL"'] * 2
            far.close()
            way._due_s = time.monotonic()
            assert "refused" in host.lost().found


@pytest.mark.parametrize("content", ["", "0123", "x" * 32, None])
def test_a_key_file_without_a_key_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with running(path("tcp://127.0.0.1:9", key_file=file)) as host:
        error = host.lost()
    assert error.where == str(file)
    assert "32, 48 or 64 hexadecimal digits" in error.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("address", "10.0.0.5:12000"),
        ("address", "tcp://10.0.0.5"),
        ("address", "tcp://10.0.0.5:0"),
        ("address", "tcp://10.0.0.5:65536"),
        ("address", "http://10.0.0.5:80"),
        ("account", "12"),
        ("account", "12G4"),
        ("account", "1" * 17),
        ("format", "cid"),
        ("supervise_s", 9),
        ("supervise_s", True),
    ],
)
def test_a_wrong_key_of_the_config_is_named_with_what_is_allowed(key: str, value: object) -> None:
    keys = {"address": "tcp://10.0.0.5:12000", "account": "1234", key: value}
    with pytest.raises(ValueError, match=f"{key}: found .*allowed"):
        Dc09Options(**keys)  # type: ignore[arg-type]


def test_a_name_that_nobody_knows_is_said() -> None:
    with running(path("tcp://no-such-host.invalid:12000")) as host:
        assert "name was not found" in host.lost().found
