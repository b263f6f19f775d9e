"""Modbus frames: bytes typed from manuals in, what they mean out; and any bytes at all."""

from pathlib import Path

import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import modbus_frame
from drivers.modbus_frame import (
    ECHO,
    FRAME_BYTES_MAX,
    GARBAGE,
    ON,
    READ,
    SILENT,
    WRITE_COIL,
    Missed,
    Outcome,
    Refused,
    Request,
    RtuReader,
    TcpReader,
    Values,
    crc,
    foreign,
    rtu,
    tcp,
)

GOLDEN = [
    [cell.strip() for cell in line.split("|")]
    for line in (Path(__file__).parent / "golden/modbus-rtu.txt").read_text(encoding="utf-8").splitlines()
    if line.count("|") == 3 and not line.startswith("What")
]
READ_8 = Request(1, 2, 0, 8)
ONE_ON = bytes.fromhex("010201016048")
every_case = settings(derandomize=True, max_examples=200, deadline=None)


def request_of(words: str) -> Request:
    verb, place, channel, value = words.split()
    unit, _, table = place.partition("/")
    if verb == "write":
        return Request(int(unit), WRITE_COIL, int(channel) - 1, ON if value == "on" else 0)
    return Request(int(unit), {"discrete": 2, "coil": 1, "input": 4, "holding": 3}[table], int(channel) - 1, int(value))


def shown(outcome: Outcome) -> str:
    match outcome:
        case Values(values):
            return " ".join(map(str, values)) or "written"
        case Refused(code):
            return f"refused {code}"
        case Missed(reason):
            return reason.partition(":")[0]


def read(request: Request, *parts: bytes) -> Outcome:
    reader = RtuReader(request)
    for part in parts:
        if outcome := reader.feed(part):
            return outcome
    return reader.end()


@pytest.mark.parametrize(("words", "request_hex", "answer_hex", "expected"), GOLDEN)
def test_the_bytes_of_the_manuals_are_what_they_say(
    words: str, request_hex: str, answer_hex: str, expected: str
) -> None:
    request = request_of(words)
    assert rtu(request) == bytes.fromhex(request_hex)
    assert shown(read(request, bytes.fromhex(answer_hex))) == expected


@pytest.mark.parametrize(("words", "answer_hex", "expected"), [(row[0], row[2], row[3]) for row in GOLDEN])
def test_an_answer_is_the_same_however_its_bytes_are_cut(words: str, answer_hex: str, expected: str) -> None:
    data = bytes.fromhex(answer_hex)
    for cut in range(len(data)):
        assert shown(read(request_of(words), data[:cut], data[cut:])) == expected
    assert shown(read(request_of(words), *(bytes((byte,)) for byte in data))) == expected


def test_the_manuals_have_rows() -> None:
    assert len(GOLDEN) == 22


def test_an_answer_of_another_length_is_none() -> None:
    for wrong in (Request(1, 2, 0, 9), Request(1, 1, 0, 8), Request(2, 2, 0, 8), Request(1, 4, 0, 1)):
        assert isinstance(read(wrong, ONE_ON), Missed)


def test_a_flipped_bit_anywhere_is_never_a_value() -> None:
    for bit in range(len(ONE_ON) * 8):
        spoilt = bytearray(ONE_ON)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert isinstance(read(READ_8, bytes(spoilt)), Missed)


def test_the_echo_of_a_write_is_its_answer_as_the_protocol_has_it() -> None:
    write = Request(1, WRITE_COIL, 2, ON)
    assert read(write, rtu(write)) == Values(())


def test_babble_takes_no_memory_and_hides_no_later_request() -> None:
    reader = RtuReader(READ_8)
    for _ in range(100):
        assert reader.feed(b"\x01\x02\x01" * 1000) is None
    assert len(reader._data) <= FRAME_BYTES_MAX
    assert isinstance(reader.end(), Missed)
    assert read(READ_8, ONE_ON) == Values((1, 0, 0, 0, 0, 0, 0, 0))


def test_babble_that_looks_like_an_answer_at_each_byte_is_checked_once_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """However finely it comes: a bus that repeats the beginning of an answer takes the processor from no other wire."""
    checked: list[bytes] = []
    monkeypatch.setattr(modbus_frame, "crc", lambda data: checked.append(data) or crc(data))  # type: ignore[func-returns-value]
    reader = RtuReader(READ_8)
    babble = READ_8.answer_head * FRAME_BYTES_MAX
    for at in range(0, 4 * FRAME_BYTES_MAX, 2):
        assert reader.feed(babble[at : at + 2]) is None
    frames = [data for data in checked if len(data) == READ_8.answer_bytes + 2]
    assert 0 < len(frames) <= FRAME_BYTES_MAX


# ---- TCP: the frames of the messaging guide (Modbus Messaging on TCP/IP, 3.1.3), typed by hand

REQUEST_TCP = bytes.fromhex("15 01 00 00 00 06 FF 04 00 04 00 01")
ANSWER_TCP = bytes.fromhex("15 01 00 00 00 05 FF 04 02 00 05")
READ_5 = Request(255, 4, 4, 1)


def test_the_frames_of_the_messaging_guide_are_what_they_say() -> None:
    assert tcp(READ_5, 0x1501) == REQUEST_TCP
    for cut in range(len(ANSWER_TCP)):
        reader = TcpReader()
        assert reader.feed(ANSWER_TCP[:cut], READ_5, 0x1501) is None
        assert reader.feed(ANSWER_TCP[cut:], READ_5, 0x1501) == Values((5,))


def test_an_answer_to_an_older_request_is_skipped() -> None:
    late = bytes.fromhex("15 00 00 00 00 05 FF 04 02 00 09")
    assert TcpReader().feed(late + ANSWER_TCP, READ_5, 0x1501) == Values((5,))


@pytest.mark.parametrize(
    ("answer_hex", "expected"),
    [
        ("15 01 00 00 00 03 FF 84 02", Refused(2)),
        (
            "15 01 00 00 00 05 07 04 02 00 05",
            foreign(7),
        ),
        ("15 01 00 00 00 06 FF 04 00 04 00 01", ECHO),
        ("15 01 00 00 00 04 FF 04 01 05", GARBAGE),
    ],
)
def test_what_is_no_answer_on_tcp_is_told_apart(answer_hex: str, expected: Outcome) -> None:
    assert TcpReader().feed(bytes.fromhex(answer_hex), READ_5, 0x1501) == expected


@pytest.mark.parametrize(
    "junk_hex", ["15 01 00 01 00 05 FF", "15 01 00 00 00 02 FF", "15 01 00 00 01 00 FF", "53 53 48 2D 32 2E 30"]
)
def test_bytes_that_are_no_modbus_tcp_are_named(junk_hex: str) -> None:
    with pytest.raises(ValueError, match="no Modbus TCP: " + junk_hex[:17].lower()):
        TcpReader().feed(bytes.fromhex(junk_hex), READ_5, 0x1501)


# ---- any bytes


requests = st.builds(
    Request, st.integers(1, 247), st.sampled_from(sorted(READ.values())), st.integers(0, 65535), st.integers(1, 16)
)


@every_case
@given(requests, st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_are_an_answer_with_its_checksum_or_a_reason(request: Request, parts: list[bytes]) -> None:
    outcome = read(request, *parts)
    data = b"".join(parts)
    assert (outcome == SILENT) == (not data)
    if not isinstance(outcome, Missed):
        assert any(crc(data[a:b]) == 0 for a in range(len(data)) for b in range(a + 5, len(data) + 1))


@every_case
@given(requests, st.binary(max_size=12), st.data())
def test_the_right_answer_is_found_behind_anything_but_our_own_request(
    request: Request, before: bytes, data: st.DataObject
) -> None:
    body = request.answer_head + data.draw(st.binary(min_size=request.data_bytes, max_size=request.data_bytes))
    outcome = read(request, before, body + crc(body).to_bytes(2, "little"))
    assert isinstance(outcome, Values)
    assert len(outcome.values) == request.value


@pytest.mark.parametrize("name", ["modbus-rtu", "modbus-tcp"])
@every_case
@given(data=st.binary(max_size=300))
def test_no_bytes_stop_the_readers(name: str, data: bytes) -> None:
    TARGETS[name](data)
