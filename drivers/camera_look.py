"""A look at one key picture: does the camera see anything? Decoded in a process of its own, which lives as long.

    codec, line end, parameter sets and one key picture -> python -m drivers.camera_look -> {"luma", "contrast", "grid"}

A picture that crashes the decoder, or keeps it busy for ever, costs one look. What a row of looks means is pure.
"""

import hashlib
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from drivers.packets import CameraError, CameraQuality, Stream

CPU_S, WAIT_S, MEMORY_BYTES = 10, 30, 1 << 30
"""A look takes 0.2 s of a desktop's processor and 2 s of a small Pi's; three quarters of it load the library."""
GRID: Final = (16, 9)
LOOKS: Final = 3
"""So many looks in a row say the same before it is believed."""
DARK_LUMA: Final = 16.0
FLAT_CONTRAST: Final = 6.0
"""A cloth or hand over the lens leaves less; fog, and a wall with something on it, more."""


@dataclass(frozen=True, slots=True)
class Look:
    """luma: the mean, 0 to 255. contrast: the standard deviation of luma over a picture 160 pixels wide.

    grid: a hash of the mean luma of 16 x 9 fields, to a sixteenth of a step; the noise of any sensor changes it.
    """

    luma: float
    contrast: float
    grid: str


def judge(looks: Sequence[Look | None]) -> tuple[CameraQuality, str]:
    """What the latest LOOKS of them say, the oldest first; None: a picture that cannot be decoded."""
    last = list(looks)[-LOOKS:]
    seen = [look for look in last if look is not None]
    if len(last) < LOOKS or 0 < len(seen) < LOOKS:
        return "good", ""
    if not seen:
        return "offline", "its pictures cannot be decoded; restart the camera, and look at its settings"
    luma, contrast = max(look.luma for look in seen), max(look.contrast for look in seen)
    if luma < DARK_LUMA and contrast < DARK_LUMA:
        return "dark", f"nothing can be seen: the picture's mean luma is {luma:.0f} of 255; check lens and light"
    if contrast < FLAT_CONTRAST:
        return "covered", f"nothing can be told apart: contrast {contrast:.1f} of 255; check what is before the lens"
    if len({look.grid for look in seen}) == 1:
        return "frozen", f"the last {LOOKS} pictures looked at are the same; restart the camera"
    return "good", ""


def look(stream: Stream, picture: bytes) -> Look | None:
    """Looks at a key picture; None where it cannot be decoded. Blocks for WAIT_S at most.

    Raises CameraError when no look was possible: no memory, no library, a decoder that crashed.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "drivers.camera_look"],
            input=stream.codec.encode() + b"\n" + stream.parameter_sets + picture,
            capture_output=True,
            check=False,
            timeout=WAIT_S,
        )
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        return None if found is None else Look(**found)
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError) as error:
        raise CameraError(f"no look at a picture was possible: {type(error).__name__}") from None


def measure(codec: str, data: bytes) -> Look | None:
    """Decodes and measures in this process; None: cannot be decoded."""
    import cv2
    import numpy as np

    cv2.setNumThreads(1)
    try:
        if codec == "mjpeg":
            grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_4)
        else:
            file: Any = io.BytesIO(data)  # OpenCV's types know no file of Python's, OpenCV does
            capture = cv2.VideoCapture(file, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
            got, picture = capture.read()
            grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if got else None
        if grey is None:
            return None
        small = cv2.resize(grey, (160, 90), interpolation=cv2.INTER_AREA).astype(np.float32)
        grid = cv2.resize(grey.astype(np.float32), GRID, interpolation=cv2.INTER_AREA)
    except cv2.error:
        return None
    fields = np.rint(grid * 16).astype("<u2").tobytes()
    return Look(round(float(small.mean()), 2), round(float(small.std()), 2), hashlib.sha256(fields).hexdigest()[:16])


def main() -> None:
    """Reads one picture from stdin, prints one line. The limits are its own, so that no thread of a parent forks."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    os.environ |= {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    codec = sys.stdin.buffer.readline().decode().strip()
    seen = measure(codec, sys.stdin.buffer.read())
    sys.stdout.write(json.dumps(None if seen is None else asdict(seen)) + "\n")


if __name__ == "__main__":
    main()
