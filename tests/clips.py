"""Files of evidence as a box makes them, by ffmpeg and age alone, for the tests of central and of its page."""

import hashlib
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any

import pyrage
import pytest

FFMPEG = which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg here: apt-get install ffmpeg (make test does it)")
PIECE_BYTES = 4096
FPS = 10
ENCODERS = {
    "h264": ("video/mp2t", "mpegts", "libx264", "-bf", "0", "-sc_threshold", "0"),
    "hevc": ("video/mp2t", "mpegts", "libx265", "-x265-params", "log-level=none:scenecut=0:bframes=0"),
    "mjpeg": ("video/x-msvideo", "avi", "mjpeg", "-q:v", "5"),
}


@dataclass(frozen=True)
class Stored:
    """One file: its bytes as they are uploaded, and its entry in a `status.evidence`."""

    data: bytes
    entry: dict[str, Any]

    @property
    def sha256(self) -> str:
        return str(self.entry["sha256"])

    def pieces(self, size: int = PIECE_BYTES) -> list[tuple[str, bytes]]:
        """(part of the topic, bytes) of each piece."""
        return [(f"media/{self.sha256}/{at}", self.data[at : at + size]) for at in range(0, len(self.data), size)]


def moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stored(
    plain: bytes, media_type: str, begins_s: float = 0.0, lasts_s: float = 0.9, recipient: str = "", **more: Any
) -> Stored:
    """plain: what a player plays; recipient: an age public key to encrypt it to."""
    data = pyrage.encrypt(plain, [pyrage.x25519.Recipient.from_str(recipient)]) if recipient else plain
    entry = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "plain_sha256": hashlib.sha256(plain).hexdigest(),
        "bytes": len(data),
        "media_type": media_type,
        "from": moment(begins_s),
        "to": moment(begins_s + lasts_s),
        "role": "during",
        **({"encrypted": "age"} if recipient else {}),
        **more,
    }
    return Stored(data, entry)


@cache
def gops(codec: str, seconds: int) -> tuple[bytes, ...]:
    """A moving test picture of 320x180, a file a second."""
    _, muxer, *encoder = ENCODERS[codec]
    with TemporaryDirectory() as directory:
        source = f"testsrc=size=320x180:rate={FPS}:duration={seconds}"
        cut = ["-map", "0", "-g", str(FPS), "-pix_fmt", "yuvj420p" if codec == "mjpeg" else "yuv420p", "-f", "segment"]
        cut += ["-segment_time", "1", "-segment_format", muxer, "-reset_timestamps", "1", f"{directory}/%03d"]
        call = [str(FFMPEG), "-v", "error", "-f", "lavfi", "-i", source, "-c:v", *encoder, *cut]
        subprocess.run(call, check=True, stdin=subprocess.DEVNULL)
        return tuple(path.read_bytes() for path in sorted(Path(directory).iterdir()))


def clip(codec: str, seconds: int, begins_s: float, recipient: str = "") -> list[Stored]:
    """A clip that begins at this second since 1970."""
    return [
        stored(data, ENCODERS[codec][0], begins_s + at, recipient=recipient)
        for at, data in enumerate(gops(codec, seconds))
    ]


@cache
def jpeg(size: str = "320x180") -> bytes:
    call = [str(FFMPEG), "-v", "error", "-f", "lavfi", "-i", f"testsrc=size={size}", "-frames:v", "1"]
    return subprocess.run([*call, "-f", "mjpeg", "-"], check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def key_picture(at_s: float, recipient: str = "") -> Stored:
    """A picture alone."""
    return stored(jpeg(), "image/jpeg", at_s, 0.0, recipient, key_frame=True)
