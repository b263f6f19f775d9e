"""The times at which pictures are decoded, from those at which they are shown. Pure.

FFmpeg's times reach us through OpenCV, which tells when a picture is shown and not when it is decoded. Pictures come in
the order of decoding. A decoder that holds `depth` of them back shows one for each that comes; so the decoding times
are the times of showing in their order, `depth` pictures late:

    shown      0   3   1   2   6   4   5     depth 1
    decoded   -1   0   1   2   3   4   5
"""

import heapq
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final

DEPTH_MAX: Final = 16
"""max_dec_frame_buffering of H.264 (A.3.1) and sps_max_dec_pic_buffering_minus1 of HEVC (A.4.2) go no further."""
STEP_S: Final = 2.0
"""No picture is so long ahead of the one before it: this is a step of the camera's clock, or a pause."""


class DecodeTimes:
    """depth: how many pictures come before one that is shown earlier. interval_s: from one picture to the next."""

    def __init__(self, depth: int, interval_s: float) -> None:
        self._depth, self._interval_s = depth, interval_s
        self._held: list[float] = []
        self._left: deque[float] = deque(maxlen=2)  # the times of showing that became decoding times last
        self._last_s = self._newest_s = -inf

    def decoded_s(self, pts_s: float) -> float:
        """When the next picture is decoded; never after it is shown, and rising, but over a step of the clock.

        A picture that comes one too late for `depth` deepens it: until then some may be decoded after they are shown.
        One that comes later still, or is far ahead, is a step of the camera's clock.
        """
        late = bool(self._left) and pts_s < self._left[-1]
        if late and pts_s > self._left[0]:
            self._depth = min(self._depth + 1, DEPTH_MAX)
        elif late or pts_s > self._newest_s + STEP_S:
            self._begin()
        self._newest_s = max(self._newest_s, pts_s)
        heapq.heappush(self._held, pts_s)
        if len(self._held) > self._depth:
            dts_s = heapq.heappop(self._held)
            self._left.append(dts_s)
        else:
            dts_s = self._held[0] - (self._depth + 1 - len(self._held)) * self._interval_s
        self._last_s = max(dts_s, self._last_s)
        return self._last_s

    def _begin(self) -> None:
        self._held.clear()
        self._left.clear()
        self._last_s = self._newest_s = -inf


def depth(shown: Iterable[float]) -> int:
    """How many pictures come before one that is shown earlier, at most DEPTH_MAX; shown: in the order of decoding."""
    before: list[float] = []
    deepest = 0
    for pts_s in shown:
        deepest = max(deepest, sum(earlier > pts_s for earlier in before))
        before.append(pts_s)
    return min(deepest, DEPTH_MAX)
