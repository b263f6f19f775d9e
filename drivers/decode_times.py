"""The times at which pictures are decoded, from those at which they are shown. Pure.

FFmpeg's times reach us through OpenCV, which tells when a picture is shown and not when it is decoded. Pictures come in
the order of decoding. A decoder that holds `depth` of them back shows one for each that comes; so the decoding times
are the times of showing in their order, `depth` pictures late:

    shown      0   3   1   2   6   4   5     depth 1
    decoded   -1   0   1   2   3   4   5
"""

import heapq
from collections.abc import Iterable
from math import inf
from typing import Final

DEPTH_MAX: Final = 16
"""max_dec_frame_buffering of H.264 (A.3.1) and sps_max_dec_pic_buffering_minus1 of HEVC (A.4.2) go no further."""
STEP_S: Final = 2.0
"""No picture is held back so long: a larger difference is a step of the camera's clock."""


class DecodeTimes:
    """depth: how many pictures come before one that is shown earlier. interval_s: from one picture to the next."""

    def __init__(self, depth: int, interval_s: float) -> None:
        self._depth, self._interval_s = depth, interval_s
        self._held: list[float] = []
        self._last_s = -inf

    def decoded_s(self, pts_s: float) -> float:
        """When the next picture is decoded; never after it is shown, and rising, but over a step of the clock.

        A picture that comes later than `depth` allows deepens it: until then one may be decoded after it is shown.
        """
        if abs(pts_s - self._last_s) > STEP_S + self._depth * self._interval_s:
            self._held.clear()
            self._last_s = -inf
        if pts_s < self._last_s:
            self._depth = min(self._depth + 1, DEPTH_MAX)
        heapq.heappush(self._held, pts_s)
        if len(self._held) > self._depth:
            dts_s = heapq.heappop(self._held)
        else:
            dts_s = self._held[0] - (self._depth + 1 - len(self._held)) * self._interval_s
        self._last_s = max(dts_s, self._last_s)
        return self._last_s


def depth(shown: Iterable[float]) -> int:
    """How many pictures come before one that is shown earlier, at most DEPTH_MAX; shown: in the order of decoding."""
    before: list[float] = []
    deepest = 0
    for pts_s in shown:
        deepest = max(deepest, sum(earlier > pts_s for earlier in before))
        before.append(pts_s)
    return min(deepest, DEPTH_MAX)
