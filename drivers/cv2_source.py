"""A camera or file read by OpenCV, with FFmpeg inside: RTSP, V4L2 (MJPEG), video files. Nothing is decoded, unless it
is asked for.

Sets variables of OpenCV in this process's environment, which must stand before cv2 is imported: import it in a process
of its own. What FFmpeg prints while a camera is opened is read for the reason why it does not open, and goes nowhere.

Times: CAP_PROP_POS_MSEC is the picture's time of showing, exact to the stream's own ticks, minus the stream's start,
which FFmpeg sets anew within the first pictures of RTSP. CAP_PROP_PTS does not move with it, but is rounded to whole
pictures: it tells by how much. OpenCV tells no decoding times: they are made (drivers/decode_times.py).
"""

import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from drivers import nal
from drivers.decode_times import DecodeTimes, depth
from drivers.packets import CameraError, Codec, Packet, Stream, shown

WAIT_S: Final = 5
"""For an answer, and for a picture."""
os.environ |= {
    # it replaces the default, which is TCP; 0.2 s of pictures are enough to know a stream, the default are 5; a
    # camera's sound would put its pictures on another clock at the first RTCP report
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_transport;tcp|analyzeduration;200000|allowed_media_types;video",
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": str(WAIT_S),
    "OPENCV_LOG_LEVEL": "SILENT",
}
import cv2 as cv2  # noqa: E402
from cv2.typing import MatLike as MatLike  # noqa: E402

CODECS: Final[dict[str, Codec]] = {
    **dict.fromkeys(("h264", "avc1"), "h264"),
    **dict.fromkeys(("hevc", "hev1", "hvc1"), "hevc"),
    **dict.fromkeys(("mjpg", "jpeg"), "mjpeg"),
}
START_PICTURES: Final = 64
"""FFmpeg's start of a stream moves within the first pictures only."""
AHEAD_PICTURES, AHEAD_S = 8, 1.0
"""Read when a camera is opened, at most, to see the order of its pictures."""
REASONS: Final = (
    (r"failed: 40[13]", "the camera refuses the user and password, or wants some; check both"),
    (r"failed: 404", "the camera does not know this path; look up the address of its stream"),
    (r"failed: (453|503)", "the camera has no stream free; close what else looks at it"),
    (r"failed: (\d{3})", "the camera answers with RTSP status {}; look up the address of its stream"),
    (r"resolve hostname", "no host of this name is known; check the address and the network's DNS"),
    (r"Connection refused", "nobody listens there; check the port, and that the camera's RTSP is switched on"),
    (r"No route to host|unreachable", "there is no way to it; check the camera's power and network"),
)


class Cv2Source:
    """An open camera, device or file. Raises CameraError.

    A file plays in real time, over and over, and its times go on: a camera for a demo or a test.

    decoding: H.264 and HEVC are decoded. Pictures come in the order in which they are shown, each without `data`;
    `picture` has the one read last. JPEGs come as they are all the same.
    """

    def __init__(self, source: str, *, decoding: bool = False) -> None:
        self._source, self._where, self._decoding = source, shown(source), decoding
        self._closed = threading.Event()
        self._is_file = False
        if "://" in source:
            if urlsplit(source).scheme not in ("rtsp", "rtsps"):
                raise CameraError(f"{self._where}: allowed are rtsp, rtsps, http and https, /dev/videoN or a file")
            self._backend = cv2.CAP_FFMPEG
        else:
            self._is_file = _is_file(source)
            self._backend = cv2.CAP_FFMPEG if self._is_file else cv2.CAP_V4L2
        self._open()
        self._shift_s = 0.0  # how far FFmpeg has moved its start, and what a file has played before
        self._off_s: float | None = None
        self._pictures = 0
        self._newest_s = 0.0
        self._due_s: float | None = None
        self._ahead: deque[tuple[bytes, bool, float, float]] = deque()
        if not self._in_order:
            until_s = time.monotonic() + AHEAD_S
            while len(self._ahead) < AHEAD_PICTURES and time.monotonic() < until_s:
                self._ahead.append(self._grab())
        self._decode_times = DecodeTimes(depth(pts_s for _, _, pts_s, _ in self._ahead), self._interval_s)

    def read(self) -> Packet:
        """The next picture, unchecked. Raises CameraError when none comes within WAIT_S."""
        data, key, pts_s, seen_s = self._ahead.popleft() if self._ahead else self._grab()
        dts_s = pts_s if self._in_order else self._decode_times.decoded_s(pts_s)
        if self._is_file:
            seen_s = self._pace(dts_s)
        return Packet(data, key, pts_s, dts_s, seen_s)

    def picture(self) -> MatLike | None:
        """The picture of the last `read`, BGR; None where it cannot be had. Only where it was decoded."""
        try:
            got, picture = self._capture.retrieve()
        except cv2.error:
            return None
        return picture if got else None

    def close(self) -> None:
        self._closed.set()
        self._capture.release()

    def _open(self) -> None:
        wait_ms = 1000 * WAIT_S
        if self._backend == cv2.CAP_FFMPEG:
            # more threads than one hold back as many pictures
            asked = [cv2.CAP_PROP_N_THREADS, 1] if self._decoding else [cv2.CAP_PROP_FORMAT, -1]
            asked += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, wait_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, wait_ms]
        else:
            asked = [cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"), cv2.CAP_PROP_CONVERT_RGB, 0]
        started_s = time.monotonic()
        with _overheard() as said:
            try:
                self._capture = cv2.VideoCapture(self._source, self._backend, asked)
                opened = self._capture.isOpened()
            except cv2.error:
                opened = False
        if not opened:
            waited = time.monotonic() - started_s >= WAIT_S - 0.5
            raise CameraError(f"{self._where}: {_reason(said[0], waited)}")
        fourcc = int(self._get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        name = fourcc.to_bytes(4, "little").decode("latin-1")
        codec = CODECS.get(name.lower())
        if codec is None:
            self._capture.release()
            raise CameraError(
                f"{self._where}: the camera sends {name!r}, allowed is H.264, HEVC or MJPEG; change its settings"
            )
        self._in_order = self._decoding or codec == "mjpeg"
        self._decoded = self._decoding and codec != "mjpeg"
        if self._decoding and not self._decoded and self._backend == cv2.CAP_FFMPEG:
            self._capture.set(cv2.CAP_PROP_FORMAT, -1)
        fps = self._get(cv2.CAP_PROP_FPS)
        self._interval_s = 1 / fps if 0.1 <= fps <= 240 else 0.04
        self.stream = Stream(
            codec,
            max(0, int(self._get(cv2.CAP_PROP_FRAME_WIDTH))),
            max(0, int(self._get(cv2.CAP_PROP_FRAME_HEIGHT))),
            b"" if self._in_order else nal.parameter_sets(codec, self._extradata()),
        )

    def _get(self, what: int) -> float:
        return float(self._capture.get(what))

    def _extradata(self) -> bytes:
        """Parameter sets that stand outside of the stream: in Annex B form those of RTSP, not those of files."""
        index = int(self._get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX))
        found, data = self._capture.retrieve(None, index) if index >= 0 else (False, None)
        return data.tobytes() if found and data is not None else b""

    def _grab(self) -> tuple[bytes, bool, float, float]:
        """(data, key, pts_s, seen_s) of the next picture; a file begins again at its end."""
        got, data = self._read()
        if not got and self._is_file and self._pictures:
            self._capture.release()
            self._open()
            self._shift_s, self._off_s, self._pictures = self._newest_s + self._interval_s, None, 0
            got, data = self._read()
        if not got:
            found = "there is no picture in it" if self._is_file else f"the stream ended, or nothing came in {WAIT_S} s"
            raise CameraError(f"{self._where}: {found}; it is opened again")
        seen_s = time.monotonic()
        key = self._in_order or self._get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) > 0
        pts_s = self._shown_s()
        self._newest_s = max(self._newest_s, pts_s)
        return data, key, pts_s, seen_s

    def _read(self) -> tuple[bool, bytes]:
        try:
            if self._decoded:
                return self._capture.grab(), b""
            got, data = self._capture.read()
        except cv2.error:
            return False, b""
        return (True, data.tobytes()) if got and data is not None else (False, b"")

    def _shown_s(self) -> float:
        """When the picture just read is shown: FFmpeg's time, kept where it was when FFmpeg's start moves."""
        at_s = self._get(cv2.CAP_PROP_POS_MSEC) / 1000
        off_s = self._get(cv2.CAP_PROP_PTS) * self._interval_s - at_s
        if self._off_s is None:
            self._off_s = off_s
        elif self._pictures < START_PICTURES and self._backend == cv2.CAP_FFMPEG:
            moved = round((off_s - self._off_s) / self._interval_s)
            self._shift_s += moved * self._interval_s
            self._off_s += moved * self._interval_s
        self._pictures += 1
        return at_s + self._shift_s

    def _pace(self, dts_s: float) -> float:
        """Waits until a file's picture is due. A step in its times is none in ours."""
        now_s = time.monotonic()
        if self._due_s is None or abs(self._due_s + dts_s - now_s) > WAIT_S / 2:
            self._due_s = now_s - dts_s
        self._closed.wait(max(0.0, self._due_s + dts_s - now_s))
        return time.monotonic()


def _is_file(path: str) -> bool:
    """Whether it is a file, and no device. Raises CameraError where it is neither or cannot be read."""
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISDIR(mode):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        what = "the cable, and the names in /dev/v4l/by-id" if path.startswith("/dev/") else "the path"
        raise CameraError(f"{path}: {error.strerror}; check {what}, and who may read it") from None
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        found = "a directory" if stat.S_ISDIR(mode) else "no device and no file"
        raise CameraError(f"{path}: this is {found}; allowed is /dev/videoN or a video file")
    return stat.S_ISREG(mode)


def _reason(said: str, waited: bool) -> str:
    """Why a camera did not open, by what FFmpeg printed. None of its own words go on: they may hold anything."""
    for pattern, reason in REASONS:
        if found := re.search(pattern, said):
            return reason.format(*found.groups())
    if waited:
        return f"nothing came within {WAIT_S} s; check the camera's power and network"
    return "no video that can be read is there; check that it is one of H.264, HEVC or MJPEG"


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What is written to stderr meanwhile, in the list at the end."""
    said: list[str] = []
    kept = os.dup(2)
    heard = os.memfd_create("stderr")
    os.dup2(heard, 2)
    try:
        yield said
    finally:
        os.dup2(kept, 2)
        said.append(os.pread(heard, 65536, 0).decode("utf-8", "replace"))
        os.close(kept)
        os.close(heard)
