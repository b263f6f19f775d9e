"""H.264 and HEVC units: bytes typed by hand from the specifications, ffmpeg's streams, and junk."""

import random

import pytest
from camera_clips import encoded, run

from drivers.nal import SIDE_MAX, START, UNITS_MAX, check, is_key, kind, parameter_sets, size, sps, units
from drivers.packets import Codec, Stream

# bit by bit from 7.3.2.1.1 of H.264 and 7.3.2.2.1 of H.265
VGA = bytes.fromhex("67 42 00 1E DA 02 80 F6 40")
"""Baseline, level 3: 40 x 30 macroblocks."""
HD = bytes.fromhex("67 64 00 28 AC B2 80 F0 04 4F CA 80")
"""High, level 4: 120 x 68 macroblocks, 8 rows of the last cropped."""
HIGH_422 = bytes.fromhex("67 7A 00 28 B6 8B BC 80")
"""High 4:2:2, a macroblock: 1 011 011 010 0 0, 1 011 1 0, 1 1 1 1 0 0; luma of 10 bits, chroma of 9."""
PROFILE = "42 01 01 01 60 00 00 03 00 90 00 00 03 00 00 03 00 5D"
"""HEVC: Main, level 3.1; 12 bytes with three 03 between zeros that keep start codes out."""
HEVC_720 = bytes.fromhex(PROFILE + "A0 02 80 80 2D 16")
HEVC_1080 = bytes.fromhex(PROFILE + "A0 03 C0 80 11 07 CB 80")
"""1920 x 1088 with a conformance window that ends 4 chroma rows before the bottom."""
HEVC_10_BIT = bytes.fromhex(PROFILE + "A0 03 C0 80 11 04 D8")
"""1920 x 1088 without a window; bit_depth_luma_minus8 and bit_depth_chroma_minus8 are 2."""
PPS, IDR, SLICE = bytes.fromhex("68 CE 3C 80"), bytes.fromhex("65 88 84 00 33 FF"), bytes.fromhex("41 9A 21")
HEVC_VPS, HEVC_PPS = bytes.fromhex("40 01 0C 01"), bytes.fromhex("44 01 C1 72")
HEVC_IDR, HEVC_CRA, HEVC_TRAIL = (bytes.fromhex(text) for text in ("26 01 AF 08", "2A 01 AF 08", "02 01 D0 09"))

VIDEO: list[Codec] = ["h264", "hevc"]


def unit_stream(*found: bytes) -> bytes:
    return b"".join(b"\0" + START + unit for unit in found)


WHOLE = unit_stream(VGA, PPS, IDR)
HEVC_WHOLE = unit_stream(HEVC_VPS, HEVC_720, HEVC_PPS, HEVC_IDR)
H264, HEVC = Stream("h264"), Stream("hevc")


def test_units_stand_between_start_codes_of_three_or_four_bytes_and_own_no_zeros_between() -> None:
    data = b"\0\0\0\1" + VGA + b"\0\0\1" + PPS + b"\0\0\0\0\0\1" + IDR + b"\0\0\0"
    assert units(data) == [VGA, PPS, IDR]
    assert units(b"") == units(b"\0\0\2 no start code") == []


def test_the_types_of_units_are_those_of_the_tables() -> None:
    assert [kind("h264", unit) for unit in (VGA, PPS, IDR, SLICE, b"\x09\xf0", b"")] == [7, 8, 5, 1, 9, -1]
    hevc = HEVC_VPS, HEVC_720, HEVC_PPS, HEVC_IDR, HEVC_CRA, HEVC_TRAIL, b"\x40"
    assert [kind("hevc", unit) for unit in hevc] == [32, 33, 34, 19, 21, 1, -1]


def test_decoding_begins_at_an_idr_or_irap_picture_and_nowhere_else() -> None:
    assert is_key("h264", WHOLE)
    assert not is_key("h264", unit_stream(VGA, PPS, SLICE))
    assert is_key("hevc", HEVC_WHOLE)
    assert is_key("hevc", unit_stream(HEVC_CRA))
    assert not is_key("hevc", unit_stream(HEVC_VPS, HEVC_720, HEVC_PPS, HEVC_TRAIL))


def test_parameter_sets_are_taken_out_when_all_kinds_are_there() -> None:
    assert parameter_sets("h264", WHOLE) == bytes.fromhex("00000001 6742001EDA0280F640 00000001 68CE3C80")
    assert parameter_sets("hevc", HEVC_WHOLE) == unit_stream(HEVC_VPS, HEVC_720, HEVC_PPS)
    assert parameter_sets("h264", unit_stream(VGA, IDR)) == b""
    assert parameter_sets("hevc", unit_stream(HEVC_720, HEVC_PPS, HEVC_IDR)) == b""


@pytest.mark.parametrize(
    ("codec", "unit", "pixels"),
    [
        ("h264", VGA, (640, 480)),
        ("h264", HD, (1920, 1080)),
        ("hevc", HEVC_720, (1280, 720)),
        ("hevc", HEVC_1080, (1920, 1080)),
    ],
)
def test_the_size_is_that_of_the_sps_less_what_is_cropped(codec: Codec, unit: bytes, pixels: tuple[int, int]) -> None:
    assert size(codec, unit_stream(unit)) == pixels


def test_an_sps_tells_how_its_samples_are_coded() -> None:
    assert sps("h264", unit_stream(VGA)) == (640, 480, 1, 8, 8)
    assert sps("h264", unit_stream(HD)) == (1920, 1080, 1, 8, 8)
    assert sps("h264", unit_stream(HIGH_422)) == (16, 16, 2, 10, 9)
    assert sps("hevc", unit_stream(HEVC_10_BIT)) == (1920, 1088, 1, 10, 10)
    assert sps("hevc", unit_stream(HEVC_10_BIT[:-1])) is sps("h264", unit_stream(PPS)) is None


def typed(bits: str) -> bytes:
    """Bits as the tables of the standard have them, one after the other."""
    digits = bits.replace(" ", "")
    return int(digits + "0" * (-len(digits) % 8), 2).to_bytes((len(digits) + 7) // 8, "big")


VGA_END = "1 011 010 0  00000101000 000011110  1 1 0 0 1"
"""From log2_max_frame_num on."""
LIST = "1" * 64
"""delta_scale of a list of 8 x 8, all 0."""


@pytest.mark.parametrize(
    "start",
    [
        "1 010 1 1 0 1" + "1 000010001" + "1" + "1" * 16 + "0000" + "1" + LIST + "0",  # the first list is the default
        "1 010 1 1 0 1" + "1 011 0001111" + "0" * 7,  # 8 - 1 - 7: the rest of the first list repeats its first entry
        "1 00100 0 1 1 0 1" + "0" * 11 + "1" + LIST,  # 4:4:4 has twelve lists
    ],
)
def test_scaling_lists_before_the_size_are_passed_over(start: str) -> None:
    assert size("h264", START + bytes.fromhex("67 64 00 1E") + typed(start + VGA_END)) == (640, 480)


@pytest.mark.parametrize("sps", [VGA, HD, HEVC_720, HEVC_1080])
def test_a_cut_sps_has_no_size_or_the_true_one(sps: bytes) -> None:
    codec: Codec = "h264" if sps[0] == 0x67 else "hevc"
    true = size(codec, unit_stream(sps))
    sizes = [size(codec, unit_stream(sps[:end])) for end in range(len(sps))]
    assert {*sizes} <= {(0, 0), true}
    assert sizes[: len(sps) - 3] == [(0, 0)] * (len(sps) - 3)


def test_an_absurd_size_is_none() -> None:
    widest = bytes.fromhex("67 42 00 1E DA 00 10 00 3D 90")  # as VGA, but 1024 macroblocks wide
    wider = bytes.fromhex("67 42 00 1E DA 00 10 04 3D 90")  # one more
    assert size("h264", unit_stream(widest)) == (SIDE_MAX, 480)
    assert size("h264", unit_stream(wider)) == (0, 0)
    assert size("h264", unit_stream(PPS, IDR)) == (0, 0)


FORMATS = [
    ("h264", "yuv420p", ""), ("h264", "yuv422p", ""), ("h264", "yuv444p", ""), ("h264", "gray", ""),
    ("h264", "yuv420p", "-x264-params interlaced=1"), ("h264", "yuv422p10le", ""),
    ("hevc", "yuv420p", ""), ("hevc", "yuv422p", ""), ("hevc", "yuv444p", ""), ("hevc", "gray", ""),
    ("hevc", "yuv420p", "-x265-params log-level=none:temporal-layers=1"),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "pixels", "options"), FORMATS)
def test_the_size_is_what_ffmpeg_encoded_in_every_chroma_format(codec: Codec, pixels: str, options: str) -> None:
    for width, height in ((322, 180), (640, 476)):
        source = f"-f lavfi -i testsrc2=size={width}x{height} -frames:v 1 -pix_fmt {pixels}"
        quiet = options or ("-x265-params log-level=none" if codec == "hevc" else "")
        stream = run(f"ffmpeg -v error {source} -c:v lib{codec.replace('h264', 'x264').replace('hevc', 'x265')} "
                     f"-preset ultrafast {quiet} -f {codec} -")  # fmt: skip
        assert size(codec, stream) == (width, height)


@pytest.mark.parametrize("codec", VIDEO)
def test_what_ffmpeg_encodes_is_without_fault_and_its_key_pictures_are_found(codec: Codec) -> None:
    pictures = encoded(codec, b_frames=2)
    sets = parameter_sets(codec, pictures[0].packet.data)
    stream = Stream(codec, parameter_sets=sets)
    assert [check(taken.packet.data, stream) for taken in pictures] == [""] * len(pictures)
    assert [is_key(codec, taken.packet.data) for taken in pictures] == [taken.packet.key for taken in pictures]
    assert [taken.packet.key for taken in pictures].count(True) == 3


@pytest.mark.parametrize(
    ("data", "stream", "wrong"),
    [
        (b"", H264, "no start code at its beginning, but nothing"),
        (IDR, H264, "no start code at its beginning, but 65 88 84 00"),
        (b"\1" + WHOLE, H264, "no start code at its beginning, but 01 00 00 00"),
        (START, H264, "unit 1 is empty"),
        (WHOLE + START + START + PPS, H264, "unit 4 is empty"),
        (unit_stream(HEVC_VPS, b"\x42"), HEVC, "unit 2 is empty"),
        (unit_stream(VGA, PPS, b"\xe5\x88"), H264, "unit 3 has the forbidden bit set: it was damaged on its way"),
        (unit_stream(VGA, PPS, b"\x7c\x85"), H264, "unit 3 has the type 28, which is none of h264"),
        (unit_stream(VGA, PPS, b"\x60\x85"), H264, "unit 3 has the type 0, which is none of h264"),
        (unit_stream(HEVC_VPS, b"\x62\x01\x93"), HEVC, "unit 2 has the type 49, which is none of hevc"),
        (unit_stream(VGA, PPS), H264, "no picture in it"),
        (unit_stream(HEVC_VPS, HEVC_720, HEVC_PPS), HEVC, "no picture in it"),
        (unit_stream(IDR), H264, "no SPS and PPS at hand: it cannot be decoded"),
        (unit_stream(VGA, SLICE), H264, "no PPS at hand: it cannot be decoded"),
        (unit_stream(HEVC_720, HEVC_PPS, HEVC_IDR), HEVC, "no VPS at hand: it cannot be decoded"),
        (START + IDR + (START + PPS) * UNITS_MAX, H264, f"more than {UNITS_MAX} units"),
    ],
)
def test_what_is_wrong_with_an_access_unit_is_told(data: bytes, stream: Stream, wrong: str) -> None:
    assert check(data, stream) == wrong


def test_parameter_sets_may_be_in_the_picture_or_told_outside_or_half_and_half() -> None:
    assert check(WHOLE, H264) == check(HEVC_WHOLE, HEVC) == ""
    assert check(unit_stream(SLICE), Stream("h264", parameter_sets=unit_stream(VGA, PPS))) == ""
    assert check(unit_stream(PPS, SLICE), Stream("h264", parameter_sets=unit_stream(VGA))) == ""


def test_types_that_the_standard_keeps_for_later_are_no_fault() -> None:
    assert check(unit_stream(VGA, PPS, IDR, b"\x16\x00\x01"), H264) == ""
    assert check(HEVC_WHOLE + unit_stream(b"\x52\x01\x01"), HEVC) == ""


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_bytes_are_every_question_has_an_answer(seed: int) -> None:
    rng = random.Random(seed)
    whole = {"h264": unit_stream(HD, PPS, IDR), "hevc": unit_stream(HEVC_VPS, HEVC_1080, HEVC_PPS, HEVC_IDR)}
    answers = set()
    for _ in range(300):
        codec = rng.choice(VIDEO)
        data = bytearray(whole[codec])
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(4):
                case 0:
                    data[at : at + 1] = rng.randbytes(1)
                case 1:
                    del data[at : at + rng.randrange(8)]
                case 2:
                    data[at:at] = rng.choice((START, b"\0" * 9, b"\xff" * 9, rng.randbytes(9), bytes(data[at:])))
                case 3:
                    data[at : at + 1] = bytes([(data[at : at + 1] or b"\1")[0] ^ 1 << rng.randrange(8)])
        for read_as in VIDEO:
            wrong = check(bytes(data), Stream(read_as))
            width, height = size(read_as, bytes(data))
            assert isinstance(wrong, str)
            assert 0 <= width <= SIDE_MAX and 0 <= height <= SIDE_MAX and (width > 0) == (height > 0)
            sets = parameter_sets(read_as, bytes(data))
            assert parameter_sets(read_as, sets) == sets
            answers.add((wrong[:6], is_key(read_as, bytes(data))))
    assert len(answers) > 5


def test_junk_makes_no_more_than_a_bounded_work() -> None:
    assert len(units(START * 1_000_000)) == UNITS_MAX + 1
    assert size("h264", b"\0\0\1\x67\x64\0\x28" + b"\0" * 1_000_000 + b"\1") == (0, 0)
    longest = b"\0\0\1\x67\x42\0\x1e" + b"\xd0\x00\x80" + b"\xff" * 1_000_000  # an order of pictures with 255 offsets
    assert size("h264", longest) in ((0, 0), (16, 16))
