"""What is in a plain file of evidence: its pictures, as the camera sent them, with their times. Pure.

MPEG-TS with H.264 or HEVC (ISO/IEC 13818-1), AVI with Motion JPEG (RIFF), or one JPEG. Written here and not asked of
OpenCV: that counts the times of a TS in pictures of a nominal rate, and what a camera made may be damaged or hostile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from drivers import jpeg, nal
from drivers.packets import Codec

TICKS: Final = 90_000
"""A second, as MPEG-TS counts it."""
PTS_WRAP: Final = 1 << 33
PACKET_BYTES: Final = 188
STREAM_TYPES: Final[dict[int, Codec]] = {0x1B: "h264", 0x24: "hevc"}
PICTURES_MAX: Final = 1_000_000
"""In one file, which holds about a second; an AVI also counts the ticks, of a millisecond, between two pictures."""


class Picture(NamedTuple):
    """at: ticks after the file's first picture, as shown. units: NAL units without start codes, or one JPEG."""

    at: int
    key: bool
    units: list[bytes]


@dataclass(frozen=True)
class Clip:
    """A file's pictures in the order of the file, which begins with a key picture.

    width, height: pixels. parameter_sets: NAL units of H.264 (SPS, PPS) or HEVC (VPS, SPS, PPS), each once; the
    pictures are without them.
    """

    codec: Codec
    width: int
    height: int
    parameter_sets: tuple[bytes, ...]
    pictures: list[Picture]


def read_clip(media_type: str, data: bytes) -> Clip:
    """The pictures of a file. Raises ValueError with what was found where something else is wanted."""
    reader = _READERS.get(media_type)
    if reader is None:
        raise ValueError(f"media type {media_type!r}; {', '.join(_READERS)} are known")
    try:
        clip = reader(data)
    except (IndexError, RecursionError):
        raise ValueError("it ends in the middle of a structure") from None
    if not clip.pictures:
        raise ValueError("there is no picture in it")
    first = min(picture.at for picture in clip.pictures)
    pictures = [Picture(picture.at - first, picture.key, picture.units) for picture in clip.pictures]
    pictures[0] = pictures[0]._replace(key=True)  # an open GOP begins with a recovery point and no IDR picture
    return Clip(clip.codec, clip.width, clip.height, clip.parameter_sets, pictures)


# ---- MPEG-TS


def _ts(data: bytes) -> Clip:
    codec, access_units = _access_units(data)
    order = [*nal.PARAMETER_SETS[codec]]
    sets: list[bytes] = []
    pictures = []
    for at, access_unit in access_units:
        slices = []
        for unit in filter(None, nal.units(access_unit)):
            if nal.kind(codec, unit) not in order:
                slices.append(unit)
            elif unit not in sets:
                sets.append(unit)
        pictures.append(Picture(at, nal.is_key(codec, access_unit), slices))
    sets.sort(key=lambda unit: order.index(nal.kind(codec, unit)))
    if not {nal.kind(codec, unit) for unit in sets} >= {*order[-2:]}:  # the VPS of HEVC decodes nothing
        raise ValueError("the parameter sets are missing: nobody can decode it")
    found = nal.sps(codec, b"".join(nal.START + unit for unit in sets))
    if found is None:
        raise ValueError(f"its SPS tells no size; a side has 1 to {nal.SIDE_MAX} pixels")
    return Clip(codec, found.width, found.height, tuple(sets), pictures)


def _access_units(data: bytes) -> tuple[Codec, list[tuple[int, bytes]]]:
    """(codec, (time in ticks, access unit) of each PES packet of the first video stream)."""
    codec: Codec | None = None
    map_pid = video_pid = -1
    packets: list[bytearray] = []
    for start in range(0, len(data), PACKET_BYTES):
        packet = data[start : start + PACKET_BYTES]
        if len(packet) < PACKET_BYTES or packet[0] != 0x47:
            raise ValueError(f"byte {start} begins no packet of MPEG-TS (0x47 and {PACKET_BYTES} bytes)")
        pid, begins, control = (packet[1] & 0x1F) << 8 | packet[2], packet[1] & 0x40, packet[3] >> 4 & 3
        payload = packet[4 + (packet[4] + 1 if control & 2 else 0) :] if control & 1 else b""
        if not payload:
            continue
        if pid == 0 and begins and map_pid < 0:
            table = _section(payload, 0)
            programs = [table[at : at + 4] for at in range(8, len(table), 4)]
            map_pid = next(((p[2] & 0x1F) << 8 | p[3] for p in programs if p[:2] != b"\0\0"), -1)
        elif pid == map_pid and begins and video_pid < 0:
            table = _section(payload, 2)
            at = 12 + ((table[10] & 0x0F) << 8 | table[11])
            while at + 5 <= len(table) and codec is None:
                codec, video_pid = STREAM_TYPES.get(table[at]), (table[at + 1] & 0x1F) << 8 | table[at + 2]
                at += 5 + ((table[at + 3] & 0x0F) << 8 | table[at + 4])
        elif pid == video_pid:
            if begins:
                packets.append(bytearray(payload))
            elif packets:
                packets[-1] += payload
    if codec is None:
        raise ValueError("no stream of H.264 or HEVC is in it")
    found: list[tuple[int, bytes]] = []
    for pes in packets:
        if pes[:3] != b"\0\0\1" or not pes[7] & 0x80:
            raise ValueError("a PES packet begins without start code or time")
        p = pes[9:14]
        pts = (p[0] >> 1 & 7) << 30 | p[1] << 22 | p[2] >> 1 << 15 | p[3] << 7 | p[4] >> 1
        if found:  # the nearest to the one before: the counter may have begun anew
            pts += round((found[-1][0] - pts) / PTS_WRAP) * PTS_WRAP
        end = 6 + int.from_bytes(pes[4:6], "big") if pes[4:6] != b"\0\0" else len(pes)
        found.append((pts, bytes(pes[9 + pes[8] : end])))
    return codec, found


def _section(payload: bytes, table: int) -> bytes:
    """A table that begins in this packet, without its checksum."""
    section = payload[1 + payload[0] :]
    length = (section[1] & 0x0F) << 8 | section[2]
    if section[0] != table or len(section) < 3 + length:
        raise ValueError(f"the tables of MPEG-TS are broken: table {section[0]} of {length} bytes")
    return section[: 3 + length - 4]


# ---- AVI and JPEG


def _avi(data: bytes) -> Clip:
    if data[:4] != b"RIFF" or data[8:12] != b"AVI ":
        raise ValueError(f"it begins with {data[:12]!r}, not with RIFF and AVI")
    scale, rate, count = 0, 0, 0
    pictures: list[Picture] = []
    for name, chunk in _chunks(data, 12, len(data)):
        if name == b"strh" and chunk[:4] == b"vids" and not rate:
            scale, rate = (int.from_bytes(chunk[at : at + 4], "little") for at in (20, 24))
        elif name[2:] in (b"dc", b"db") and rate:
            if chunk:  # an empty one stands for the picture before it
                pictures.append(Picture(round(count * scale * TICKS / rate), True, [chunk]))
            count += 1
            if count > PICTURES_MAX:
                raise ValueError(f"more than {PICTURES_MAX} pictures; a file holds about a second")
    if not pictures:
        raise ValueError("no stream of pictures is in it")
    return Clip("mjpeg", *_jpeg_size(pictures[0].units[0]), (), pictures)


def _chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """(name, bytes) of the chunks of a RIFF file, those in its lists too."""
    while at + 8 <= end:
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > end:
            raise ValueError(f"the chunk at byte {at} has {size} bytes, and {end - at - 8} are there")
        if name == b"LIST":
            yield from _chunks(data, at + 12, at + 8 + size)
        else:
            yield name, data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _jpeg(data: bytes) -> Clip:
    return Clip("mjpeg", *_jpeg_size(data), (), [Picture(0, True, [data])])


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Raises ValueError."""
    size = jpeg.check(data)
    if isinstance(size, str):
        raise ValueError(size)
    return size


_READERS: Final[dict[str, Callable[[bytes], Clip]]] = {"video/mp2t": _ts, "video/x-msvideo": _avi, "image/jpeg": _jpeg}
