"""H.264 and HEVC as cameras send them: units of the Annex B byte stream, what they are, and what is wrong with them.

    00 00 01 | header | payload     a unit; the zeros before the start code belong to nobody

Nothing here decodes a picture, and nothing raises: whatever the bytes are, the answer is a value.
Source: ITU-T H.264 (08/2021) annex B, 7.3.1 and table 7-1; ITU-T H.265 (08/2021) annex B, 7.3.1.2 and table 7-1.
"""

from typing import Final, NamedTuple

from drivers.packets import Codec, Stream

START: Final = b"\0\0\1"
UNITS_MAX: Final = 1_000
"""Of one access unit: 8K in slices of a macroblock row has 270. It bounds the work that junk makes."""
SIDE_MAX: Final = 16_384
"""Pixels of the longer side: twice 8K."""

H264_SPS, H264_PPS = 7, 8
HEVC_VPS, HEVC_SPS, HEVC_PPS = 32, 33, 34
PARAMETER_SETS: Final = {
    "h264": {H264_SPS: "SPS", H264_PPS: "PPS"},
    "hevc": {HEVC_VPS: "VPS", HEVC_SPS: "SPS", HEVC_PPS: "PPS"},
}
"""nal_unit_type and name, in the order in which they stand in a stream."""
_PICTURE: Final = {"h264": range(1, 6), "hevc": range(32)}
_KEY: Final = {"h264": range(5, 6), "hevc": range(16, 24)}
"""IDR; BLA, IDR, CRA and what is reserved for more of them."""
_SPECIFIED: Final = {"h264": range(1, 24), "hevc": range(48)}
"""What is reserved in these is for later editions, and decoders pass over it. What is beyond is none of the standard's
(in RTP it names pieces of units, which have no place in a byte stream)."""


class Sps(NamedTuple):
    """What a sequence parameter set tells.

    width, height: pixels as shown, after cropping. chroma: chroma_format_idc, 0 to 3. luma_bits, chroma_bits: of a
    sample, from 8 on.
    """

    width: int
    height: int
    chroma: int
    luma_bits: int
    chroma_bits: int


def units(data: bytes) -> list[bytes]:
    """The units in order, without start codes and the zeros between; the first UNITS_MAX and one more."""
    return [unit.rstrip(b"\0") for unit in data.split(START, UNITS_MAX + 1)[1:]]


def kind(codec: Codec, unit: bytes) -> int:
    """nal_unit_type: 0 to 31 of H.264, 0 to 63 of HEVC; -1 where the unit is shorter than its header."""
    if codec == "h264":
        return unit[0] & 31 if unit else -1
    return unit[0] >> 1 & 63 if len(unit) >= 2 else -1


def is_key(codec: Codec, data: bytes) -> bool:
    """Whether decoding can begin here: an IDR picture of H.264, an IRAP picture of HEVC."""
    return any(kind(codec, unit) in _KEY[codec] for unit in units(data))


def parameter_sets(codec: Codec, data: bytes) -> bytes:
    """The SPS and PPS (HEVC: and VPS) in an access unit, in Annex B form; b"" unless one of each is there."""
    found = [(kind(codec, unit), unit) for unit in units(data)]
    sets = [(of, unit) for of, unit in found if of in PARAMETER_SETS[codec]]
    if {of for of, _ in sets} != {*PARAMETER_SETS[codec]}:
        return b""
    return b"".join(b"\0" + START + unit for _, unit in sets)


def without_prevention(unit: bytes) -> bytes:
    """A unit without the bytes 3 that only keep start codes out of its payload (H.264 7.4.1.1)."""
    return unit.replace(b"\0\0\3", b"\0\0")


def sps(codec: Codec, data: bytes) -> Sps | None:
    """What the first SPS tells; None where there is none, or none that can be."""
    of = H264_SPS if codec == "h264" else HEVC_SPS
    for unit in units(data):
        if kind(codec, unit) == of:
            bits = _Bits(without_prevention(unit[:512]))
            found = _h264_sps(bits) if codec == "h264" else _hevc_sps(bits)
            return found if 0 < found.width <= SIDE_MAX and 0 < found.height <= SIDE_MAX and not bits.over else None
    return None


def size(codec: Codec, data: bytes) -> tuple[int, int]:
    """(width, height) in pixels as shown, by the first SPS; (0, 0) where none tells or none can."""
    found = sps(codec, data)
    return (found.width, found.height) if found else (0, 0)


def check(data: bytes, stream: Stream) -> str:
    """What is wrong with an access unit, or "".

    stream: its codec, and its parameter sets, which are at hand for units that bring none.
    """
    codec = stream.codec
    head, start, _ = data.partition(START)
    if not start or head.strip(b"\0"):
        return f"no start code at its beginning, but {data[:4].hex(' ') or 'nothing'}"
    found = units(data)
    if len(found) > UNITS_MAX:
        return f"more than {UNITS_MAX} units"
    kinds = [kind(codec, unit) for unit in found]
    for number, (unit, of) in enumerate(zip(found, kinds, strict=True), 1):
        if of < 0:
            return f"unit {number} is empty"
        if unit[0] & 0x80:
            return f"unit {number} has the forbidden bit set: it was damaged on its way"
        if of not in _SPECIFIED[codec]:
            return f"unit {number} has the type {of}, which is none of {codec}"
    if not any(of in _PICTURE[codec] for of in kinds):
        return "no picture in it"
    at_hand = {*kinds, *(kind(codec, unit) for unit in units(stream.parameter_sets))}
    if missing := [name for of, name in PARAMETER_SETS[codec].items() if of not in at_hand]:
        return f"no {' and '.join(missing)} at hand: it cannot be decoded"
    return ""


class _Bits:
    """Bits of a unit from its first on. Behind the end all are 0, and `over` is true."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)
        self.over = False

    def u(self, count: int) -> int:
        """An unsigned number of so many bits."""
        self._left -= count
        if self._left < 0:
            self.over = True
            return 0
        return self._value >> self._left & (1 << count) - 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb number (9.2 in H.265, 9.1 in H.264)."""
        zeros = 0
        while not self.over and not self.u(1):
            zeros += 1
        return 0 if self.over else (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed one."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _h264_sps(bits: _Bits) -> Sps:
    """H.264 7.3.2.1.1, seq_parameter_set_data up to the cropping."""
    bits.u(8)  # the unit's header
    profile = bits.u(8)
    bits.u(16)
    bits.ue()
    chroma, planes, luma_bits, chroma_bits = 1, 0, 8, 8
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135):
        chroma = bits.ue()
        planes = bits.u(1) if chroma == 3 else 0
        luma_bits, chroma_bits = 8 + bits.ue(), 8 + bits.ue()
        bits.u(1)
        if bits.u(1):
            for number in range(8 if chroma != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    bits.ue()
    bits.u(1)
    columns, rows = bits.ue() + 1, bits.ue() + 1
    frames_only = bits.u(1)
    if not frames_only:
        bits.u(1)
    bits.u(1)
    left, right, top, bottom = (bits.ue() for _ in range(4)) if bits.u(1) else (0, 0, 0, 0)
    wide = 2 if chroma in (1, 2) and not planes else 1
    high = (2 if chroma == 1 and not planes else 1) * (2 - frames_only)
    width, height = 16 * columns - wide * (left + right), 16 * rows * (2 - frames_only) - high * (top + bottom)
    return Sps(width, height, chroma, luma_bits, chroma_bits)


def _skip_scaling_list(bits: _Bits, entries: int) -> None:
    """H.264 7.3.2.1.1.1: a delta of 0 in the sum says that the rest repeats the last."""
    last = following = 8
    for _ in range(entries):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _hevc_sps(bits: _Bits) -> Sps:
    """HEVC 7.3.2.2.1, seq_parameter_set_rbsp up to the depth of its samples."""
    bits.u(16)  # the unit's header
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    bits.u(96)  # general profile, tier and level (7.3.3)
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for profile, level in present:
        bits.u(88 * profile + 8 * level)
    bits.ue()
    chroma = bits.ue()
    planes = bits.u(1) if chroma == 3 else 0
    width, height = bits.ue(), bits.ue()
    left, right, top, bottom = (bits.ue() for _ in range(4)) if bits.u(1) else (0, 0, 0, 0)
    wide = 2 if chroma in (1, 2) and not planes else 1
    high = 2 if chroma == 1 and not planes else 1
    return Sps(width - wide * (left + right), height - high * (top + bottom), chroma, 8 + bits.ue(), 8 + bits.ue())
