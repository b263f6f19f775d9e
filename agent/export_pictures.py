"""Small pictures for the page of an export, decoded in another process: what a camera made may break a decoder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from agent.export_mp4 import Mp4
from agent.export_streams import Clip

DECODER: Final = Path(__file__).with_name("export_decode.py")
BATCH: Final = 20
"""Pictures for one process."""
BATCH_S: Final = 30
"""The longest that one may take."""
ENVIRONMENT: Final = {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file"}


class Thumbnail(NamedTuple):
    """jpeg: in base64, "" where there is none; then `problem` says why."""

    jpeg: str
    problem: str = ""


def thumbnails(clips: list[Clip]) -> list[Thumbnail]:
    """The first key picture of each clip, decoded and made small. Raises OSError."""
    found: list[Thumbnail] = []
    while len(found) < len(clips):
        found += _batch(clips[len(found) : len(found) + BATCH])
    return found


def _batch(clips: list[Clip]) -> list[Thumbnail]:
    """As many as one process could do; the one at which it broke counts as done."""
    with TemporaryDirectory() as folder:
        paths = [_alone(Path(folder), number, clip) for number, clip in enumerate(clips)]
        command = [sys.executable, "-P", str(DECODER), *paths]
        try:
            environment = os.environ | ENVIRONMENT
            done = subprocess.run(command, check=False, capture_output=True, timeout=BATCH_S, env=environment)
            out, broke = done.stdout, _how_it_ended(done.returncode, done.stderr)
        except subprocess.TimeoutExpired as late:
            out, broke = late.stdout or b"", f"nothing came of it in {BATCH_S} s"
    found = [Thumbnail(**json.loads(line)) for line in out.splitlines(keepends=True) if line.endswith(b"\n")]
    return found if len(found) == len(clips) else [*found, Thumbnail("", broke)]


def _alone(folder: Path, number: int, clip: Clip) -> str:
    """The clip's first picture in a file that only its decoder has to understand."""
    if clip.codec == "mjpeg":
        path = folder / f"{number}.jpg"
        path.write_bytes(clip.pictures[0].units[0])
        return str(path)
    path = folder / f"{number}.mp4"
    mp4 = Mp4(path, clip, 0)
    mp4.add(0, True, clip.pictures[0].units)
    mp4.close()
    return str(path)


def _how_it_ended(code: int, said: bytes) -> str:
    last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return f"the decoder was ended by signal {-code}" if code < 0 else f"the decoder ended with {code}: {last}"
