"""MPEG-TS: bytes typed by hand from ISO/IEC 13818-1, and what ffmpeg and ffprobe read in it."""

import random
from itertools import pairwise

import pytest
from camera_clips import FPS, GOP, decoded, elementary, encoded, packets_of, stream_of

from drivers.mpegts import PACKET, PMT_PID, VIDEO_PID, crc32, mux
from drivers.nal import parameter_sets, units
from drivers.packets import Codec, Packet, Stream, Taken

PAT = bytes.fromhex("47 40 00 10 00  00 B0 0D 00 01 C1 00 00  00 01 F0 00  2A B1 04 B2") + b"\xff" * 167
PMT = bytes.fromhex("47 50 00 10 00  02 B0 12 00 01 C1 00 00 E1 00 F0 00  1B E1 00 F0 00  15 BD 4D 56") + b"\xff" * 162
IDR = bytes.fromhex("00000001 6742001EDA0280F640 00000001 68CE3C80 00000001 65888400 33FF")
SLICE = bytes.fromhex("00000001 419A21")
H264 = Stream("h264")
KINDS: list[tuple[Codec, int]] = [("h264", 0), ("h264", 2), ("hevc", 0), ("hevc", 2)]


def taken(data: bytes, dts_s: float, pts_s: float | None = None, *, key: bool = False) -> Taken:
    return Taken(Packet(data, key, dts_s if pts_s is None else pts_s, dts_s, dts_s), dts_s)


def payload(file: bytes) -> bytes:
    """Of the video's packets, as 2.4.3.2 has them; continuity counters and lengths are looked at."""
    parts = []
    counter = 0
    for at in range(0, len(file), PACKET):
        packet = file[at : at + PACKET]
        assert len(packet) == PACKET and packet[0] == 0x47
        if int.from_bytes(packet[1:3], "big") & 0x1FFF == VIDEO_PID:
            assert packet[3] & 15 == counter % 16
            counter += 1
            parts.append(packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:])
    return b"".join(parts)


def test_the_crc_is_that_of_the_tables() -> None:
    assert crc32(b"123456789") == 0x0376E6E7


def test_one_picture_is_the_bytes_of_the_standard() -> None:
    """PTS 90000 = 1 s, PCR 45000 = 0.5 s; random access and PCR flags are 0x50."""
    head = "47 41 00 30 8A 50 00 00 57 E4 7E 00"
    pes = bytes.fromhex("000001 E0 0000 84 80 05 21 00 05 BF 21") + IDR
    stuffing = b"\xff" * (PACKET - 12 - len(pes))
    assert len(stuffing) == 0x8A - 7
    assert mux([taken(IDR, 70.0, key=True)], H264) == PAT + PMT + bytes.fromhex(head) + stuffing + pes


def test_a_picture_shown_later_than_decoded_has_both_times() -> None:
    """PTS 108000, DTS 99000 = 90000 + 0.1 s, PCR 54000; no random access."""
    file = mux([taken(IDR, 70.0, key=True), taken(SLICE, 70.1, 70.2)], H264)
    packet = file[3 * PACKET :]
    assert packet[:12] == bytes.fromhex("47 41 00 31 9D 10 00 00 69 78 7E 00")
    assert packet.endswith(bytes.fromhex("000001 E0 0000 84 C0 0A 31 00 07 4B C1 11 00 07 05 71") + SLICE)


def test_a_stream_of_hevc_says_so() -> None:
    file = mux([taken(b"\0\0\0\1\x26\x01\xaf", 0.0, key=True)], Stream("hevc"))
    section = bytes.fromhex("02 B0 12 00 01 C1 00 00 E1 00 F0 00  24 E1 00 F0 00")
    assert file[PACKET + 5 : PACKET + 5 + 17] == section
    assert crc32(file[PACKET + 5 : PACKET + 5 + 21]) == 0  # over a section with its CRC
    assert int.from_bytes(file[PACKET + 1 : PACKET + 3], "big") & 0x1FFF == PMT_PID


def test_every_length_fills_whole_packets_and_nothing_is_lost() -> None:
    rng = random.Random(1)
    pictures = [taken(b"\0\0\1\x41" + rng.randbytes(size), size / 10, key=size == 0) for size in range(800)]
    stream = payload(mux(pictures, H264))
    header = 14  # PTS alone
    for one in pictures:
        assert stream[header : header + len(one.packet.data)] == one.packet.data
        stream = stream[header + len(one.packet.data) :]
    assert stream == b""


def test_parameter_sets_told_outside_are_put_before_a_key_picture_that_lacks_them_and_nothing_else() -> None:
    bare, sets = IDR[21:], IDR[:21]
    assert [unit[0] for unit in units(bare)] == [0x65]
    outside = Stream("h264", parameter_sets=sets)
    assert payload(mux([taken(bare, 0.0, key=True)], outside))[14:] == IDR
    assert payload(mux([taken(IDR, 0.0, key=True)], outside))[14:] == IDR
    assert payload(mux([taken(bare, 0.0, key=True)], H264))[14:] == bare
    assert payload(mux([taken(SLICE, 0.0)], outside))[14:] == SLICE


def test_jpegs_are_refused() -> None:
    with pytest.raises(ValueError, match="a clip of JPEGs is an AVI"):
        mux([taken(b"\xff\xd8", 0.0)], Stream("mjpeg"))


@pytest.mark.parametrize(("codec", "b_frames"), KINDS)
def test_a_gop_plays_by_itself_and_its_elementary_stream_is_the_cameras_bit_for_bit(
    codec: Codec, b_frames: int
) -> None:
    pictures = encoded(codec, b_frames)
    for gop in (pictures[:GOP], pictures[GOP : 2 * GOP]):
        file = mux(gop, Stream(codec))
        told = stream_of(file, "mpegts")
        assert (told["codec_name"], told["width"], told["height"]) == (codec, 320, 180)
        assert elementary(file, "mpegts", codec) == b"".join(one.packet.data for one in gop)
        assert decoded(file, "mpegts") == GOP


@pytest.mark.parametrize(("codec", "b_frames"), KINDS)
def test_the_times_are_the_cameras_from_one_second_on(codec: Codec, b_frames: int) -> None:
    rng = random.Random(7)
    late = {round(number / FPS, 4): number / FPS + rng.uniform(0, 0.9 / FPS) for number in range(-9, 70)}
    gop = []
    for one in encoded(codec, b_frames)[GOP : 2 * GOP]:
        packet = one.packet
        pts_s, dts_s = (
            min(late.items(), key=lambda item: abs(item[0] + 5001.4 - at))[1] for at in (packet.pts_s, packet.dts_s)
        )
        gop.append(Taken(Packet(packet.data, packet.key, pts_s, dts_s, 0.0), pts_s))
    told = packets_of(mux(gop, Stream(codec)), "mpegts")
    start_s = gop[0].packet.dts_s - 1
    assert [float(one["pts_time"]) for one in told] == pytest.approx(
        [one.packet.pts_s - start_s for one in gop], abs=2e-5
    )
    assert [float(one["dts_time"]) for one in told] == pytest.approx(
        [one.packet.dts_s - start_s for one in gop], abs=2e-5
    )
    assert ["K" in one["flags"] for one in told] == [one.packet.key for one in gop]


def test_a_picture_alone_decodes() -> None:
    for codec, b_frames in KINDS:
        assert decoded(mux(encoded(codec, b_frames)[:1], Stream(codec)), "mpegts") == 1


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_pictures_whose_parameter_sets_stand_outside_decode_with_them(codec: Codec) -> None:
    gop = encoded(codec)[:GOP]
    data = gop[0].packet.data
    sets = parameter_sets(codec, data)
    bare = data
    for unit in units(sets):
        bare = bare.replace(b"\0\0\0\1" + unit, b"", 1)
    assert len(bare) == len(data) - len(sets)
    first = gop[0].packet
    stripped = [Taken(Packet(bare, True, first.pts_s, first.dts_s, first.seen_s), gop[0].taken_s), *gop[1:]]
    file = mux(stripped, Stream(codec, parameter_sets=sets))
    assert decoded(file, "mpegts") == GOP
    assert elementary(file, "mpegts", codec) == sets + b"".join(one.packet.data for one in stripped)


def test_times_that_step_or_stand_still_leave_decoding_times_that_rise() -> None:
    times = [70.0, 70.1, 70.1, 70.100001, 9000.0, 3.0]
    pictures = [Taken(Packet(IDR, True, at_s, at_s, 0.0), number / 10) for number, at_s in enumerate(times)]
    told = [float(one["dts_time"]) for one in packets_of(mux(pictures, H264), "mpegts")]
    assert len(told) == len(times)
    assert all(before < after for before, after in pairwise(told))
    assert told[-1] < 2.0


def test_a_pcr_stands_before_each_picture_and_rises() -> None:
    file = mux(encoded("h264", 2)[:GOP], H264)
    packets = [file[at : at + PACKET] for at in range(2 * PACKET, len(file), PACKET)]
    clocks = [int.from_bytes(one[6:11], "big") >> 7 for one in packets if one[1] & 0x40]
    assert len(clocks) == GOP
    assert [after - before for before, after in pairwise(clocks)] == pytest.approx([90_000 / FPS] * (GOP - 1), abs=1)
