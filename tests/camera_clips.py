"""What ffmpeg encodes, as a camera's packets; and what ffmpeg and ffprobe find in a file."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from drivers.packets import Codec, Packet, Taken

FPS = 15
GOP = 15
X264 = "-c:v libx264 -preset ultrafast -x264-params keyint=15:min-keyint=15:scenecut=0:repeat-headers=1"
X265 = "-c:v libx265 -preset ultrafast -x265-params keyint=15:min-keyint=15:scenecut=0:repeat-headers=1:log-level=none"
ENCODERS = {"h264": X264, "hevc": X265 + ":open-gop=0", "mjpeg": "-c:v mjpeg -q:v 5"}
FILMS = {
    "h264": "-c:v libx264 -preset ultrafast -g 10",
    "b-frames": "-c:v libx264 -preset medium -bf 2 -g 10",
    "hevc": "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=10",
    "mjpeg": "-c:v mjpeg",
}
FORMS = {"video/mp2t": "mpegts", "video/x-msvideo": "avi", "image/jpeg": "image2pipe"}


def run(words: str, data: bytes = b"") -> bytes:
    """What ffmpeg or ffprobe writes. Raises CalledProcessError with what it says."""
    done = subprocess.run(words.split(), input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@cache
def encoded(codec: Codec, b_frames: int = 0, pictures: int = 45, size: str = "320x180") -> tuple[Taken, ...]:
    """Test pictures at FPS in GOPs of a second; each was taken a tenth of a second before it was seen."""
    source = f"-f lavfi -i testsrc2=size={size}:rate={FPS} -frames:v {pictures} -pix_fmt yuvj420p"
    form = "nut" if codec == "mjpeg" else "mpegts"
    stream = run(f"ffmpeg -v error {source} {ENCODERS[codec]} -bf {b_frames} -f {form} -")
    told = json.loads(run(f"ffprobe -v error -f {form} -show_packets -show_data -of json -", stream))["packets"]
    return tuple(_taken(packet) for packet in told)


def film(path: Path, kind: str, seconds: float = 2) -> Path:
    """Ten pictures a second, 160 x 120; the suffix says in what."""
    run(f"ffmpeg -v error -f lavfi -i testsrc2=size=160x120:rate=10:duration={seconds} {FILMS[kind]} {path}")
    return path


def probed(path: Path) -> list[tuple[float, bool]]:
    """(time of showing from the first one on, key) of each packet as ffprobe has them, in their order."""
    packets = json.loads(run(f"ffprobe -v error -show_entries packet=pts_time,flags -of json {path}"))["packets"]
    first_s = float(packets[0]["pts_time"])
    return [(float(packet["pts_time"]) - first_s, "K" in packet["flags"]) for packet in packets]


def packets_of(file: bytes, form: str) -> list[dict[str, Any]]:
    """What ffprobe reads in it, packet by packet."""
    return list(json.loads(run(f"ffprobe -v error -f {form} -show_packets -of json -", file))["packets"])


def stream_of(file: bytes, form: str) -> dict[str, Any]:
    """What ffprobe says of its only stream."""
    (stream,) = json.loads(run(f"ffprobe -v error -f {form} -show_streams -of json -", file))["streams"]
    return dict(stream)


def elementary(file: bytes, form: str, codec: Codec) -> bytes:
    """The elementary stream as ffmpeg takes it out."""
    return run(f"ffmpeg -v error -f {form} -i - -c copy -f {codec} -", file)


def decoded(file: bytes, form: str) -> int:
    """How many pictures ffmpeg decodes, without a word of complaint."""
    frames = run(f"ffmpeg -v error -xerror -f {form} -i - -fps_mode passthrough -f framemd5 -", file)
    return sum(not line.startswith(b"#") for line in frames.splitlines())


def _taken(told: dict[str, Any]) -> Taken:
    lines = told["data"].strip().splitlines()
    data = bytes.fromhex("".join(line[10:49] for line in lines))
    assert len(data) == int(told["size"])
    pts_s, dts_s = float(told["pts_time"]), float(told["dts_time"])
    packet = Packet(data, "K" in told["flags"], 5000 + pts_s, 5000 + dts_s, 100.1 + pts_s)
    return Taken(packet, 100 + pts_s)
