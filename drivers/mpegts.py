"""One clip of H.264 or HEVC as an MPEG transport stream: a file that plays by itself.

    PAT, PMT, then a PES packet for each picture, in packets of 188 bytes

The elementary stream in it is the camera's, byte for byte; only parameter sets that the key picture lacks are put
before it. (So a camera that sends no access unit delimiters has none in the file either, though 2.14 asks for them.)
Source: ISO/IEC 13818-1 (2019): 2.4.3 transport packets, PES and PCR, 2.4.4 tables, annex A the CRC.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from drivers.frame_clock import clip_times
from drivers.nal import parameter_sets
from drivers.packets import Stream, Taken

PACKET: Final = 188
PMT_PID: Final = 0x1000
VIDEO_PID: Final = 0x100
STREAM_TYPES: Final = {"h264": 0x1B, "hevc": 0x24}
HZ: Final = 90_000
START_TICKS: Final = HZ
"""The first picture's decoding time: one second, so that the PCR is never below 0."""
PCR_AHEAD_TICKS: Final = HZ // 2
"""The PCR of a picture's first packet is so much before its decoding time: the room of a decoder's buffer."""


def mux(pictures: Sequence[Taken], stream: Stream) -> bytes:
    """The file. pictures: in decoding order, from a key picture on. Raises ValueError for MJPEG."""
    if stream.codec == "mjpeg":
        raise ValueError("found mjpeg, allowed are h264 and hevc: a clip of JPEGs is an AVI")
    parts = [_table(0, 0x00, _PROGRAMS), _table(PMT_PID, 0x02, _program(STREAM_TYPES[stream.codec]))]
    counter = 0
    for taken, (pts, dts) in zip(pictures, _ticks(pictures), strict=True):
        packet = taken.packet
        sets = b"" if not packet.key or parameter_sets(stream.codec, packet.data) else stream.parameter_sets
        pes = b"".join((_pes_header(pts, dts), sets, packet.data))
        parts += _packets(pes, packet.key, dts - PCR_AHEAD_TICKS, counter)
        counter += 1 + max(0, -(-(len(pes) - _FIRST_MAX) // (PACKET - 4)))
    return b"".join(parts)


def _ticks(pictures: Sequence[Taken]) -> Iterator[tuple[int, int]]:
    """PTS and DTS of each picture, DTS rising by at least one tick."""
    last = START_TICKS - 1
    for pts_s, dts_s in clip_times(pictures):
        last = max(START_TICKS + round(dts_s * HZ), last + 1)
        yield max(START_TICKS + round(pts_s * HZ), last), last


def _pes_header(pts: int, dts: int) -> bytes:
    """2.4.3.6: stream 0xE0, length 0 (unbounded, as video may be), aligned; a DTS only where it is not the PTS."""
    if pts == dts:
        return b"\0\0\1\xe0\0\0\x84\x80\x05" + _stamp(2, pts)
    return b"\0\0\1\xe0\0\0\x84\xc0\x0a" + _stamp(3, pts) + _stamp(1, dts)


def _stamp(prefix: int, ticks: int) -> bytes:
    """33 bits with a marker bit after 3, 15 and 15 of them."""
    bits = prefix << 36 | (ticks >> 30 & 7) << 33 | 1 << 32 | (ticks >> 15 & 0x7FFF) << 17 | 1 << 16
    return (bits | (ticks & 0x7FFF) << 1 | 1).to_bytes(5, "big")


_FIRST_MAX: Final = PACKET - 4 - 8
"""Bytes of a PES packet in its first transport packet: that one has the PCR."""
_HEADERS: Final = [bytes((0x47, VIDEO_PID >> 8, VIDEO_PID & 255, 0x10 | counter)) for counter in range(16)]
"""Of packets with a payload and nothing else, by their continuity counter."""


def _packets(pes: bytes, key: bool, pcr: int, counter: int) -> list[bytes]:
    """A PES packet in transport packets, counted from `counter` on."""
    first = pes[:_FIRST_MAX]
    field = bytes((0x50 if key else 0x10,)) + ((pcr & 0x1FFFFFFFF) << 15 | 0x7E00).to_bytes(6, "big")
    stuffing = b"\xff" * (_FIRST_MAX - len(first))
    parts = [
        bytes((0x47, 0x40 | VIDEO_PID >> 8, VIDEO_PID & 255, 0x30 | counter & 15, 7 + len(stuffing))),
        *(field, stuffing, first),
    ]
    room = PACKET - 4
    whole = _FIRST_MAX + (len(pes) - _FIRST_MAX) // room * room
    for at in range(_FIRST_MAX, whole, room):
        counter += 1
        parts.append(_HEADERS[counter & 15])
        parts.append(pes[at : at + room])
    if rest := pes[max(whole, _FIRST_MAX) :]:
        counter += 1
        length = room - 1 - len(rest)  # of the adaptation field, which is there for its length alone
        parts.append(bytes((0x47, VIDEO_PID >> 8, VIDEO_PID & 255, 0x30 | counter & 15, length)))
        parts.append((b"\0" + b"\xff" * (length - 1) if length else b"") + rest)
    return parts


_PROGRAMS: Final = bytes((0x00, 0x01, 0xE0 | PMT_PID >> 8, PMT_PID & 255))
"""PAT: program 1 is told in the PMT."""


def _program(stream_type: int) -> bytes:
    """PMT: the PCR is in the video's packets, and the video is all there is."""
    pid = bytes((0xE0 | VIDEO_PID >> 8, VIDEO_PID & 255))
    return pid + b"\xf0\0" + bytes((stream_type,)) + pid + b"\xf0\0"


def _table(pid: int, table_id: int, body: bytes) -> bytes:
    """A section in a transport packet of its own: version 0, current, the only one, of stream or program 1."""
    section = bytes((table_id, 0xB0, 5 + len(body) + 4)) + b"\0\1\xc1\0\0" + body
    section += crc32(section).to_bytes(4, "big")
    return bytes((0x47, 0x40 | pid >> 8, pid & 255, 0x10, 0)) + section.ljust(PACKET - 5, b"\xff")


def crc32(data: bytes) -> int:
    """CRC-32/MPEG-2 (annex A): polynomial 0x04C11DB7, from all ones, not reflected, not inverted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)
            crc &= 0xFFFFFFFF
    return crc
