"""What the bytes of a picture say of themselves: H.264 (ITU-T H.264), HEVC (H.265) and JPEG (T.81). Pure."""

from collections.abc import Iterator
from typing import Final, Literal

Codec = Literal["h264", "hevc", "mjpeg"]
SPS_BYTES_MAX: Final = 1024
PIXELS_MAX: Final = 16_384
"""Of a side: what is larger is damage."""


def nal_units(stream: bytes) -> Iterator[bytes]:
    """The units of an Annex B stream (H.264 and HEVC), without start codes and the zeros between."""
    at = stream.find(b"\0\0\1")
    while at >= 0:
        after = stream.find(b"\0\0\1", at + 3)
        if unit := stream[at + 3 : after if after >= 0 else None].rstrip(b"\0"):
            yield unit
        at = after


PARAMETER_SETS: Final[dict[Codec, tuple[int, ...]]] = {"h264": (7, 8), "hevc": (32, 33, 34)}
"""Types of NAL unit: SPS and PPS (H.264 table 7-1), VPS, SPS and PPS (H.265 table 7-1)."""


def unit_type(codec: Codec, unit: bytes) -> int:
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def is_parameter_set(codec: Codec, unit: bytes) -> bool:
    return unit_type(codec, unit) in PARAMETER_SETS[codec]


def is_key(codec: Codec, unit: bytes) -> bool:
    kind = unit_type(codec, unit)
    return kind == 5 if codec == "h264" else 16 <= kind <= 21


# ---- what a sequence parameter set says


def without_prevention(unit: bytes) -> bytes:
    """A unit without the bytes that keep start codes out of it (H.264 7.4.1.1)."""
    return unit.replace(b"\0\0\3", b"\0\0")


class _Bits:
    """Bits and Exp-Golomb codes of a NAL unit (H.264 7.2 and 9.1)."""

    def __init__(self, unit: bytes) -> None:
        raw = without_prevention(unit[:SPS_BYTES_MAX])
        self._value, self._left = int.from_bytes(raw, "big"), len(raw) * 8

    def take(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise ValueError("a parameter set ends too soon")
        return self._value >> self._left & (1 << bits) - 1

    def ue(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


HIGH_PROFILES: Final = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
"""Of H.264: their SPS tells of chroma and depth (7.3.2.1.1)."""


def h264_chroma(bits: "_Bits", profile: int) -> tuple[int, int, int]:
    """(chroma format, luma depth - 8, chroma depth - 8); bits: behind the SPS's id."""
    if profile not in HIGH_PROFILES:
        return 1, 0, 0
    chroma = bits.ue()
    if chroma == 3:
        bits.take(1)
    return chroma, bits.ue(), bits.ue()


def h264_sps(unit: bytes) -> tuple["_Bits", int]:
    """The bits behind the SPS's id, and its profile."""
    bits = _Bits(unit)
    bits.take(8)
    profile = bits.take(8)
    bits.take(16)
    bits.ue()
    return bits, profile


def size_of_h264(unit: bytes) -> tuple[int, int]:
    """(width, height) in pixels out of an SPS (H.264 7.3.2.1.1, 7.4.2.1.1)."""
    bits, profile = h264_sps(unit)
    chroma, *_ = h264_chroma(bits, profile)
    if profile in HIGH_PROFILES:
        bits.take(1)
        if bits.take(1):
            _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.take(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()
    bits.take(1)
    width, rows = (bits.ue() + 1) * 16, bits.ue() + 1
    frames_only = bits.take(1)
    height = rows * 16 * (2 - frames_only)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        x, y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (2 - frames_only)
        width -= x * (bits.ue() + bits.ue())
        height -= y * (bits.ue() + bits.ue())
    return width, height


def _skip_scaling_lists(bits: _Bits, count: int) -> None:
    for at in range(count):
        if not bits.take(1):
            continue
        scale = 8
        for _ in range(16 if at < 6 else 64):
            scale = (scale + bits.se()) % 256
            if scale == 0:
                break


def size_of_hevc(unit: bytes) -> tuple[int, int, int, int, int]:
    """(width, height in pixels, chroma format, luma depth - 8, chroma depth - 8) of an SPS (H.265 7.3.2.2.1)."""
    bits = _Bits(unit)
    bits.take(16 + 4)
    layers = bits.take(3)
    bits.take(1 + 96)
    there = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for profile, level in there:
        bits.take(88 * profile + 8 * level)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3:
        bits.take(1)
    width, height = bits.ue(), bits.ue()
    if bits.take(1):
        x, y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1)
        width -= x * (bits.ue() + bits.ue())
        height -= y * (bits.ue() + bits.ue())
    return width, height, chroma, bits.ue(), bits.ue()


def size_of_jpeg(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels out of the frame header (ITU-T T.81 B.2.2)."""
    if data[:2] != b"\xff\xd8":
        raise ValueError(f"a JPEG begins with {data[:2].hex()}, not with its SOI (ffd8)")
    at = 2
    while data[at] == 0xFF and data[at + 1] != 0xDA:
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            return data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6]
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    raise ValueError(f"a JPEG without a frame header (byte {at})")
