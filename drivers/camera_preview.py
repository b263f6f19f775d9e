"""How a camera stands, for the technician who put it there: its newest key picture, small, and pixelated by default.

    one key picture, {"pixelate": true} -> python -m drivers.camera_preview (drivers/picture_child.py) -> a JPEG, base64

In blocks of 12 pixels of a picture 480 wide nobody can be recognised, and a lamp, a door or a counter can. The picture
at its full size never leaves that process.
"""

import base64
from typing import TYPE_CHECKING, Any, Final

from drivers import picture_child
from drivers.packets import CameraError, Stream

if TYPE_CHECKING:
    from drivers.picture_child import MatLike

LIMITS: Final = picture_child.Limits(wait_s=10, cpu_s=10, memory_bytes=1 << 30)
WIDTH: Final = 480
BLOCK: Final = 12


def preview(stream: Stream, picture: bytes, *, pixelate: bool) -> str:
    """A JPEG in base64. Blocks for `LIMITS.wait_s` at most. Raises CameraError."""
    made: str | None = picture_child.ask("camera_preview", LIMITS, stream, picture, pixelate=pixelate)
    if made is None:
        raise CameraError("the picture cannot be decoded")
    return made


def scaled(picture: "MatLike", *, pixelate: bool) -> "MatLike":
    """WIDTH pixels wide, and as high as it then is; pixelate: in whole blocks of BLOCK pixels, each their mean."""
    import cv2

    def resized(picture: "MatLike", width: int, height: int, how: int) -> "MatLike":
        return cv2.resize(picture, (width, max(1, height)), interpolation=how)

    height = picture.shape[0] * WIDTH / picture.shape[1]
    if not pixelate:
        return resized(picture, WIDTH, round(height), cv2.INTER_AREA)
    blocks = resized(picture, WIDTH // BLOCK, round(height / BLOCK), cv2.INTER_AREA)
    return resized(blocks, WIDTH, blocks.shape[0] * BLOCK, cv2.INTER_NEAREST)


def _answer(asked: dict[str, Any], data: bytes) -> str | None:
    import cv2

    picture = picture_child.decode(asked["codec"], data)
    if picture is None:
        return None
    return base64.b64encode(cv2.imencode(".jpg", scaled(picture, pixelate=asked["pixelate"]))[1].tobytes()).decode()


if __name__ == "__main__":
    picture_child.serve(_answer)
