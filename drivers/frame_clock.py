"""When a picture was taken: the camera's times on the box's monotonic clock. Pure, in virtual time.

    taken_s = pts_s + offset_s        offset_s = the smallest seen_s - pts_s of the last WINDOW_S

What the network held up arrives late and is not younger for it. The offset falls at once (a picture is never younger
than its arrival) and rises slowly, as a camera's clock drifts. Where the camera's times step, stand still or lag for
good, a new offset begins.
"""

from collections import deque
from collections.abc import Sequence
from statistics import linear_regression
from typing import Final

from drivers.packets import Packet, Taken

WINDOW_S: Final = 10.0
RISE: Final = 0.002
"""Seconds a second that the offset may rise: clocks of cameras were seen 0.0011 off (16 s in 4 h)."""
STEP_S: Final = 1.0
"""Times that differ from the box's clock by more, from one picture to the next, are a step."""
PAUSE_TIMES: Final = 5.0
PAUSE_S_MIN: Final = 2.0
"""A pause longer than this, and so many times as long as usual, is a gap."""
REORDER_MAX: Final = 16
"""Pictures that may come after one that is shown later (H.264 and HEVC: max_dec_frame_buffering)."""
DRIFT_STEP_S: Final = 10.0
DRIFT_STEPS: Final = 60
"""The drift is that of the last 10 minutes, from the earliest arrival in each 10 s of them."""
DRIFT_STEPS_MIN: Final = 13


class FrameClock:
    """The clock of one open camera."""

    def __init__(self) -> None:
        self.gaps = 0
        """Breaks in the camera's times, and pauses."""
        self._gap = ""
        self._last: Packet | None = None
        self._offset_s = 0.0
        self._moved_s = 0.0
        self._usual_s: float | None = None
        self._late_since_s: float | None = None
        self._delays: deque[tuple[float, float]] = deque()  # (seen_s, delay), delays rising: the first is the smallest
        self._placed: deque[tuple[float, float]] = deque(maxlen=REORDER_MAX + 1)  # (pts_s, taken_s) since the last step
        self._floor_s = 0.0
        self._drift: deque[tuple[float, float]] = deque(
            maxlen=DRIFT_STEPS
        )  # (seen_s, delay) of the earliest of each step

    @property
    def offset_s(self) -> float | None:
        """What is added to the camera's times; None before the first picture."""
        return None if self._last is None else self._offset_s

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the camera's clock runs than the box's, in parts per million; 100 are 0.36 s an hour.

        None before two minutes have passed since the start or the last step.
        """
        if len(self._drift) < DRIFT_STEPS_MIN:
            return None
        first_s = self._drift[0][0]
        return -1e6 * linear_regression([at - first_s for at, _ in self._drift], [delay for _, delay in self._drift])[0]

    def take(self, packet: Packet) -> Taken:
        """When it was taken. Packets come in decoding order, with `dts_s` that rise and `seen_s` that never fall.

        In the order in which pictures are shown `taken_s` never goes back, and it is never later than `seen_s`.
        """
        if self._last is None:
            self._begin(packet)
        elif broken := self._break(self._last, packet):
            self._note(broken)
            self._begin(packet)
        else:
            self._follow(self._last, packet)
        self._last = packet
        return Taken(packet, self._place(packet))

    def take_gap(self) -> str:
        """What the last gap since the previous call was, or ""."""
        gap, self._gap = self._gap, ""
        return gap

    def _break(self, last: Packet, packet: Packet) -> str:
        """Why the camera's times do not go on from the last picture's, or ""."""
        step_s = packet.dts_s - last.dts_s
        if step_s > 0:
            self._moved_s = packet.seen_s
        if step_s < 0:
            return f"the camera's times went back by {-step_s:.1f} s"
        if step_s - (packet.seen_s - last.seen_s) > STEP_S:
            return f"the camera's times went forward by {step_s:.1f} s at once"
        if packet.seen_s - self._moved_s > STEP_S:
            return f"the camera's times stand still since {packet.seen_s - self._moved_s:.1f} s"
        return ""

    def _begin(self, packet: Packet) -> None:
        """A new offset: what came before says nothing about it."""
        self._floor_s = max((taken_s for _, taken_s in self._placed), default=self._floor_s)
        for old in (self._delays, self._placed, self._drift):
            old.clear()
        self._moved_s = packet.seen_s
        self._late_since_s = None
        self._offset_s = packet.seen_s - packet.pts_s
        self._learn(packet)

    def _follow(self, last: Packet, packet: Packet) -> None:
        pause_s = packet.dts_s - last.dts_s
        usual_s = pause_s if self._usual_s is None else self._usual_s
        if pause_s > max(PAUSE_S_MIN, PAUSE_TIMES * usual_s):
            self._note(f"no picture for {pause_s:.1f} s")
        if pause_s > 0:
            self._usual_s = usual_s + (min(pause_s, 2 * usual_s) - usual_s) / 16  # a gap hardly changes what is usual
        smallest_s = self._learn(packet)
        behind_s = packet.seen_s - packet.pts_s - self._offset_s
        if behind_s <= STEP_S:
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = packet.seen_s
        elif packet.seen_s - self._late_since_s > WINDOW_S:
            self._note(f"the camera's times are behind by {behind_s:.1f} s for good")
            self._begin(packet)
            return
        self._offset_s = min(smallest_s, self._offset_s + RISE * (packet.seen_s - last.seen_s))

    def _learn(self, packet: Packet) -> float:
        """The smallest delay of the window that ends with this packet."""
        seen_s, delay_s = packet.seen_s, packet.seen_s - packet.pts_s
        while self._delays and self._delays[-1][1] >= delay_s:
            self._delays.pop()
        self._delays.append((seen_s, delay_s))
        while self._delays[0][0] < seen_s - WINDOW_S:
            self._delays.popleft()
        if not self._drift or seen_s // DRIFT_STEP_S > self._drift[-1][0] // DRIFT_STEP_S:
            self._drift.append((seen_s, delay_s))
        elif delay_s < self._drift[-1][1]:
            self._drift[-1] = seen_s, delay_s
        return self._delays[0][1]

    def _place(self, packet: Packet) -> float:
        """Between those shown before it and after it: what came before the offset fell was placed too late."""
        before_s = max((taken_s for pts_s, taken_s in self._placed if pts_s <= packet.pts_s), default=self._floor_s)
        after_s = min((taken_s for pts_s, taken_s in self._placed if pts_s > packet.pts_s), default=packet.seen_s)
        taken_s = min(max(packet.pts_s + self._offset_s, before_s, self._floor_s), after_s, packet.seen_s)
        self._placed.append((packet.pts_s, taken_s))
        return taken_s

    def _note(self, gap: str) -> None:
        self.gaps += 1
        self._gap = gap


def clip_times(pictures: Sequence[Taken]) -> list[tuple[float, float]]:
    """(pts_s, dts_s) of each picture, from the first one's dts_s as 0; dts_s rise. For the times in a file.

    Where the camera's times step, they go on as `taken_s` does.
    """
    times: list[tuple[float, float]] = []
    shift_s = -pictures[0].packet.dts_s if pictures else 0.0
    for before, taken in zip([None, *pictures], pictures, strict=False):
        packet = taken.packet
        if before is not None:
            passed_s = packet.dts_s - before.packet.dts_s
            if passed_s <= 0 or abs(passed_s - (taken.taken_s - before.taken_s)) > STEP_S:
                shift_s = times[-1][1] + max(taken.taken_s - before.taken_s, 0.001) - packet.dts_s
        times.append((packet.pts_s + shift_s, packet.dts_s + shift_s))
    return times
