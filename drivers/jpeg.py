"""Whether a JPEG is whole, and how large its picture is; from its markers alone, nothing is decoded.

    FF D8 | FF xx length ... | FF DA length ... entropy-coded data | FF D9

Source: ITU-T T.81, annex B.
"""

import re
from typing import Final

SIDE_MAX: Final = 16_384
"""Pixels of the longer side: twice 8K. JPEG itself ends at 65535."""

SEGMENTS_MAX: Final = 1_000
"""A picture has tens, with a comment in many parts a few hundred. It bounds the work that junk makes."""

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
_ALONE: Final = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length: TEM, RST0 to RST7."""
_FRAME: Final = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15; C4 is DHT, C8 reserved, CC DAC."""
_FILL: Final = re.compile(rb"\xff+")
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends entropy-coded data: FF 00 is a byte FF in it, RSTn belongs to it, FF FF is a fill byte."""


def check(data: bytes) -> tuple[int, int] | str:
    """(width, height) in pixels of a whole JPEG, or what is wrong with it.

    What follows its end is let be (cameras pad), unless it is another JPEG: then a boundary was lost.
    """
    if data[:2] != b"\xff\xd8":
        return f"no JPEG: begins with {data[:2].hex(' ') or 'nothing'}, not with ff d8"
    size: tuple[int, int] | None = None
    scans = 0
    at = 2
    for _ in range(SEGMENTS_MAX):
        fill = _FILL.match(data, at)
        if fill is None:
            return _cut(data) if at >= len(data) else f"byte {at} is {data[at]:02x}, where a marker (ff) must stand"
        if fill.end() == len(data):
            return _cut(data)
        marker, at = data[fill.end()], fill.end() + 1
        if marker == EOI:
            break
        if marker in _ALONE:
            continue
        if marker in (0x00, SOI):
            return f"a marker ff {marker:02x} at byte {at - 2}, where a segment must begin"
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            return _cut(data)
        if length < 2:
            return f"the segment ff {marker:02x} at byte {at - 2} has the length {length}, less than its own two bytes"
        if marker in _FRAME:
            if length < 8:
                return f"its frame header has {length} bytes, less than 8"
            size = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 3 : at + 5], "big")
        at += length
        if marker == SOS:
            scans += 1
            end = _MARKER.search(data, at)
            if end is None:
                return _cut(data)
            at = end.start()
    else:
        return f"more than {SEGMENTS_MAX} segments"
    if size is None or not scans:
        return f"no {'frame header' if size is None else 'picture data'} before its end"
    if not (0 < size[0] <= SIDE_MAX and 0 < size[1] <= SIDE_MAX):
        return f"a picture of {size[0]} x {size[1]}, allowed are 1 to {SIDE_MAX} pixels a side"
    if (other := data.find(b"\xff\xd8\xff", at)) >= 0:
        return f"another JPEG follows it at byte {other}"
    return size


def _cut(data: bytes) -> str:
    return f"cut off: {len(data)} bytes without an end (ff d9)"
