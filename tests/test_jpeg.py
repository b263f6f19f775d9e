"""Whether a JPEG is whole: bytes typed by hand from T.81 annex B, ffmpeg's pictures, and junk."""

import random

import pytest
from camera_clips import encoded, run

from drivers.jpeg import SEGMENTS_MAX, SIDE_MAX, check

APP0 = bytes.fromhex("FFE0 0010 4A46494600 0101 00 0001 0001 00 00")
DQT = bytes.fromhex("FFDB 0043 00") + bytes(range(1, 65))
SOF = bytes.fromhex("FFC0 0011 08 00B4 0140 03 012200 021101 031101")
"""Baseline, 8 bits, 180 rows of 320 columns, three components."""
DHT = bytes.fromhex("FFC4 0016 00 00010000000000000000000000000000 0A0B0C")
"""Not true, but of the right shape; and it stands behind the frame header, as it may."""
SOS = bytes.fromhex("FFDA 000C 03 0100 0211 0311 003F00")
DATA = bytes.fromhex("F8 FF00 D1 FFD0 12 FFD7 34")
"""A byte FF that is data, and two restart markers."""
JPEG = b"\xff\xd8" + APP0 + DQT + SOF + DHT + SOS + DATA + b"\xff\xd9"


def test_a_whole_jpeg_has_the_size_of_its_frame_header() -> None:
    assert check(JPEG) == (320, 180)


def test_a_thumbnail_within_a_segment_is_not_the_picture() -> None:
    small = JPEG.replace(bytes.fromhex("00B4 0140"), bytes.fromhex("0010 0020"))
    segment = b"\xff\xe1" + (2 + len(small)).to_bytes(2, "big") + small
    assert check(JPEG[:2] + segment + JPEG[2:]) == (320, 180)


def test_markers_may_be_filled_up_and_scans_may_be_many() -> None:
    progressive = JPEG.replace(b"\xff\xc0", b"\xff\xff\xff\xc2")
    assert check(progressive[:-2] + SOS + DATA + b"\xff\xff\xd9") == (320, 180)


@pytest.mark.parametrize("padding", [b"\r\n", b"\0" * 500, b"\xff" * 3, b"\r\n--boundary", b"\xff\xd9"])
def test_what_a_camera_adds_behind_the_end_is_let_be(padding: bytes) -> None:
    assert check(JPEG + padding) == (320, 180)


@pytest.mark.parametrize("end", range(2, len(JPEG)))
def test_a_jpeg_cut_anywhere_is_told_as_cut(end: int) -> None:
    assert check(JPEG[:end]) == f"cut off: {end} bytes without an end (ff d9)"


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "no JPEG: begins with nothing, not with ff d8"),
        (b"\xff", "no JPEG: begins with ff, not with ff d8"),
        (b"<html>", "no JPEG: begins with 3c 68, not with ff d8"),
        (bytes.fromhex("FFD8 FFD9 000000"), "no frame header before its end"),
        (bytes.fromhex("FFD8 FFE0 00 10 FF"), "cut off: 7 bytes without an end (ff d9)"),
        (JPEG.replace(SOS + DATA, b""), "no picture data before its end"),
        (JPEG.replace(SOF, b""), "no frame header before its end"),
        (JPEG.replace(SOF, SOF + b"\0"), "byte 108 is 00, where a marker (ff) must stand"),
        (JPEG.replace(APP0, b"\xff\xd8" + APP0), "a marker ff d8 at byte 2, where a segment must begin"),
        (JPEG.replace(APP0, b"\xff\x00" + APP0), "a marker ff 00 at byte 2, where a segment must begin"),
        (
            JPEG.replace(b"\xff\xe0\0\x10", b"\xff\xe0\0\1"),
            "the segment ff e0 at byte 2 has the length 1, less than its own two bytes",
        ),
        (JPEG.replace(SOF, bytes.fromhex("FFC0 0007 08 00B4 0140")), "its frame header has 7 bytes, less than 8"),
        (JPEG.replace(bytes.fromhex("00B4 0140"), bytes.fromhex("0000 0140")),
         "a picture of 320 x 0, allowed are 1 to 16384 pixels a side"),
        (JPEG.replace(bytes.fromhex("00B4 0140"), bytes.fromhex("00B4 FFFF")),
         "a picture of 65535 x 180, allowed are 1 to 16384 pixels a side"),
        (JPEG.replace(APP0, b"\xff\xfe\0\2" * SEGMENTS_MAX), "more than 1000 segments"),
        (JPEG + b"\r\n" + JPEG, f"another JPEG follows it at byte {len(JPEG) + 2}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_jpeg_is_told(data: bytes, wrong: str) -> None:
    assert check(data) == wrong


def test_what_ffmpeg_encodes_is_whole_baseline_and_progressive() -> None:
    assert {check(taken.packet.data) for taken in encoded("mjpeg")} == {(320, 180)}
    other = run("ffmpeg -v error -f lavfi -i testsrc2=size=642x358 -frames:v 1 -c:v ljpeg -pix_fmt yuvj420p -f mjpeg -")
    assert check(other) == (642, 358)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_bytes_are_there_is_an_answer(seed: int) -> None:
    rng = random.Random(seed)
    whole = encoded("mjpeg")[0].packet.data[:2000] + JPEG[-12:]
    answers = set()
    for _ in range(300):
        data = bytearray(rng.choice((whole, JPEG)))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(min(len(data), 800) + 1)
            match rng.randrange(3):
                case 0:
                    data[at : at + 1] = rng.randbytes(1)
                case 1:
                    del data[at : at + rng.randrange(9)]
                case 2:
                    data[at:at] = rng.choice((b"\xff\xd9", b"\xff" * 9, rng.randbytes(9), b"\xff\xda\0\2"))
        found = check(bytes(data))
        assert isinstance(found, str) or 0 < min(found) <= max(found) <= SIDE_MAX
        answers.add(str(found)[:9])
    assert len(answers) > 5
