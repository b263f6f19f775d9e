"""The process that looks into files of evidence: this file, run as a script. It decodes, and nothing else.

Hostile bytes may do with it what they can: it holds no store and no link, is bounded in memory and time, and whoever
started it kills it and starts another. Nothing that it decrypts touches a disk.

stdin: a JSON line {"identities": [...]}, then one a file: {"path", "media_type", "encrypted", "plain_sha256"}.
stdout: for each a JSON line {"at_s": [of each picture, from the first], "sizes": [of their JPEGs], "thumb": size},
followed by the JPEGs, the small one last; or {"error": one of ERRORS}.
"""

import hashlib
import io
import json
import os
import re
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

ERRORS = ("gone", "locked", "plain", "broken", "large")
MEMORY_BYTES_MAX = 2 * 1024**3
CPU_S_MAX = 15  # of one file
PIXELS_MAX = 1 << 25  # 8K
PICTURES_MAX = 1000
ANSWER_BYTES_MAX = 64 * 1024 * 1024
WIDTH_MAX, THUMB_WIDTH = 1280, 192
QUALITY = 82
BEGINNINGS = {
    "video/mp2t": re.compile(rb"G"),
    "video/x-msvideo": re.compile(rb"RIFF....AVI ", re.DOTALL),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
}
ENVIRONMENT = {
    # no playlist may lead it to other files or hosts, and only what a camera speaks is decoded
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "format_whitelist;mpegts,avi|codec_whitelist;h264,hevc,mjpeg",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(PIXELS_MAX),
    "OPENCV_LOG_LEVEL": "OFF",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What it must be started with: cv2 reads it when it is imported."""


class LookError(Exception):
    """A file that cannot be shown; the text is one of ERRORS."""


def read(path: Path, encrypted: bool, plain_sha256: str, identities: Sequence[Any]) -> bytes:
    """The file's bytes, decrypted and proven. Raises LookError."""
    import pyrage

    try:
        data = path.read_bytes()
    except OSError as error:
        raise LookError("gone") from error
    if encrypted:
        try:
            data = pyrage.decrypt(data, identities)
        except pyrage.DecryptError as error:
            raise LookError("locked") from error
    if plain_sha256 and hashlib.sha256(data).hexdigest() != plain_sha256:
        raise LookError("plain")
    return data


def frames(data: bytes, media_type: str) -> Iterator[tuple[float, Any]]:
    """(seconds after the first, picture in BGR) of each picture. Raises LookError, cv2.error."""
    import cv2
    import numpy as np

    if media_type not in BEGINNINGS or not BEGINNINGS[media_type].match(data):
        raise LookError("broken")
    if media_type == "image/jpeg":
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is not None:
            yield 0.0, picture
        return
    source: Any = io.BytesIO(data)
    video = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT) > PIXELS_MAX:
        raise LookError("large")
    first_ms, at_ms = None, 0.0
    for _ in range(PICTURES_MAX):
        good, picture = video.read()
        if not good:
            return
        now_ms = video.get(cv2.CAP_PROP_POS_MSEC)
        first_ms = now_ms if first_ms is None else first_ms
        at_ms = max(at_ms, now_ms - first_ms)
        yield at_ms / 1000, picture


def jpeg(picture: Any, width_max: int) -> bytes:
    """Encoded, no wider than `width_max`."""
    import cv2

    height, width = picture.shape[:2]
    if width > width_max:
        size = width_max, max(1, round(height * width_max / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def look(data: bytes, media_type: str) -> tuple[list[float], list[bytes], bytes]:
    """Seconds after the first and JPEG of each picture, and a small one of the first. Raises LookError."""
    import cv2

    at_s: list[float] = []
    jpegs: list[bytes] = []
    thumb, room = b"", ANSWER_BYTES_MAX
    try:
        for moment_s, picture in frames(data, media_type):
            thumb = thumb or jpeg(picture, THUMB_WIDTH)
            jpegs.append(jpeg(picture, WIDTH_MAX))
            at_s.append(round(moment_s, 3))
            room -= len(jpegs[-1])
            if room < 0:
                raise LookError("large")
    except (cv2.error, MemoryError) as error:
        raise LookError("broken") from error
    if not jpegs:
        raise LookError("broken")
    return at_s, jpegs, thumb


def bound() -> None:
    """Of this file's work: so much memory and CPU, no file written, no core."""
    used_s = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used_s.ru_utime + used_s.ru_stime) + CPU_S_MAX
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(asked: BinaryIO, said: BinaryIO) -> None:
    """Answers until the input ends."""
    import cv2
    import pyrage

    cv2.setNumThreads(1)
    identities = [pyrage.x25519.Identity.from_str(text) for text in json.loads(asked.readline())["identities"]]
    for line in asked:
        bound()
        wish = json.loads(line)
        try:
            data = read(Path(wish["path"]), wish["encrypted"], wish["plain_sha256"], identities)
            at_s, jpegs, thumb = look(data, wish["media_type"])
            answer, parts = {"at_s": at_s, "sizes": [len(one) for one in jpegs], "thumb": len(thumb)}, [*jpegs, thumb]
        except LookError as error:
            answer, parts = {"error": str(error)}, []
        said.write(json.dumps(answer).encode() + b"\n")
        said.writelines(parts)
        said.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    main(sys.stdin.buffer, answers)
