"""The process that decodes pictures for the page of an export: `export_decode.py FILE ...`, one JSON line for each.

It knows nothing of the agent, and has limits of its own: what it decodes may be hostile.
"""

import base64
import json
import resource
import sys
from typing import Any, Final

MEMORY_BYTES: Final = 2 << 30
CPU_S: Final = 25
WIDTH_MAX: Final = 320
JPEG_QUALITY: Final = 80


def main(paths: list[str]) -> None:
    """Prints {"jpeg": base64, "problem": ""}, or why there is none."""
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    import cv2

    cv2.setNumThreads(1)
    for path in paths:
        try:
            jpeg, problem = _small(cv2, path), ""
        except (cv2.error, ValueError, MemoryError) as error:
            jpeg, problem = "", str(error)
        sys.stdout.write(json.dumps({"jpeg": jpeg, "problem": problem}) + "\n")
        sys.stdout.flush()


def _small(cv2: Any, path: str) -> str:
    picture = cv2.imread(path) if path.endswith(".jpg") else cv2.VideoCapture(path, cv2.CAP_FFMPEG).read()[1]
    if picture is None:
        raise ValueError("it cannot be decoded")
    height, width = picture.shape[:2]
    scale = min(1, WIDTH_MAX / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
