"""AVI: bytes typed by hand from the RIFF reference, and what ffmpeg and ffprobe read in it."""

import random

import pytest
from camera_clips import FPS, decoded, elementary, encoded, packets_of, stream_of

from drivers.avi import mux
from drivers.packets import Packet, Stream, Taken

MJPEG = Stream("mjpeg", 640, 480)
PICTURE = bytes.fromhex("FFD8 FFC0 000B 08 00B4 0140 01 011100 FFDA 0008 01 0100 003F00 11223344 FFD9")
"""320 x 180, of 31 bytes: a byte fills its chunk up."""


def taken(data: bytes, pts_s: float) -> Taken:
    return Taken(Packet(data, True, pts_s, pts_s, pts_s), pts_s)


def test_two_pictures_are_the_bytes_of_the_reference() -> None:
    """The second is taken 2 ms after the first: one empty chunk stands between."""
    assert len(PICTURE) == 0x1F
    golden = """
        52494646 68010000 41564920
          4C495354 C0000000 6864726C
            61766968 38000000 E8030000 00000000 00000000 10000000 03000000 00000000 01000000 1F000000
                              40010000 B4000000 00000000 00000000 00000000 00000000
            4C495354 74000000 7374726C
              73747268 38000000 76696473 4D4A5047 00000000 0000 0000 00000000 01000000 E8030000 00000000 03000000
                                1F000000 FFFFFFFF 00000000 0000 0000 4001 B400
              73747266 28000000 28000000 40010000 B4000000 0100 1800 4D4A5047 00A30200 00000000 00000000 00000000
                                00000000
          4C495354 5C000000 6D6F7669
            30306463 1F000000 PICTURE 00
            30306463 00000000
            30306463 1F000000 PICTURE 00
          69647831 30000000
            30306463 10000000 04000000 1F000000
            30306463 00000000 2C000000 00000000
            30306463 10000000 34000000 1F000000
    """.replace("PICTURE", PICTURE.hex())
    file = mux([taken(PICTURE, 70.0), taken(PICTURE, 70.002)], MJPEG)
    assert file.hex(" ", 4) == bytes.fromhex(golden).hex(" ", 4)


def test_a_second_of_jpegs_plays_by_itself_and_they_are_the_cameras_bit_for_bit() -> None:
    pictures = encoded("mjpeg")[:FPS]
    file = mux(pictures, MJPEG)
    told = stream_of(file, "avi")
    assert (told["codec_name"], told["width"], told["height"]) == ("mjpeg", 320, 180)
    assert elementary(file, "avi", "mjpeg") == b"".join(one.packet.data for one in pictures)
    assert decoded(file, "avi") == FPS


@pytest.mark.parametrize("seed", range(5))
def test_every_picture_has_its_own_time_to_half_a_millisecond(seed: int) -> None:
    rng = random.Random(seed)
    at_s, pictures = 70.0, []
    for one in encoded("mjpeg")[:FPS]:
        pictures.append(taken(one.packet.data, at_s))
        at_s += rng.uniform(0.002, 0.2)
    told = packets_of(mux(pictures, MJPEG), "avi")
    times = [one.packet.pts_s - 70.0 for one in pictures]
    assert [float(one["pts_time"]) for one in told] == pytest.approx(times, abs=0.000501)
    assert [int(one["size"]) for one in told] == [len(one.packet.data) for one in pictures]


def test_two_pictures_of_one_time_are_both_there() -> None:
    file = mux([taken(PICTURE, 70.0), taken(PICTURE, 70.0), taken(PICTURE, 70.0001)], MJPEG)
    assert [float(one["pts_time"]) for one in packets_of(file, "avi")] == [0.0, 0.001, 0.002]
    assert stream_of(file, "avi")["nb_frames"] == "3"


def test_a_player_can_seek_to_each_picture() -> None:
    """By the index alone: the chunks are where it says."""
    pictures = [taken(one.packet.data, one.packet.pts_s) for one in encoded("mjpeg")[:FPS]]
    file = mux(pictures, MJPEG)
    movi, index = file.index(b"movi"), file[file.rindex(b"idx1") + 8 :]
    found = []
    for at in range(0, len(index), 16):
        where, size = (int.from_bytes(index[at + part : at + part + 4], "little") for part in (8, 12))
        assert file[movi + where : movi + where + 8] == b"00dc" + size.to_bytes(4, "little")
        found.append(file[movi + where + 8 : movi + where + 8 + size])
    assert [data for data in found if data] == [one.packet.data for one in pictures]


def test_what_is_no_jpeg_or_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="found 1 pictures of h264, allowed are JPEGs"):
        mux([taken(b"\0\0\1\x65", 0.0)], Stream("h264"))
    with pytest.raises(ValueError, match="found 0 pictures"):
        mux([], MJPEG)
