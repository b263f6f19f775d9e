"""What the process of one camera knows: what comes, what is held, what is to be stored, how the camera is. Pure.

    opened, packet, lost -> checks -> clock -> ring -> to_store: pictures alone, then clips, the oldest first
    looked, stored, not_stored ------------------------> quality

A clip stays in `to_store` until it is stored; while the disk takes nothing, the oldest go once they are as large as the
ring may be, and that is told.
"""

from collections import deque
from math import inf, nextafter
from typing import Any, Final

from drivers import jpeg, nal
from drivers.camera_look import LOOKS, Look, judge
from drivers.frame_clock import FrameClock
from drivers.packet_ring import Clip, Ring
from drivers.packets import CameraQuality, Packet, Stream

FPS_S: Final = 5.0
GAP_S: Final = 10.0
"""A gap is told for so long; it is over when it is noticed."""
USELESS_S: Final = 10.0
"""No good picture for so long, while something comes or nothing does: the camera is as good as away."""
DRIFT_PPM: Final = 500.0
"""1.8 s an hour: more than any quartz, and less than what was seen of cameras (1,100). Over at half of it."""
ALONE_MAX: Final = 16
"""Pictures alone that wait for the disk, or for the first key picture."""


class CameraState:
    """before_s, ring_bytes_max: see Ring. All times are monotonic seconds."""

    def __init__(self, before_s: float, ring_bytes_max: int, now_s: float) -> None:
        self.packets = self.bad = self.bytes = 0
        self.seen_s: float | None = None
        """When the last good packet came."""
        self._bytes_max = ring_bytes_max
        self._ring = Ring(before_s, ring_bytes_max)
        self._clock = FrameClock()
        self._stream: Stream | None = None
        self._online, self._away = False, ""
        self._waiting_s = now_s  # since then a good packet is waited for
        self._wrong = ""
        self._too_large = 0
        self._gap, self._gap_s = "", -inf
        self._drift_ppm, self._drifts = 0.0, False
        self._storage = ""
        self._looks: deque[Look | None] = deque(maxlen=LOOKS)
        self._looked_s = -inf  # the picture last looked at
        self._seen: deque[float] = deque()
        self._alone: deque[Clip] = deque(maxlen=ALONE_MAX)
        self._alone_at: deque[float] = deque(maxlen=ALONE_MAX)
        self._clips: deque[Clip] = deque()
        self._lost_clips = 0
        self._until_s = -inf
        self._told = True  # that all which is wanted is stored

    # ---- what comes

    def opened(self, stream: Stream, now_s: float) -> None:
        """A new connection: other times, and perhaps another stream."""
        self._clock = FrameClock()
        self._stream, self._wrong, self._away = stream, "", ""
        self._waiting_s = now_s

    def lost(self, reason: str) -> None:
        """The connection is over, or there is none. What is wanted of the last GOP comes out."""
        self._online, self._away = False, reason
        self._looks.clear()
        self._seen.clear()
        self._out(self._ring.end())

    def packet(self, packet: Packet) -> None:
        """Checks and holds one, or counts it as bad."""
        stream = self._check(packet)
        if isinstance(stream, str):
            self.bad += 1
            self._wrong = stream
            return
        if stream != self._stream:
            self._out(self._ring.end())  # no file has pictures of both
            self._stream = stream
        self.packets += 1
        self.bytes += len(packet.data)
        self.seen_s = self._waiting_s = packet.seen_s
        self._online = True
        self._seen.append(packet.seen_s)
        while self._seen[0] < packet.seen_s - FPS_S:
            self._seen.popleft()
        self._out(self._ring.add(self._clock.take(packet), stream))
        if gap := self._clock.take_gap():
            self._gap, self._gap_s = gap, packet.seen_s
        if self._ring.too_large > self._too_large:
            self._too_large, self._gap_s = self._ring.too_large, packet.seen_s
            self._gap = f"pictures from one key picture to the next had more than {self._bytes_max} bytes"
        if packet.key and self._alone_at:
            waiting, self._alone_at = self._alone_at, deque(maxlen=ALONE_MAX)
            for at_s in waiting:
                self.picture(at_s)

    def _check(self, packet: Packet) -> Stream | str:
        """The stream that a packet is of, which may be a new one of another size or with other parameters; or what is
        wrong with it."""
        stream = self._stream
        if stream is None:
            return "it belongs to no stream"
        if stream.codec == "mjpeg":
            size = jpeg.check(packet.data)
            return size if isinstance(size, str) else Stream("mjpeg", *size)
        if wrong := nal.check(packet.data, stream):
            return wrong
        sets = nal.parameter_sets(stream.codec, packet.data) if packet.key else b""
        if not sets or sets == stream.parameter_sets:
            return stream
        return Stream(stream.codec, *nal.size(stream.codec, sets), sets)

    # ---- what is wanted

    def record(self, from_s: float, until_s: float) -> None:
        """Wants all from the key picture at or before `from_s` until `until_s`, beside what is wanted already."""
        self._until_s = max(self._until_s, until_s)
        self._told = False
        self._out(self._ring.record(from_s, until_s))

    def picture(self, at_s: float) -> None:
        """Wants the key picture at or before `at_s`, else the next one, alone."""
        clip = self._ring.picture(at_s)
        if clip:
            self._alone.append(clip)
        else:
            self._alone_at.append(at_s)

    @property
    def wanting(self) -> bool:
        """The next picture may be one that is to be stored."""
        return not self._told or bool(self._alone_at)

    @property
    def to_store(self) -> tuple[Clip, bool] | None:
        """What is to be stored next, and whether it is a picture alone; until `stored` says that it is."""
        if self._alone:
            return self._alone[0], True
        return (self._clips[0], False) if self._clips else None

    def stored(self) -> None:
        (self._alone or self._clips).popleft()
        self._storage, self._lost_clips = "", 0

    def not_stored(self, reason: str) -> None:
        """The disk does not take it; it stays, and so do as many more as the ring may have bytes."""
        self._storage = reason
        while len(self._clips) > 1 and sum(map(_size, self._clips)) > self._bytes_max:
            self._clips.popleft()
            self._lost_clips += 1
        if self._lost_clips:
            self._storage += f"; {self._lost_clips} clips are lost"

    def through_s(self, now_s: float) -> float | None:
        """Of what is wanted everything up to then is stored, as far as it ever came. None: that is known already."""
        if self._told:
            return None
        through_s = self._ring.through_s if self._online else now_s
        if self._clips:
            through_s = min(through_s, nextafter(self._clips[0].from_s, -inf))
        self._told = through_s >= self._until_s
        return through_s

    def _out(self, clips: list[Clip]) -> None:
        self._clips += clips

    # ---- how it is

    @property
    def newest(self) -> Clip | None:
        """The newest key picture, of a camera that is there."""
        return self._ring.picture(inf) if self._online else None

    @property
    def away(self) -> str:
        """Why the camera is not there; "" where it is, or nobody knows."""
        return self._away or self._wrong

    def to_look_at(self) -> tuple[Stream, bytes] | None:
        """The newest key picture, when it was not looked at before."""
        newest = self.newest
        if newest is None or newest.from_s <= self._looked_s:
            return None
        self._looked_s = newest.from_s
        return newest.stream, newest.pictures[0].packet.data

    def looked(self, look: Look | None) -> None:
        """None: the picture cannot be decoded."""
        if self._online:
            self._looks.append(look)

    def useless(self, now_s: float) -> bool:
        """Whether what comes is of no use, so that the source is better opened again."""
        return now_s - self._waiting_s > USELESS_S

    def quality(self, now_s: float) -> tuple[CameraQuality, str] | None:
        """The worst of what is known, and why; None as long as nothing is."""
        if self.useless(now_s):
            what = f"it sends no whole picture; the last: {self._wrong}" if self._wrong else "no picture comes"
            return "offline", self._away or f"{what}; restart the camera, and look at its settings"
        if not self._online:
            return ("offline", self._away) if self._away else None
        seen, why = judge(self._looks)
        if seen == "offline":
            return seen, why
        if self._storage:
            return "storage", self._storage
        if seen != "good":
            return seen, why
        if now_s - self._gap_s < GAP_S:
            return "gap", self._gap
        if self._drifts:
            return "drift", f"its clock is {self._drift_ppm:+.0f} ppm off ours; let it ask a time server (NTP)"
        return "good", ""

    def beat(self, now_s: float, rss_bytes: int) -> dict[str, Any]:
        """How it goes, to be told once a second. fps: of the last FPS_S."""
        self._drift_ppm = self._clock.drift_ppm or 0.0
        self._drifts = abs(self._drift_ppm) > (DRIFT_PPM / 2 if self._drifts else DRIFT_PPM)
        while self._seen and self._seen[0] < now_s - FPS_S:
            self._seen.popleft()
        span_s = self._seen[-1] - self._seen[0] if self._seen else 0.0
        stream = self._stream
        return {
            "seen_s": self.seen_s,
            "packets": self.packets,
            "bad": self.bad,
            "bytes": self.bytes,
            "fps": round((len(self._seen) - 1) / span_s, 1) if span_s else 0.0,
            "codec": stream.codec if stream else None,
            "width": stream.width if stream else 0,
            "height": stream.height if stream else 0,
            "ring_s": round(self._ring.seconds, 3),
            "ring_bytes": self._ring.bytes,
            "rss_bytes": rss_bytes,
            "offset_s": self._clock.offset_s,
        }


def _size(clip: Clip) -> int:
    return sum(len(taken.packet.data) for taken in clip.pictures)
