"""What a camera brings, picture by picture, as it came: values only.

source -> Packet (seen) -> checks -> frame clock (taken) -> ring -> file
"""

from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlsplit

Codec = Literal["h264", "hevc", "mjpeg"]
CameraQuality = Literal["good", "offline", "frozen", "dark", "covered", "drift", "gap", "storage"]


@dataclass(frozen=True, slots=True)
class Stream:
    """What is in the packets.

    parameter_sets: of H.264 and HEVC, in Annex B form, as the camera told them outside of the stream.
    width, height: pixels; 0 where nobody knows yet.
    """

    codec: Codec
    width: int = 0
    height: int = 0
    parameter_sets: bytes = b""


@dataclass(frozen=True, slots=True)
class Packet:
    """One picture as the camera sent it: an access unit in Annex B form, or a JPEG.

    key: it can be decoded without one before it. pts_s, dts_s: when it is shown and decoded, by the camera's clock,
    which counts from anywhere. seen_s: monotonic second at which the read of it returned.
    """

    data: bytes
    key: bool
    pts_s: float
    dts_s: float
    seen_s: float


@dataclass(frozen=True, slots=True)
class Taken:
    """A packet and the monotonic second at which its picture was taken; never later than its `seen_s`."""

    packet: Packet
    taken_s: float


class Source(Protocol):
    """An open camera. `read` waits no longer than a few seconds. Raises CameraError when nothing comes any more."""

    stream: Stream

    def read(self) -> Packet: ...

    def close(self) -> None: ...


class CameraError(Exception):
    """The camera cannot be read: what was found, and what to do next. Never holds its credentials."""


def shown(source: str) -> str:
    """A source as a text may hold it: a url's scheme, host and port alone, or the path of a device or file.

    Cameras take passwords in the user part, in the query, and some in the path.
    """
    if "://" not in source:
        return source
    try:
        url = urlsplit(source)
        port = f":{url.port}" if url.port else ""
    except ValueError:
        return "the source"
    host = url.hostname or ""
    return f"{url.scheme}://[{host}]{port}" if ":" in host else f"{url.scheme}://{host}{port}"
