"""A second of JPEGs as AVI (MJPEG): a file that plays by itself.

    RIFF "AVI " [ LIST "hdrl" [ avih, LIST "strl" [ strh, strf ] ], LIST "movi" [ 00dc ... ], idx1 ]

AVI knows no times, only a rate: here a tick is a millisecond, a picture stands at its own, and the ticks between are
empty chunks, which say that the picture before stays. So every time is true to half a millisecond, at 24 bytes a tick.
The JPEGs are the camera's, byte for byte.
Source: Microsoft, "AVI RIFF File Reference"; the structures AVIMAINHEADER, AVISTREAMHEADER and BITMAPINFOHEADER.
"""

import struct
from collections.abc import Sequence
from typing import Final

from drivers import jpeg
from drivers.frame_clock import clip_times
from drivers.packets import Stream, Taken

TICKS_PER_S: Final = 1_000
HAS_INDEX: Final = 0x10
KEY: Final = 0x10
_EMPTY: Final = b"00dc\0\0\0\0"


def mux(pictures: Sequence[Taken], stream: Stream) -> bytes:
    """The file. pictures: a second of JPEGs or a few. Raises ValueError for another codec, or for no picture."""
    if stream.codec != "mjpeg" or not pictures:
        raise ValueError(
            f"found {len(pictures)} pictures of {stream.codec}, allowed are JPEGs: other clips are MPEG-TS"
        )
    width, height = _size(pictures, stream)
    movi, index = [b"movi"], []
    at, next_tick, largest = 4, 0, 0
    for taken, (pts_s, _) in zip(pictures, clip_times(pictures), strict=True):
        data = taken.packet.data
        tick = max(round(pts_s * TICKS_PER_S), next_tick)
        for _ in range(tick - next_tick):
            index.append(struct.pack("<4sIII", b"00dc", 0, at, 0))
            movi.append(_EMPTY)
            at += len(_EMPTY)
        index.append(struct.pack("<4sIII", b"00dc", KEY, at, len(data)))
        movi += (struct.pack("<4sI", b"00dc", len(data)), data, b"\0" * (len(data) & 1))
        at += 8 + len(data) + (len(data) & 1)
        next_tick, largest = tick + 1, max(largest, len(data))
    header = _header(width, height, next_tick, largest)
    return _chunk(b"RIFF", b"AVI " + header + _chunk(b"LIST", b"".join(movi)) + _chunk(b"idx1", b"".join(index)))


def _size(pictures: Sequence[Taken], stream: Stream) -> tuple[int, int]:
    size = jpeg.check(pictures[0].packet.data)
    return (stream.width, stream.height) if isinstance(size, str) else size


def _header(width: int, height: int, ticks: int, largest: int) -> bytes:
    """LIST hdrl. ticks: how long it is; largest: bytes of the largest picture."""
    main = struct.pack(
        "<14I",
        *(1_000_000 // TICKS_PER_S, 0, 0, HAS_INDEX, ticks, 0, 1, largest, width, height, 0, 0, 0, 0),
    )
    video = struct.pack(
        "<4s4sIHHIIIIIIII4H",
        *(b"vids", b"MJPG", 0, 0, 0, 0, 1, TICKS_PER_S, 0, ticks, largest, 0xFFFFFFFF, 0, 0, 0, width, height),
    )
    bitmap = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", 3 * width * height, 0, 0, 0, 0)
    streams = _chunk(b"LIST", b"strl" + _chunk(b"strh", video) + _chunk(b"strf", bitmap))
    return _chunk(b"LIST", b"hdrl" + _chunk(b"avih", main) + streams)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) & 1)
