"""A contact that changes thousands of times a second, in few edges: what it was for most of each 5 ms. Pure.

Up to STORM_CHANGES within STORM_S pass as they are: no hand makes more, and hardly a bounce. Beyond that time is cut
into spans of SPAN_S, and a span is told by one edge at its beginning, if it was mostly otherwise than the one before.
An integrating debounce comes to the same end by these as by all of them: what was down for 50 ms is a press.
"""

from collections import deque
from typing import Final

from drivers.contract import Edge

STORM_CHANGES: Final = 20
STORM_S: Final = 0.1
SPAN_S: Final = 0.005


class Storm:
    """The edges of one input, in order; each is another level than the one before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_s: deque[float] = deque(maxlen=STORM_CHANGES)
        self._told = False
        self._span_s: float | None = None
        """Beginning of the span of now; None while edges pass as they are."""
        self._active = False
        self._since_s = 0.0
        self._active_s = 0.0
        self._changes = 0
        """Of the span of now, and of the one before what was not told yet."""
        self._folded = 0

    def edge(self, edge: Edge) -> list[Edge]:
        """What is to be told by now: this edge too, or the spans that have ended."""
        told = self.tick(edge.seen_s)
        if self._span_s is None:
            last_s = self._last_s
            if len(last_s) < STORM_CHANGES or edge.seen_s - last_s[0] >= STORM_S:
                last_s.append(edge.seen_s)
                self._told = edge.active
                return [*told, edge]
            self._span_s = self._since_s = edge.seen_s
            self._active_s, self._changes = 0.0, 0
        self._pass(edge.seen_s)
        self._active = edge.active
        self._changes += 1
        return told

    def tick(self, now_s: float) -> list[Edge]:
        """The edges of the spans that have ended by now. A span without a change, and as told, ends the storm."""
        told = []
        while self._span_s is not None and now_s >= self._span_s + SPAN_S:
            end_s = self._span_s + SPAN_S
            self._pass(end_s)
            active = self._active_s > SPAN_S / 2
            if active != self._told:
                self._told = active
                self._changes -= 1
                told.append(Edge(self._name, active, self._span_s))
            elif not self._changes:
                self._span_s = None
                self._last_s.clear()
                break
            pending = int(self._active != self._told)  # the last change, which the next span may tell
            self._folded += self._changes - pending
            self._span_s, self._active_s, self._changes = end_s, 0.0, pending
        return told

    def due_s(self) -> float | None:
        """When the span of now ends."""
        return None if self._span_s is None else self._span_s + SPAN_S

    def take_folded(self) -> int:
        """Changes since the last call that no edge has told."""
        folded, self._folded = self._folded, 0
        return folded

    def _pass(self, now_s: float) -> None:
        now_s = max(now_s, self._since_s)  # an edge that comes late, behind a tick
        if self._active:
            self._active_s += now_s - self._since_s
        self._since_s = now_s
