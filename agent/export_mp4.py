"""One camera's pictures as an MP4 with their true times (ISO/IEC 14496-12, -14 and -15), none of them encoded again.

OpenCV's writer gives every picture a decoding time of one tick and the film a length that is none; here a picture is
shown from its own time until that of the next one, and where pictures are missing the last one stands.
"""

import os
from itertools import pairwise
from pathlib import Path
from typing import Final

from agent.export_streams import TICKS, Clip
from drivers import nal

FROM_1904_S: Final = 2_082_844_800
"""From the beginning of MP4's time to that of 1970."""
LONE_TICKS: Final = TICKS // 10
"""How long the picture of a film of one picture is shown."""
MATRIX: Final = b"".join(value.to_bytes(4, "big") for value in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))


class Mp4:
    """A film that is being written. All clips in it have one codec, one size and the same parameter sets."""

    def __init__(self, path: Path, like: Clip, began_s: int) -> None:
        """began_s: seconds since 1970. Raises OSError here and below."""
        self._like, self._began = like, began_s + FROM_1904_S
        self._samples: list[tuple[int, bool, int, int]] = []
        """(time in ticks, whether a key picture, bytes, where in the file), in the order of decoding."""
        self._file = path.open("xb")
        self._file.write(_box(b"ftyp", b"isom", _u32(512), b"isomiso2avc1mp41"))
        self._mdat = self._file.tell()
        self._file.write(_u32(1) + b"mdat" + bytes(8))

    def add(self, at: int, key: bool, units: list[bytes]) -> None:
        """The next picture in the order of decoding. at: ticks from the first picture of the film on."""
        sample = units[0] if self._like.codec == "mjpeg" else b"".join(_u32(len(unit)) + unit for unit in units)
        self._samples.append((at, key, len(sample), self._file.tell()))
        self._file.write(sample)

    def close(self) -> None:
        """Writes the tables; the film is on the disk when this returns."""
        end = self._file.tell()
        self._file.write(self._movie())
        self._file.seek(self._mdat + 8)
        self._file.write(_u64(end - self._mdat))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _movie(self) -> bytes:
        # Pictures are decoded at the moments at which pictures are shown, and shown late enough that each is decoded.
        shown = sorted(at for at, *_ in self._samples)
        late = max(decoded - at for decoded, (at, *_) in zip(shown, self._samples, strict=True))
        lasts = [after - before for before, after in pairwise(shown)]
        lasts.append(lasts[-1] if lasts else LONE_TICKS)
        length = sum(lasts)
        times = _u64(self._began) * 2
        width, height = self._like.width, self._like.height
        speed = _u32(0x10000) + b"\1\0" + bytes(10)
        header = _full(b"mvhd", 1, 0, times, _u32(TICKS), _u64(length), speed, MATRIX, bytes(24), _u32(2))
        size = _u32(width << 16) + _u32(height << 16)
        track = _full(b"tkhd", 1, 3, times, _u32(1), bytes(4), _u64(length), bytes(16), MATRIX, size)
        begins = _box(b"edts", _full(b"elst", 1, 0, _u32(1), _u64(length), _u64(late), _u32(0x10000))) if late else b""
        media = _full(b"mdhd", 1, 0, times, _u32(TICKS), _u64(length), b"\x55\xc4\0\0")  # language: undetermined
        handler = _full(b"hdlr", 0, 0, bytes(4), b"vide", bytes(12), b"\0")
        data = _box(b"dinf", _full(b"dref", 0, 0, _u32(1), _full(b"url ", 0, 1)))
        tables = _box(
            b"stbl",
            _full(b"stsd", 0, 0, _u32(1), _sample_entry(self._like)),
            _full(b"stts", 0, 0, _runs(lasts)),
            _full(b"ctts", 0, 0, _runs([at + late - when for when, (at, *_) in zip(shown, self._samples, strict=True)]))
            if late
            else b"",
            _full(b"stss", 0, 0, _list([at for at, (_, key, *_) in enumerate(self._samples, 1) if key])),
            _full(b"stsc", 0, 0, _u32(1), _u32(1), _u32(1), _u32(1)),
            _full(b"stsz", 0, 0, bytes(4), _list([size for *_, size, _ in self._samples])),
            _full(b"co64", 0, 0, _u32(len(self._samples)), b"".join(_u64(place) for *_, place in self._samples)),
        )
        information = _box(b"minf", _full(b"vmhd", 0, 1, bytes(8)), data, tables)
        return _box(b"moov", header, _box(b"trak", track, begins, _box(b"mdia", media, handler, information)))


def _sample_entry(like: Clip) -> bytes:
    name, config = _SAMPLE_ENTRIES[like.codec]
    size = like.width.to_bytes(2, "big") + like.height.to_bytes(2, "big")
    picture = bytes(16) + size + _u32(0x480000) * 2 + bytes(4) + b"\0\1" + bytes(32) + b"\0\x18\xff\xff"
    return _box(name, bytes(6) + b"\0\1", picture, config(like))


def _avcc(like: Clip) -> bytes:
    """ISO/IEC 14496-15, 5.3.3.1."""
    sps, pps = (_of_type(like, kind) for kind in nal.PARAMETER_SETS["h264"])
    config = b"\1" + sps[0][1:4] + b"\xff" + bytes([0xE0 | len(sps)]) + b"".join(map(_sized, sps))
    config += bytes([len(pps)]) + b"".join(map(_sized, pps))
    if sps[0][1] in (100, 110, 122, 144):
        config += _sampling(like) + b"\0"
    return _box(b"avcC", config)


def _hvcc(like: Clip) -> bytes:
    """ISO/IEC 14496-15, 8.3.3.1; what it repeats of the SPS stands there in whole bytes (H.265 7.3.3)."""
    arrays = [_of_type(like, kind) for kind in nal.PARAMETER_SETS["hevc"]]
    sps = nal.without_prevention(arrays[1][0])
    layers = ((sps[2] >> 1 & 7) + 1) << 3 | (sps[2] & 1) << 2
    config = b"\1" + sps[3:15] + b"\xf0\0\xfc" + _sampling(like) + b"\0\0" + bytes([layers | 3, len(arrays)])
    for kind, units in zip(nal.PARAMETER_SETS["hevc"], arrays, strict=True):
        config += bytes([0x80 | kind]) + len(units).to_bytes(2, "big") + b"".join(map(_sized, units))
    return _box(b"hvcC", config)


def _sampling(like: Clip) -> bytes:
    """Chroma format and the depth of luma and chroma beyond 8 bits, each behind bits that are all 1."""
    sps = nal.sps(like.codec, b"".join(nal.START + unit for unit in like.parameter_sets))
    assert sps is not None  # noqa: S101  the clip's size is of it
    return bytes([0xFC | sps.chroma, 0xF8 | sps.luma_bits - 8, 0xF8 | sps.chroma_bits - 8])


def _esds(_: Clip) -> bytes:
    """JPEG as ISO/IEC 14496-1 names it: object type 0x6C in a visual stream."""
    decoder = b"\x04\x0d\x6c\x11" + bytes(11)
    return _full(b"esds", 0, 0, b"\x03" + bytes([3 + len(decoder) + 3]) + bytes(3) + decoder + b"\x06\x01\x02")


_SAMPLE_ENTRIES: Final = {"h264": (b"avc1", _avcc), "hevc": (b"hvc1", _hvcc), "mjpeg": (b"mp4v", _esds)}


def _of_type(like: Clip, kind: int) -> list[bytes]:
    return [unit for unit in like.parameter_sets if nal.kind(like.codec, unit) == kind]


def _sized(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


def _runs(values: list[int]) -> bytes:
    """A table of (how many, value) for values that follow each other."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] == value:
            runs[-1][0] += 1
        else:
            runs.append([1, value])
    return _u32(len(runs)) + b"".join(_u32(count) + _u32(value) for count, value in runs)


def _list(values: list[int]) -> bytes:
    return _u32(len(values)) + b"".join(map(_u32, values))


def _full(name: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(name, bytes([version]), flags.to_bytes(3, "big"), *parts)


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _u32(8 + len(body)) + name + body


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")
