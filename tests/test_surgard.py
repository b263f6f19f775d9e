"""The Sur-Gard driver: its parser in virtual time, the driver on ptys and a TCP connection."""

import re
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from driver_host import RecordingHost, descriptors, forget_others, running, until
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Edge, Health, Reading
from drivers.surgard import (
    FRAME_BYTES_MAX,
    Frame,
    SurgardDriver,
    SurgardInput,
    SurgardOptions,
    SurgardParser,
)
from simulators.line import LinePanel
from simulators.surgard import Faults, obey, report

INPUTS = {
    "duress": SurgardInput(account="1234", event="121"),
    "door": SurgardInput(account="A0F9", event="130", zone=3, partition=1),
    "pad": SurgardInput(account="1234", event="120", restores=False),
}
DURESS = b"5011 181234E12101001\x14"
HEARTBEAT = b"1011           @    \x14"
ON, OFF = Edge("duress", True, 7.0, settled=True), Edge("duress", False, 7.0, settled=True)

GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/surgard.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 2 and not line.startswith("Bytes")
]


def parser(heartbeat_s: int = 30, *, good: bool = True) -> SurgardParser:
    """good: it has said so already, so that what is left are events."""
    made = SurgardParser(INPUTS, heartbeat_s, 0.0)
    if good:
        assert [frame.answer for frame in made.feed(HEARTBEAT, 0.0)] == [b"\x06"]
    return made


def readings(frames: list[Frame]) -> list[Reading]:
    return [reading for frame in frames for reading in frame.readings]


def answers(frames: list[Frame]) -> bytes:
    return b"".join(frame.answer for frame in frames)


def health(quality: str, now_s: float) -> list[tuple[str, str, float]]:
    return [(name, quality, now_s) for name in INPUTS]


def qualities(frames: list[Frame]) -> list[tuple[str, str, float]]:
    return [(one.input, one.quality, one.seen_s) for one in readings(frames) if isinstance(one, Health)]


def expected(words: str) -> list[Reading]:
    found: list[Reading] = []
    for part in [] if words in ("nothing", "noise") else words.split(", "):
        name, *how, level = part.split(" ")
        found.append(Edge(name, level == "on", 7.0, initial=how == ["found"], settled=how != ["found"]))
    return found


@pytest.mark.parametrize(("in_hex", "answer", "words"), GOLDEN, ids=[row[2] for row in GOLDEN])
def test_the_bytes_of_the_manuals_are_read_and_answered_as_they_say(in_hex: str, answer: str, words: str) -> None:
    receiver = parser()
    frames = receiver.feed(bytes.fromhex(in_hex), 7.0)
    assert readings(frames) == expected(words)
    assert answers(frames) == bytes.fromhex(answer)
    assert receiver.take_noise() == (words == "noise")


def test_the_golden_table_has_rows() -> None:
    assert len(GOLDEN) == 11


def test_a_frame_in_pieces_is_read_at_its_end_and_answered_once() -> None:
    for cut in range(len(DURESS)):
        receiver = parser()
        frames = receiver.feed(DURESS[:cut], 6.0) + receiver.feed(DURESS[cut:], 7.0)
        assert (readings(frames), answers(frames), receiver.take_noise()) == ([ON], b"\x06", 0)


def test_the_same_frame_after_four_seconds_without_our_answer_is_the_same_event() -> None:
    receiver = parser()
    assert readings(receiver.feed(DURESS, 7.0)) == [ON]
    for again_s in (11.0, 15.2, 19.1):
        frames = receiver.feed(DURESS, again_s)
        assert (readings(frames), answers(frames)) == ([], b"\x06")


@pytest.mark.parametrize("after_s", [0.3, 2.9, 5.1, 60.0])
def test_the_same_frame_at_any_other_time_is_a_second_event(after_s: float) -> None:
    receiver = parser()
    receiver.feed(DURESS, 7.0)
    assert len(readings(receiver.feed(DURESS, 7.0 + after_s))) == 1


@pytest.mark.parametrize("between", [HEARTBEAT, DURESS.replace(b"E", b"R")])
def test_with_anything_between_it_is_a_second_event_for_the_receiver_had_our_answer(between: bytes) -> None:
    receiver = parser()
    receiver.feed(DURESS, 7.0)
    receiver.feed(between, 9.0)
    assert readings(receiver.feed(DURESS, 11.0)) == [Edge("duress", True, 11.0, settled=True)]


def test_copies_that_all_came_before_our_answer_are_one_event_and_get_one_answer() -> None:
    frames = parser().feed(DURESS * 3, 7.0)
    assert (readings(frames), answers(frames)) == ([ON], b"\x06")


def test_a_garbled_frame_is_asked_for_again_and_read_then() -> None:
    receiver = parser()
    assert answers(receiver.feed(DURESS.replace(b"181", b"1\x118"), 6.9)) == b"\x15"
    frames = receiver.feed(DURESS, 7.0)
    assert (readings(frames), answers(frames), receiver.take_noise()) == ([ON], b"\x06", 1)


def test_what_is_sent_again_the_same_is_foreign_and_lets_the_next_through() -> None:
    """A receiver of several formats would stand before it for ever, with alarms behind."""
    receiver, foreign = parser(), b"3011      1234BA0001\x14"
    assert [answers(receiver.feed(foreign, now_s)) for now_s in (1.0, 1.1)] == [b"\x15", b"\x06"]
    assert readings(receiver.feed(DURESS, 7.0)) == [ON]
    assert receiver.take_noise() == 2
    assert answers(receiver.feed(foreign, 8.0)) == b"\x15"


def test_noise_before_a_frame_costs_nothing_but_its_count() -> None:
    receiver = parser()
    frames = receiver.feed(b"\xff\x00~x" * 100 + DURESS, 7.0)
    assert (readings(frames), answers(frames), receiver.take_noise()) == ([ON], b"\x06", 1)


def test_a_flood_without_an_end_takes_no_memory() -> None:
    receiver = parser()
    for _ in range(200):
        assert receiver.feed(b"5011 18" * 600, 7.0) == []
    assert len(receiver._unread) <= FRAME_BYTES_MAX
    assert answers(receiver.feed(b"\x14", 7.0)) == b"\x15"
    assert readings(receiver.feed(DURESS, 7.0)) == [ON]


def test_a_receiver_is_good_with_its_first_frame_and_offline_after_three_missed_heartbeats() -> None:
    receiver = parser(good=False)
    assert receiver.feed(b"", 89.9) == []
    assert qualities(receiver.feed(b"", 90.0)) == health("offline", 90.0)
    assert receiver.feed(b"junk", 500.0) == []
    assert qualities(receiver.feed(b"\x14" + HEARTBEAT, 501.0)) == health("good", 501.0)
    assert receiver.feed(b"", 590.9) == []
    assert qualities(receiver.feed(b"", 591.0)) == health("offline", 591.0)
    assert readings(receiver.feed(DURESS, 600.0))[3:] == [Edge("duress", True, 600.0, settled=True)]
    assert receiver.feed(b"", 689.9) == []


def test_a_receiver_without_heartbeat_is_good_when_its_port_is_open() -> None:
    receiver = parser(0, good=False)
    assert qualities(receiver.feed(b"", 1.0)) == health("good", 1.0)
    assert receiver.feed(b"", 1e6) == []


@given(
    st.lists(st.one_of(st.binary(max_size=80), st.sampled_from([DURESS, HEARTBEAT, b"\x14", b"5011 18"])), max_size=9)
)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_came_before_the_next_event_is_read_and_each_frame_has_at_most_one_answer(pieces: list[bytes]) -> None:
    receiver = parser()
    for number, piece in enumerate(pieces):
        frames = receiver.feed(piece, 10.0 * number)
        assert len(answers(frames)) <= piece.count(b"\x14")
    assert ON in readings(receiver.feed(b"\x14" + HEARTBEAT, 6.9) + receiver.feed(DURESS, 7.0))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"account": "12345"}, "account: found '12345', allowed are 4 digits"),
        ({"account": "12G4"}, "account: found '12G4'"),
        ({"account": 1234}, "account: found 1234, allowed are 4 digits, 0 to 9 and A to F, in quotes"),
        ({"event": "13"}, "event: found '13', allowed are 3 digits"),
        ({"zone": 1000}, "zone: found 1000, allowed is a number from 0 to 999"),
        ({"zone": True}, "zone: found True"),
        ({"partition": 100}, "partition: found 100, allowed is a number from 0 to 99"),
        ({"restores": 1}, "restores: found 1, allowed is true or false"),
    ],
)
def test_bad_keys_of_an_input_say_what_is_allowed(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        SurgardInput(**{"account": "1234", "event": "130", **keys})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "port: found None with tcp None, allowed is one of the two"),
        ({"port": "/dev/x", "tcp": "10.0.0.7:1025"}, "allowed is one of the two"),
        ({"tcp": "10.0.0.7"}, "tcp: found '10.0.0.7', allowed is HOST:PORT"),
        ({"port": "/dev/x", "baud": 7}, "baud: found 7, allowed is a speed from 50"),
        ({"port": "/dev/x", "parity": "odd"}, "parity: found 'odd', allowed is one of none, even"),
        ({"port": "/dev/x", "heartbeat_s": -1}, "heartbeat_s: found -1, allowed is 0 to 3600 s"),
    ],
)
def test_bad_options_say_what_is_allowed(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        SurgardOptions(**keys)


# On real ptys and connections


def driver(port: str, heartbeat_s: int = 0) -> SurgardDriver:
    return SurgardDriver("receiver", SurgardOptions(port=port, parity="even", heartbeat_s=heartbeat_s), INPUTS, {})


def take_good(host: RecordingHost) -> None:
    for name in INPUTS:
        reading = host.take()
        assert isinstance(reading, Health)
        assert (reading.input, reading.quality) == (name, "good")


def take_edge(host: RecordingHost) -> tuple[str, bool]:
    reading = host.take()
    assert isinstance(reading, Edge)
    return reading.input, reading.active


def test_events_of_a_simulated_receiver_are_read_and_acknowledged_whatever_goes_wrong_on_the_way() -> None:
    with LinePanel() as panel:
        receiver = driver(panel.path)
        do = partial(obey, Faults(answer_s=5.0), panel)
        with running(receiver) as host:
            take_good(host)
            assert do("E 1234 121 01 001") == "acknowledged after 1 attempt(s)"
            assert take_edge(host) == ("duress", True)
            do("!garble 1")
            assert do("R 1234 121 01 001") == "acknowledged after 2 attempt(s)"
            assert take_edge(host) == ("duress", False)
            assert do("heartbeat") == "acknowledged after 1 attempt(s)"
            assert do("!half 5011 181234") == "sent 11 of 11 bytes"
            assert do("E A0F9 130 01 003") == "acknowledged after 1 attempt(s)"
            assert take_edge(host) == ("door", True)
            assert "allowed: E|R|P ACCOUNT EVENT" in do("!rubbish")
        assert receiver.noise == 2


def test_the_answer_goes_out_only_when_the_reading_is_with_the_agent() -> None:
    with LinePanel() as panel:
        receiver = driver(panel.path)
        with running(receiver) as host:
            take_good(host)
            held: list[bytes] = []
            given_on = host.emit

            def emit(reading: Reading) -> None:
                held.append(panel.receive(0))
                given_on(reading)

            host.emit = emit  # type: ignore[method-assign]
            panel.send(DURESS)
            assert take_edge(host) == ("duress", True)
            assert panel.receive(5.0) == b"\x06"
        assert held == [b""]


def test_a_message_whose_answers_are_lost_is_said_again_as_often() -> None:
    with LinePanel() as panel, running(driver(panel.path)) as host:
        take_good(host)
        faults = Faults(lose=2, answer_s=0.05)
        assert report(panel, faults, "5011 181234E12101001") == "acknowledged after 3 attempt(s)"
        assert faults.lose == 0


@pytest.mark.soak
def test_a_receiver_that_waits_four_seconds_for_a_lost_answer_makes_no_second_press() -> None:
    """In real time what stands above in virtual time."""
    with LinePanel() as panel, running(driver(panel.path)) as host:
        take_good(host)
        do = partial(obey, Faults(lose=2), panel)
        assert do("E 1234 120 01 009") == "acknowledged after 3 attempt(s)"
        do("E 1234 121 01 001")
        assert [take_edge(host) for _ in range(3)] == [("pad", True), ("pad", False), ("duress", True)]


def test_a_receiver_that_nobody_answers_gives_up() -> None:
    with LinePanel() as panel:
        assert (
            report(panel, Faults(answer_s=0.01), "5011 181234E12101001")
            == "not acknowledged, given up after 4 attempts"
        )


def test_a_receiver_on_the_network_is_found_again_after_it_hung_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = SurgardOptions(tcp=f"127.0.0.1:{server.getsockname()[1]}", heartbeat_s=0)
        receiver = SurgardDriver("receiver", options, INPUTS, {})
        for _ in range(2):
            with running(receiver) as host:
                connection, _ = server.accept()
                with connection:
                    take_good(host)
                    connection.sendall(DURESS)
                    assert take_edge(host) == ("duress", True)
                    assert connection.recv(9) == b"\x06"
                assert "hung up" in host.lost().found
    with running(receiver) as host:
        assert "another program" in host.lost().hint


def test_a_receiver_unplugged_a_hundred_times_is_read_each_time_and_leaves_nothing_open(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "panel") as panel:
        receiver = driver(panel.path)
        forget_others()
        counts = set()
        for _ in range(100):
            with running(receiver) as host:
                take_good(host)
                panel.send(DURESS)
                assert take_edge(host) == ("duress", True)
                panel.unplug()
                host.lost()
            counts.add(descriptors())
            panel.plug()
        assert len(counts) == 1


def test_a_receiver_has_no_outputs() -> None:
    with pytest.raises(KeyError):
        driver("/dev/null").set("lamp", True)
    until(lambda: driver("/dev/null").noise == 0)
