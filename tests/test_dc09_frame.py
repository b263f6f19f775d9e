"""Frames of SIA DC-09: golden ones, and whatever else may come."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from path_host import report

from drivers.dc09 import Aes
from drivers.dc09_frame import FRAME_BYTES_MAX, Answer, Codec, Frames, crc16, data_of, extended, framed

SENT_S = 1_795_312_348.0  # 2026-11-22 01:52:28 UTC
KEY = b"0123456789ABCDEF"
GOLDEN = b'\nF20C003D"ADM-CID"0001R0L0#1234[#1234|1120 00 001]_01:52:28,11-22-2026\r'
CIPHER = (
    # openssl enc -aes-128-cbc -nopad of ABCDEFGHI|#1234|1120 00 001]_01:52:28,11-22-2026
    b"AA9B899949511513B231B85A22D62DBB52C34CD20B399269942E522C830A43F076AEFC324C84932CE861E68721F1BFF5"
)


def pad(size: int) -> bytes:
    """Letters from A on."""
    return bytes(range(size))


PLAIN, SECRET = Codec("1234", None, pad), Codec("1234", Aes(KEY), pad)


def test_an_alarm_is_the_frame_that_receivers_take() -> None:
    assert PLAIN.frame("ADM-CID", 1, data_of(report(), "adm-cid"), "", SENT_S) == GOLDEN


def test_the_crc_is_that_of_its_definition() -> None:
    assert crc16(b"123456789") == 0xBB3D  # CRC-16/ARC, its check value


@pytest.mark.parametrize(
    ("alarm", "form", "data"),
    [
        (report(), "adm-cid", "1120 00 001"),
        (report(cid=130, qualifier=3, zone=12), "adm-cid", "3130 00 012"),
        (report(cid=350, zone=0), "adm-cid", "1350 00 000"),
        (report(zone=4000), "adm-cid", "1120 00 999"),
        (report(cid=122, test=True), "adm-cid", "1611 00 001"),
        (report(), "sia-dcs", "Nri0/PA001"),
        (report(cid=130, qualifier=3, zone=12), "sia-dcs", "Nri0/BH012"),
        (report(cid=301, qualifier=3), "sia-dcs", "Nri0/AR001"),
        (report(cid=999), "sia-dcs", "Nri0/UT001"),
        (report(cid=122, test=True), "sia-dcs", "Nri0/TE001"),
    ],
)
def test_a_report_is_told_in_the_codes_of_its_format(alarm: object, form: object, data: str) -> None:
    assert data_of(alarm, form) == data  # type: ignore[arg-type]


def test_a_null_has_no_data_and_the_account_is_written_in_capitals() -> None:
    body = b'"NULL"0002R0L0#12AB[]_01:52:28,11-22-2026'
    assert Codec("12ab", None, pad).frame("NULL", 2, "", "", SENT_S) == framed(body)


def test_a_position_goes_with_it_as_degrees_and_minutes() -> None:
    here = report(latitude=29.80, longitude=-106.39561)
    assert extended(here, SENT_S) == "[X106W23.737][Y29N48.000]"
    assert extended(report(latitude=-0.5, longitude=8.0), SENT_S) == "[X008E00.000][Y00S30.000]"


def test_what_happened_a_while_ago_says_when() -> None:
    assert extended(report(), SENT_S + 20) == ""
    assert extended(report(), SENT_S + 21) == "[H01:52:28,11-22-2026]"


def test_extended_data_stands_behind_the_data() -> None:
    frame = PLAIN.frame("ADM-CID", 1, "1120 00 001", "[X008E00.000]", SENT_S)
    assert frame == framed(b'"ADM-CID"0001R0L0#1234[#1234|1120 00 001][X008E00.000]_01:52:28,11-22-2026')


def test_an_encrypted_alarm_is_padded_before_the_bar_and_encrypted_from_the_bracket_on() -> None:
    body = b'"*ADM-CID"0001R0L0#1234[' + CIPHER
    assert SECRET.frame("ADM-CID", 1, "1120 00 001", "", SENT_S) == framed(body)


def test_a_message_that_fills_its_last_block_gets_a_whole_block_of_padding() -> None:
    for more in ("", "x" * 9):  # 39 bytes, and 48
        frame = SECRET.frame("ADM-CID", 1, "1120 00 001", more, SENT_S)
        assert len(frame.partition(b"[")[2].rstrip(b"\r")) == (96 if not more else 128)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_what_one_key_encrypts_it_decrypts_and_no_other_does(size: int) -> None:
    codec, other = (Codec("1234", Aes(key.ljust(size, b"x")), pad) for key in (KEY, KEY[::-1]))
    frame = codec.frame("ACK", 7, "", "", SENT_S)  # an answer has the same form
    [body] = Frames().feed(frame)
    assert codec.answer(body) == Answer("ACK", 7, SENT_S, encrypted=True)
    assert other.answer(body) is None
    assert PLAIN.answer(body) is None


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'"ACK"0001R0L0#1234[]', Answer("ACK", 1, None, encrypted=False)),
        (b'"ACK"0001L0#1234[]', Answer("ACK", 1, None, encrypted=False)),
        (b'"NAK"0000R0L0A0[]_01:52:28,11-22-2026', Answer("NAK", 0, SENT_S, encrypted=False)),
        (b'"NAK"0000L0R0A0[]_01:52:28,11-22-2026', Answer("NAK", 0, SENT_S, encrypted=False)),
        (b'"NAK"0000R0L0A0[]_25:00:00,11-22-2026', Answer("NAK", 0, None, encrypted=False)),
        (b'"DUH"0009R0L0#1234[]', Answer("DUH", 9, None, encrypted=False)),
        (b'"RSP"0009R0L0#1234[][K00]', Answer("RSP", 9, None, encrypted=False)),
        (b'"ADM-CID"0009R0L0#1234[]', None),
        (b'"ACK"', None),
        (b'"*ACK"0001R0L0#1234[00]', None),
    ],
)
def test_answers_are_read(body: bytes, answer: Answer | None) -> None:
    assert PLAIN.answer(body) == answer


def test_where_there_is_a_key_a_plain_ack_is_nobodys_and_a_plain_nak_or_duh_counts() -> None:
    assert SECRET.answer(b'"ACK"0001R0L0#1234[]') is None
    assert SECRET.answer(b'"RSP"0001R0L0#1234[]') is None
    assert SECRET.answer(b'"DUH"0001R0L0#1234[]') == Answer("DUH", 1, None, encrypted=False)
    assert SECRET.answer(b'"NAK"0000R0L0A0[]_01:52:28,11-22-2026') == Answer("NAK", 0, SENT_S, encrypted=False)


ACK = framed(b'"ACK"0001R0L0#1234[]')
ACK_BODY = b'"ACK"0001R0L0#1234[]'


def test_a_frame_is_found_however_its_bytes_are_cut() -> None:
    for cut in range(len(ACK)):
        frames = Frames()
        assert frames.feed(ACK[:cut]) + frames.feed(ACK[cut:]) == [ACK_BODY]
        assert frames.take_noise() == 0


@pytest.mark.parametrize("wrong", [ACK.replace(b"0001", b"0002"), ACK.replace(b"0014", b"0015"), b"\n\r", b"hello\r"])
def test_a_wrong_crc_or_length_is_noise_and_the_next_frame_is_read(wrong: bytes) -> None:
    frames = Frames()
    assert frames.feed(wrong + ACK) == [ACK_BODY]
    assert frames.take_noise() == 1


def test_half_a_frame_before_a_whole_one_costs_nothing() -> None:
    assert Frames().feed(ACK[:-5] + ACK) == [ACK_BODY]


def test_what_never_ends_takes_no_memory() -> None:
    frames = Frames()
    for _ in range(1000):
        frames.feed(b"x" * 500)
    assert len(frames._unread) <= FRAME_BYTES_MAX
    assert frames.feed(b"\r" + ACK) == [ACK_BODY]


@given(st.lists(st.binary(max_size=200)))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_whatever_comes_harms_nothing(parts: list[bytes]) -> None:
    frames = Frames()
    for part in parts:
        for body in frames.feed(part):
            PLAIN.answer(body)
    frames.feed(b"\r")
    assert frames.feed(ACK) == [ACK_BODY]


@given(st.binary(max_size=300))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_a_body_of_any_bytes_is_an_answer_or_none(body: bytes) -> None:
    for codec in (PLAIN, SECRET):
        codec.answer(body)
        codec.answer(b'"*ACK"0001R0L0#1234[' + body)
        codec.answer(b'"NAK"0001R0L0A0[' + body)
