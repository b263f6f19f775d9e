"""A camera whose pictures are blacked out in places before anything else in the process has them.

    camera -> decoded, a few a second -> polygons filled with black -> JPEG -> Packet of an MJPEG stream

What comes out is made anew, picture by picture: no thumbnail, no message and no earlier picture in the camera's bytes
comes along. A picture that cannot be decoded comes out without data, and so counts as bad; nothing that the camera sent
is ever passed on. What it costs is in docs/evidence.md.
"""

from collections.abc import Sequence
from math import inf
from typing import Final

import numpy as np

from drivers import jpeg
from drivers.cv2_source import Cv2Source, MatLike, cv2  # it sets what must stand before cv2 is imported
from drivers.mjpeg_http import MjpegHttp
from drivers.packets import CameraError, Packet, Stream, shown

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) in parts of the picture's width and height as it is shown, 0 to 1."""

INTERVAL_S: Final = 0.2
"""From one picture to the next, at least: what somebody does shows, and a slow processor keeps up."""
EARLY_S: Final = INTERVAL_S / 4
"""So much may a picture come before it is due: cameras' times waver."""
STILL_S: Final = 1.0
"""Where the camera's times stand still, a picture counts as due after so long."""
PIXELS_MAX: Final = 4096 * 2160
"""Of a picture: to decode such HEVC takes 220 MB, and the process may have 268."""
JPEG_QUALITY: Final = 85


def read_polygons(told: Sequence[Sequence[Sequence[float]]]) -> tuple[Polygon, ...]:
    """The masks of the first line. Raises ValueError, TypeError where one is none: then nothing is shown at all."""
    polygons = tuple(tuple((float(x), float(y)) for x, y in polygon) for polygon in told)
    if not all(len(polygon) >= 3 and all(0 <= part <= 1 for xy in polygon for part in xy) for polygon in polygons):
        raise ValueError("a mask has three corners or more, in parts of the picture from 0 to 1")
    return polygons


class MaskedSource:
    """An open camera as MJPEG, a picture each INTERVAL_S. Raises CameraError."""

    def __init__(self, source: str, polygons: Sequence[Polygon]) -> None:
        """source: as MjpegHttp or Cv2Source have it."""
        self.stream = Stream("mjpeg")
        self._where, self._polygons = shown(source), polygons
        self._due_s = -inf  # by the camera's times
        self._given_s = -inf  # by ours
        cv2.setNumThreads(1)
        http = source.startswith(("http://", "https://"))
        self._camera = MjpegHttp(source) if http else Cv2Source(source, decoding=True)
        try:
            self._limit(self._camera.stream.width, self._camera.stream.height)
        except CameraError:
            self.close()
            raise

    def read(self) -> Packet:
        """The next picture that is due, with the camera's time and the time of its arrival."""
        packet = self._camera.read()
        while not self._due(packet):
            packet = self._camera.read()
        picture = self._decoded(packet.data)
        data = b"" if picture is None else masked(picture, self._polygons)
        return Packet(data, True, packet.pts_s, packet.dts_s, packet.seen_s)

    def close(self) -> None:
        self._camera.close()

    def _due(self, packet: Packet) -> bool:
        """By the camera's times: what the network held up and then brings at once is thinned out like the rest."""
        early_s = self._due_s - packet.pts_s
        if EARLY_S < early_s <= 2 * INTERVAL_S and packet.seen_s - self._given_s < STILL_S:
            return False
        on_time = -INTERVAL_S < early_s <= EARLY_S  # else the times have stepped
        self._due_s = (self._due_s if on_time else packet.pts_s) + INTERVAL_S
        self._given_s = packet.seen_s
        return True

    def _decoded(self, data: bytes) -> MatLike | None:
        """BGR; None where it is damaged. Raises CameraError for one that is too large."""
        if isinstance(self._camera, Cv2Source) and self._camera.stream.codec != "mjpeg":
            return self._camera.picture()
        size = jpeg.check(data)
        if isinstance(size, str):
            return None
        self._limit(*size)
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            return None

    def _limit(self, width: int, height: int) -> None:
        if width * height > PIXELS_MAX:
            raise CameraError(
                f"{self._where}: pictures of {width} x {height}, allowed with masks are {PIXELS_MAX} pixels;"
                " choose a smaller size in the camera's settings"
            )


def masked(picture: MatLike, polygons: Sequence[Polygon]) -> bytes:
    """The picture as a JPEG, black in the polygons and along their edges. picture: BGR; it is drawn into."""
    height, width = picture.shape[:2]
    for polygon in polygons:  # one by one: together, two that overlap would be clear where they do
        cv2.fillPoly(picture, [np.rint(np.array(polygon) * (width, height)).astype(np.int32)], (0, 0, 0))
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
