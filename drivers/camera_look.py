"""A look at one key picture: does the camera see anything? Decoded in a process of its own, which lives as long.

    one key picture -> python -m drivers.camera_look (drivers/picture_child.py) -> {"luma", "contrast", "grid"} or null

A picture that crashes the decoder, or keeps it busy for ever, costs one look. What a row of looks means is pure.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from drivers import picture_child
from drivers.packets import CameraError, CameraQuality, Stream

LIMITS: Final = picture_child.Limits(wait_s=30, cpu_s=10, memory_bytes=1 << 30)
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
    """Looks at a key picture; None where it cannot be decoded. Blocks for `LIMITS.wait_s` at most.

    Raises CameraError when no look was possible: no memory, no library, a decoder that crashed.
    """
    try:
        found = picture_child.ask("camera_look", LIMITS, stream, picture)
        return None if found is None else Look(**found)
    except (CameraError, TypeError) as error:
        raise CameraError(f"no look at a picture was possible: {error}") from None


def measure(codec: str, data: bytes) -> Look | None:
    """Decodes and measures in this process; None: cannot be decoded."""
    import cv2
    import numpy as np

    try:
        grey = picture_child.decode(codec, data, small=True)
        if grey is None:
            return None
        small = cv2.resize(grey, (160, 90), interpolation=cv2.INTER_AREA).astype(np.float32)
        grid = cv2.resize(grey.astype(np.float32), GRID, interpolation=cv2.INTER_AREA)
    except cv2.error:
        return None
    fields = np.rint(grid * 16).astype("<u2").tobytes()
    return Look(round(float(small.mean()), 2), round(float(small.std()), 2), hashlib.sha256(fields).hexdigest()[:16])


def main() -> None:
    with suppress(OSError):  # where a sandbox forbids it; nobody waits for a look
        os.nice(10)
    picture_child.serve(_answer)


def _answer(asked: dict[str, Any], data: bytes) -> dict[str, Any] | None:
    seen = measure(asked["codec"], data)
    return None if seen is None else asdict(seen)


if __name__ == "__main__":
    main()
