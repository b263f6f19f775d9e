"""The AlarmDecoder driver: lines against its own package, zones in virtual time, the driver on ptys and TCP."""

import re
import socket
from functools import partial
from pathlib import Path
from typing import Any

import alarmdecoder.messages as peer
import pytest
from driver_host import RecordingHost, descriptors, forget_others, running, until
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import ad2_text
from drivers.ad2 import LINE_BYTES_MAX, Ad2Driver, Ad2Input, Ad2Options, Ad2Parser
from drivers.ad2_text import Begins, Bit, Board, Keypad, Lrr, Other, Rf
from drivers.contract import Edge, Health, Reading
from simulators.ad2 import Panel, obey
from simulators.line import LinePanel

GOLDEN = [
    [cell.strip() for cell in line.rsplit("|", 1)]
    for line in (Path(__file__).parent / "golden/ad2.txt").read_text(encoding="utf-8").splitlines()
    if "|" in line and not line.startswith("Line")
]
INPUTS = {
    "door": Ad2Input(zone=8),
    "cellar": Ad2Input(zone=12),
    "fob": Ad2Input(rf="0123456", loop=1),
    "fob-battery": Ad2Input(rf="0123456", bit="battery"),
    "strobe": Ad2Input(relay="12,1"),
    "roof": Ad2Input(expander="07,01"),
    "panic": Ad2Input(cid=120, zone=99, restores=False),
    "any-burglary": Ad2Input(cid=130, partition=1),
    "mains": Ad2Input(bit="ac"),
    "siren": Ad2Input(bit="alarm"),
}
READY = b'[10010001000000000A--],008,[f70600ff1008001c08020000000000],"****DISARMED****  Ready to Arm  "\r\n'
VERSION = b"!VER:ffffffff,V2.2a.8.8,TX;RX\r\n"


def fault(zone: int, word: str = "FAULT", bits: str = "00010001000000000A--") -> bytes:
    return f'[{bits}],{zone:03},[f700000080{zone:03}000008000000000000],"{word} {zone:02} X"\r\n'.encode()


def told(message: object) -> str:
    """A message in the words of the golden table."""
    match message:
        case Keypad():
            names: tuple[Bit, ...] = ("alarm", "fire", "ac", "battery", "check")
            zone = message.zone()
            words = ["ready"] if message.ready else []
            words += [f"{zone[1]} {zone[0]}"] if zone else []
            return ", ".join(words + [name for name in names if message.bit(name)]) or "nothing"
        case Rf():
            bits = [str(loop) for loop in (1, 2, 3, 4) if message.loop(loop)]
            bits += [name for name in ("battery", "supervision") if getattr(message, name)]
            return " ".join(["rf", message.serial, *bits])
        case Board():
            return " ".join(map(str, message))
        case Lrr():
            return f"lrr {message.event} {message.qualifier} {message.zone} {message.partition}"
        case Begins() | Other():
            return type(message).__name__.lower()
    return "noise"


@pytest.mark.parametrize(("line", "words"), GOLDEN, ids=[row[0][:30] for row in GOLDEN])
def test_the_lines_of_the_protocol_page_are_read_as_it_says(line: str, words: str) -> None:
    assert told(ad2_text.read(line.encode())) == words


def test_the_golden_table_has_rows() -> None:
    assert len(GOLDEN) == 27


@pytest.mark.parametrize("line", [row[0] for row in GOLDEN if row[1] not in ("other", "begins", "noise")])
def test_the_devices_own_package_reads_the_same_fields(line: str) -> None:
    mine = ad2_text.read(line.encode())
    match mine:
        case Keypad():
            bits, end, rest = line.partition("]")
            its = peer.Message(bits.replace("-", "0") + end + rest)  # it takes a dash for a bit that is set
            assert (mine.ready, mine.ac, mine.memory, mine.alarm, mine.battery, mine.fire, mine.check) == (
                *(its.ready, its.ac_power, its.alarm_event_occurred, its.alarm_sounding),
                *(its.battery_low, its.fire_alarm, its.check_zone),
            )
            assert (mine.number, mine.text) == (its.numeric_code, its.text)
        case Rf():
            its = peer.RFMessage()
            its.loop = [False] * 4  # its own list is one for all messages
            its._parse_message(line)
            assert (mine.serial, mine.value, mine.battery, mine.supervision) == (
                *(its.serial_number, its.value, its.battery, its.supervision),
            )
            assert [mine.loop(loop) for loop in (1, 2, 3, 4)] == its.loop
        case Board():
            its = peer.ExpanderMessage(line)
            assert (mine.address, mine.channel, mine.value) == (its.address, its.channel, its.value)
            assert (mine.kind == "relay") == (its.type == its.RELAY)
        case Lrr():
            its = peer.LRRMessage(line)
            assert (mine.zone, mine.partition) == (int(its.event_data), int(its.partition))
            if its.version == 2:
                assert (mine.event, mine.qualifier) == (int(f"{its.event_code:x}"), str(its.event_status))
        case _:
            raise AssertionError(mine)


# ---- readings, in virtual time


def panel(*, ready: bool = True) -> Ad2Parser:
    """ready: its panel has said READY at 0 s, so that what is left are changes."""
    made = Ad2Parser(INPUTS, 0.0)
    if ready:
        made.feed(READY, 0.0)
    return made


def edges(readings: list[Reading]) -> list[tuple[str, bool, str]]:
    """What of them is an edge: input, level, and how it was seen."""
    found = [each for each in readings if isinstance(each, Edge)]
    assert all(each.initial != each.settled for each in found)
    return [(each.input, each.active, "found" if each.initial else "seen") for each in found]


def qualities(readings: list[Reading]) -> list[tuple[str, str]]:
    return [(each.input, each.quality) for each in readings if isinstance(each, Health)]


def test_a_panel_that_is_ready_when_it_is_opened_has_all_its_zones_found_idle() -> None:
    readings = panel(ready=False).feed(READY, 0.0)
    assert qualities(readings) == [(name, "good") for name in INPUTS]
    assert edges(readings) == [(name, False, "found") for name in ("door", "cellar", "mains", "siren")]


def test_a_fault_is_a_press_and_ready_is_its_end() -> None:
    parser = panel()
    assert edges(parser.feed(fault(8), 5.0)) == [("door", True, "seen")]
    assert edges(parser.feed(fault(8), 9.0)) == []
    assert edges(parser.feed(READY, 12.0)) == [("door", False, "seen")]


def test_what_was_faulted_before_the_port_was_opened_is_found_and_not_seen() -> None:
    """And so is each zone until the keypads have shown all of them once."""
    parser = panel(ready=False)
    assert edges(parser.feed(fault(8), 1.0))[0] == ("door", True, "found")
    assert edges(parser.feed(fault(8), 1.2)) == []  # a key at the keypad shows it again: no turn is over
    assert edges(parser.feed(fault(12), 5.0)) == [("cellar", True, "found")]
    assert edges(parser.feed(fault(8), 9.0)) == []
    assert edges(parser.feed(READY, 12.0)) == [("door", False, "seen"), ("cellar", False, "seen")]
    assert edges(parser.feed(fault(12), 15.0)) == [("cellar", True, "seen")]


def test_after_a_first_turn_what_was_not_in_it_is_idle() -> None:
    for second, last_s in ((b"", 16.0), (fault(3), 9.0)):
        parser = panel(ready=False)
        parser.feed(fault(8), 1.0)
        parser.feed(second, 5.0)
        assert edges(parser.feed(fault(8), last_s)) == [("cellar", False, "found")]


def test_a_zone_that_is_left_out_for_two_turns_is_idle() -> None:
    parser = panel()
    for now_s in range(0, 40, 4):
        assert edges(parser.feed(fault(12 if now_s % 8 else 8), now_s)) == (
            [("door", True, "seen")] if now_s == 0 else [("cellar", True, "seen")] if now_s == 4 else []
        )
    said = [edges(parser.feed(fault(8), float(now_s))) for now_s in range(40, 80, 4)]
    assert [change for change in said if change] == [[("cellar", False, "seen")]]


def test_a_new_fault_that_breaks_off_a_turn_and_keys_that_show_a_zone_again_end_none() -> None:
    parser, now_s = panel(), 0.0
    for zone in (1, 8, 12):
        parser.feed(fault(zone), now_s := now_s + 4)
    for zone in (1, 6, 1, 1, 1, 6, 8, 12, 1, 6, 8, 12, 12, 12, 12, 12, 1):
        now_s += 0.5 if zone == 12 else 4
        assert edges(parser.feed(fault(zone), now_s)) == []


def test_an_alarm_that_sounds_is_a_fault_of_its_zone_and_one_that_is_remembered_is_not() -> None:
    parser = panel()
    memory = fault(8, "ALARM", "00010001010000000A--")
    assert edges(parser.feed(memory, 1.0)) == []
    sounding = parser.feed(fault(8, "ALARM", "00010001001000000A--"), 5.0)
    assert edges(sounding) == [("door", True, "seen"), ("siren", True, "seen")]
    assert edges(parser.feed(memory, 20.0)) == []


def test_check_is_a_fault_of_the_wire_and_no_press() -> None:
    parser = panel()
    readings = parser.feed(fault(8, "CHECK", "00010001000000100A--"), 5.0)
    assert (qualities(readings), edges(readings)) == ([("door", "open")], [])
    assert edges(parser.feed(READY, 9.0)) == [("door", False, "seen")]


def test_a_zone_under_check_stays_so_while_the_panel_is_ready_for_the_rest() -> None:
    parser = panel()
    parser.feed(fault(8, "CHECK", "00010001000000100A--"), 5.0)
    assert parser.feed(READY.replace(b"10010001000000000A", b"10010001000000100A"), 9.0) == []


def test_a_bit_that_flickers_is_off_only_after_thirty_seconds() -> None:
    parser = panel()
    on = READY.replace(b"[1001000100", b"[1001000000")
    assert edges(parser.feed(on, 1.0)) == [("mains", True, "seen")]
    assert edges(parser.feed(READY, 2.0) + parser.feed(on, 3.0) + parser.feed(READY, 32.9)) == []
    assert edges(parser.feed(READY, 33.0)) == [("mains", False, "seen")]


def test_a_radio_sensor_that_only_says_that_it_is_there_changes_nothing_that_is_so_already() -> None:
    parser = panel()
    assert edges(parser.feed(b"!RFX:0123456,80\r\n", 1.0)) == [("fob", True, "seen"), ("fob-battery", False, "seen")]
    assert edges(parser.feed(b"!RFX:0123456,86\r\n", 2.0)) == [("fob", True, "found"), ("fob-battery", True, "found")]
    assert edges(parser.feed(b"!RFX:7123456,80\r\n", 3.0)) == []


def test_channels_of_boards_and_reports_to_the_radio_are_inputs() -> None:
    parser = panel()
    assert edges(parser.feed(b"!REL:12,01,01\r\n!REL:12,02,01\r\n", 1.0)) == [("strobe", True, "seen")]
    assert edges(parser.feed(b"!EXP:07,01,01\r\n!EXP:07,01,00\r\n", 2.0)) == [
        ("roof", True, "seen"),
        ("roof", False, "seen"),
    ]
    assert qualities(parser.feed(b"!EXP:07,01,02\r\n", 3.0)) == [("roof", "open")]
    assert edges(parser.feed(b"!LRR:099,1,CID_1120,ff\r\n!LRR:099,1,CID_3120,ff\r\n", 4.0)) == [
        ("panic", True, "seen"),
        ("panic", False, "seen"),
    ]
    assert edges(parser.feed(b"!LRR:099,1,ALARM_PANIC\r\n!LRR:098,1,ALARM_PANIC\r\n", 5.0))[0] == (
        "panic",
        True,
        "seen",
    )
    reports = (
        b"!LRR:003,1,CID_1130,ff\r\n!LRR:003,2,CID_3130,ff\r\n!LRR:003,1,CID_3130,ff\r\n!LRR:003,1,CID_6130,ff\r\n"
    )
    assert edges(parser.feed(reports, 6.0)) == [
        ("any-burglary", True, "seen"),
        ("any-burglary", False, "seen"),
        ("any-burglary", True, "found"),
    ]


def test_a_device_that_begins_anew_is_looked_at_anew() -> None:
    parser = panel()
    parser.feed(b"!boot\r\n!Ready\r\n", 1.0)
    assert edges(parser.feed(fault(8), 2.0))[0] == ("door", True, "found")


def test_a_device_that_is_silent_is_asked_and_then_offline_and_found_again() -> None:
    parser = panel(ready=False)
    assert parser.question(0.0) == b"V\r"
    assert parser.question(1.0) == b""
    parser.feed(VERSION + READY, 2.0)
    assert parser.question(31.9) == b""
    assert parser.question(32.0) == b"V\r"
    assert parser.feed(b"", 46.9) == []
    assert qualities(parser.feed(b"garbage\r\n", 47.0)) == [(name, "offline") for name in INPUTS]
    assert parser.question(61.9) == b""
    assert parser.question(62.0) == b"V\r"
    assert qualities(parser.feed(VERSION, 63.0)) == [(name, "good") for name in INPUTS]
    assert edges(parser.feed(fault(8), 64.0))[0] == ("door", True, "found")


def test_half_lines_wait_and_long_ones_and_nonsense_are_counted_once() -> None:
    parser = panel()
    line = fault(8)
    for cut in range(len(line)):
        parser = panel()
        assert edges(parser.feed(line[:cut], 1.0) + parser.feed(line[cut:], 2.0)) == [("door", True, "seen")]
        assert parser.take_noise() == 0
    for _ in range(100):
        assert parser.feed(b"x" * 4000, 3.0) == []
    assert len(parser._unread) <= LINE_BYTES_MAX + 1
    parser.feed(b"\r\n\xff\xfe\r\n\r\n", 3.0)
    assert parser.take_noise() == 2


LINES = [
    READY,
    VERSION,
    fault(8),
    fault(12, "CHECK", "00010001000000100A--"),
    b"!RFX:0123456,80\r\n",
    b"!boot\r\n",
    b"!LRR:",
]


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(LINES)), max_size=9))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_came_before_the_next_fault_after_ready_is_seen(pieces: list[bytes]) -> None:
    parser = panel()
    for number, piece in enumerate(pieces):
        parser.feed(piece, 10.0 * number)
    parser.feed(b"\r\n" + READY, 100.0)
    assert ("door", True, "seen") in edges(parser.feed(fault(8), 101.0))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "zone: found none, allowed is one of zone, rf, relay, expander, cid, bit"),
        ({"zone": 8, "relay": "12,1"}, "zone: found relay and zone, allowed is one of"),
        ({"zone": 0}, "zone: found 0, allowed is a number from 1 to 999"),
        ({"rf": "0123456"}, "loop: found None, allowed is 1 to 4 with rf alone"),
        ({"rf": "0123456", "loop": 5}, "loop: found 5, allowed is a number from 1 to 4"),
        ({"rf": "123", "loop": 1}, "rf: found '123', allowed are seven digits in quotes"),
        ({"rf": "0123456", "bit": "ac"}, "bit: found 'ac', allowed with rf is battery"),
        ({"zone": 8, "loop": 1}, "loop: found 1, allowed is 1 to 4 with rf alone"),
        ({"relay": "12"}, "relay: found '12', allowed is ADDRESS,CHANNEL"),
        ({"expander": "a,1"}, "expander: found 'a,1'"),
        ({"cid": 99}, "cid: found 99, allowed is a number from 100 to 999"),
        ({"cid": 120, "partition": 10}, "partition: found 10, allowed is a number from 0 to 9"),
        ({"zone": 8, "partition": 1}, "partition, restores: found without cid"),
        ({"cid": 120, "restores": "no"}, "restores: found 'no', allowed is true or false"),
        ({"bit": "ready"}, "bit: found 'ready', allowed is one of alarm, fire, ac, battery, check"),
    ],
)
def test_bad_keys_of_an_input_say_what_is_allowed(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Ad2Input(**keys)


# ---- on real ptys and connections

FEW = {name: INPUTS[name] for name in ("door", "fob", "panic")}


def take_good(host: RecordingHost) -> None:
    for name in FEW:
        reading = host.take()
        assert isinstance(reading, Health)
        assert (reading.input, reading.quality) == (name, "good")


def take_edge(host: RecordingHost) -> tuple[str, bool, bool]:
    reading = host.take()
    assert isinstance(reading, Edge)
    return reading.input, reading.active, reading.initial


def test_a_simulated_panel_is_asked_and_its_zones_sensors_and_reports_are_read() -> None:
    with LinePanel() as wire:
        simulated = Panel()
        do = partial(obey, simulated, wire)
        driver = Ad2Driver("panel", Ad2Options(port=wire.path), FEW, {})
        with running(driver) as host:
            assert wire.receive(5.0) == b"V\r"
            simulated.tick(wire)
            take_good(host)
            assert take_edge(host) == ("door", False, True)
            do("fault 8")
            assert take_edge(host) == ("door", True, False)
            do("restore 8")
            assert take_edge(host) == ("door", False, False)
            do("rf 0123456 80")
            assert take_edge(host) == ("fob", True, False)
            do("lrr 120 1 99")
            assert [take_edge(host)[1] for _ in range(2)] == [True, False]
            do("!noise 9")
            do("")
            until(lambda: driver.noise > 0)
            assert do("!dead on") == "!dead on"
            assert "allowed: fault N, restore N" in do("!rubbish")


def test_a_panel_behind_a_ser2sock_is_read_again_after_it_hung_up_and_nothing_is_a_press_that_was_not_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        driver = Ad2Driver("panel", Ad2Options(tcp=f"127.0.0.1:{server.getsockname()[1]}"), FEW, {})
        for _ in range(2):
            with running(driver) as host:
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(9) == b"V\r"
                    connection.sendall(fault(8))
                    take_good(host)
                    assert take_edge(host) == ("door", True, True)
                assert "hung up" in host.lost().found


def test_a_panel_unplugged_a_hundred_times_is_read_each_time_and_leaves_nothing_open(tmp_path: Path) -> None:
    with LinePanel(tmp_path / "ad2") as wire:
        driver = Ad2Driver("panel", Ad2Options(port=wire.path), FEW, {})
        forget_others()
        counts = set()
        for _ in range(100):
            with running(driver) as host:
                wire.send(b"8\r\n")  # half a line from before is no line
                assert wire.receive(5.0) == b"V\r"
                wire.send(VERSION)
                take_good(host)
                wire.unplug()
                host.lost()
            counts.add(descriptors())
            wire.plug()
        assert len(counts) == 1


def test_a_panel_has_no_outputs() -> None:
    with pytest.raises(KeyError):
        Ad2Driver("panel", Ad2Options(port="/dev/null"), FEW, {}).set("lamp", True)
