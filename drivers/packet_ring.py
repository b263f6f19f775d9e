"""The last seconds of a camera in memory, and which of them become files. Pure, in virtual time.

    taken -> add -> GOP | GOP | GOP | open GOP      the oldest goes when the rest holds `before_s`
                        `- record from..until -> clips, each of which plays by itself

A GOP is a key picture and what hangs on it; key pictures that follow each other (MJPEG) make one GOP a second. A wanted
GOP comes out as a clip once, when the next one begins; so nothing is wanted twice, however wishes overlap.

The one exception is the cut: the open GOP comes out as soon as nothing before the wish's end can come any more. Where a
later wish wants more of it, all of it comes out again from its last key picture on, because the rest does not play
without what it hangs on. (In MJPEG it does: there no picture comes out twice.)
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import Final

from drivers.packets import Stream, Taken

GOP_S_MIN: Final = 1.0
"""Key pictures one after the other are joined for so long: each file costs an fsync and an upload of its own."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What becomes one file. pictures: in decoding order, the first is a key picture; stream: what they are."""

    pictures: tuple[Taken, ...]
    stream: Stream
    next_s: float = inf
    """When the picture after it was taken; inf where none has come."""

    @property
    def ends_s(self) -> float:
        """Until when its last picture was the newest: what is wanted from then on is not in it."""
        return self.to_s if self.next_s == inf else max(self.to_s, self.next_s)

    @property
    def from_s(self) -> float:
        """When its first picture was taken."""
        return min(taken.taken_s for taken in self.pictures)

    @property
    def to_s(self) -> float:
        """When its last picture was taken."""
        return max(taken.taken_s for taken in self.pictures)


@dataclass(slots=True)
class _Gop:
    stream: Stream
    pictures: list[Taken] = field(default_factory=list)
    bytes: int = 0
    starts_s: float = inf
    """The first picture shown: in an open GOP that may be one before the key picture."""
    ends_s: float = inf
    """The next GOP's key picture; inf while this one is open."""
    stored: int = 0
    """So many of its first pictures have come out."""

    @property
    def key_s(self) -> float:
        return self.pictures[0].taken_s


class Ring:
    """Whole GOPs of one camera.

    before_s: so many seconds before the newest picture are always held, and at most one GOP more. bytes_max: of the
    pictures' bytes; the oldest GOP goes first. A GOP that is larger alone is dropped whole, and pictures are left out
    until the next key picture.
    """

    def __init__(self, before_s: float, bytes_max: int) -> None:
        self.bytes = 0
        self.left_out = 0
        """Pictures without the key picture on which they hang: before the first one, or after a break."""
        self.too_large = 0
        """GOPs dropped because each alone was larger than the ring."""
        self._before_s, self._bytes_max = before_s, bytes_max
        self._gops: deque[_Gop] = deque()
        self._wishes: list[tuple[float, float]] = []
        self._newest_s = 0.0
        self._complete_s = 0.0  # every picture taken up to then has come

    @property
    def seconds(self) -> float:
        """From the oldest picture held to the newest."""
        return self._newest_s - self._gops[0].key_s if self._gops else 0.0

    @property
    def through_s(self) -> float:
        """Of what is to be recorded everything taken up to then has come out; 0.0 before the first picture."""
        waiting = [taken.taken_s for gop in self._gops for taken in gop.pictures[gop.stored : self._cut(gop)]]
        return min(nextafter(min(waiting), 0.0), self._complete_s) if waiting else self._complete_s

    def add(self, taken: Taken, stream: Stream) -> list[Clip]:
        """Holds a picture; what is to be stored now comes back, the oldest first.

        stream: what the picture is; a clip has that of its key picture.
        """
        packet = taken.packet
        self._newest_s = max(self._newest_s, taken.taken_s)
        self._complete_s = max(self._complete_s, taken.taken_s - max(0.0, packet.pts_s - packet.dts_s))
        clips: list[Clip] = []
        gop = self._open()
        if packet.key and (gop is None or self._full(gop, taken)):
            if gop:
                gop.ends_s = taken.taken_s
                clips = self._due()
            gop = _Gop(stream)
            self._gops.append(gop)
        elif gop is None:
            self.left_out += 1
            self._evict()
            return []
        gop.pictures.append(taken)
        gop.bytes += len(packet.data)
        gop.starts_s = min(gop.starts_s, taken.taken_s)
        self.bytes += len(packet.data)
        clips += self._due()
        if gop.bytes > self._bytes_max:
            clips += self.end()
            self.too_large += 1
            self.bytes -= self._gops.pop().bytes
        self._evict()
        return clips

    def end(self) -> list[Clip]:
        """The connection is over: nothing more hangs on the last key picture. What is wanted of it comes out."""
        if gop := self._open():
            gop.ends_s = nextafter(self._newest_s, inf)
            self._complete_s = self._newest_s
        return self._due()

    def record(self, from_s: float, until_s: float) -> list[Clip]:
        """Wants everything from the key picture at or before `from_s` until `until_s`, beside what is wanted already.

        What of it is there comes back, the oldest first. What is older than the ring is lost.
        """
        apart = [wish for wish in self._wishes if wish[1] < from_s or until_s < wish[0]]
        joined = [wish for wish in self._wishes if wish not in apart] + [(from_s, until_s)]
        if from_s <= until_s:
            self._wishes = [*apart, (min(wish[0] for wish in joined), max(wish[1] for wish in joined))]
        return self._due()

    def picture(self, at_s: float) -> Clip | None:
        """The key picture at or before `at_s`, else the first one after it; None while there is none."""
        keys = [(taken, gop.stream) for gop in self._gops for taken in gop.pictures if taken.packet.key]
        before = [key for key in keys if key[0].taken_s <= at_s]
        if not keys:
            return None
        taken, stream = before[-1] if before else keys[0]
        return Clip((taken,), stream)

    def _open(self) -> _Gop | None:
        return self._gops[-1] if self._gops and self._gops[-1].ends_s == inf else None

    @staticmethod
    def _full(gop: _Gop, taken: Taken) -> bool:
        """Whether a key picture begins a GOP of its own."""
        return not gop.pictures[-1].packet.key or taken.taken_s - gop.key_s >= GOP_S_MIN

    def _cut(self, gop: _Gop) -> int:
        """So many of the first pictures of a GOP are wanted, with those on which they hang."""
        until_s = self._until_s(gop)
        number = len(gop.pictures)
        while number > gop.stored and gop.pictures[number - 1].taken_s > until_s:
            number -= 1
        return number

    def _until_s(self, gop: _Gop) -> float:
        """The end of what is wanted of a GOP; -inf for nothing."""
        ends_s = min(gop.ends_s, nextafter(self._newest_s, inf))  # what is wanted later is not yet wanted of this one
        return max((until for since, until in self._wishes if since < ends_s and gop.starts_s <= until), default=-inf)

    def _due(self) -> list[Clip]:
        """What is wanted, and of which nothing more can come."""
        clips = []
        for gop in self._gops if self._wishes else ():
            if gop.stored == len(gop.pictures):
                continue
            if gop.ends_s == inf and self._complete_s <= self._until_s(gop):
                continue
            cut = self._cut(gop)
            if cut > gop.stored:
                first = next(at for at in range(gop.stored, -1, -1) if gop.pictures[at].packet.key)
                next_s = gop.pictures[cut].taken_s if cut < len(gop.pictures) else gop.ends_s
                clips.append(Clip(tuple(gop.pictures[first:cut]), gop.stream, next_s))
                gop.stored = cut
        return clips

    def _evict(self) -> None:
        gops = self._gops
        while gops and (self.bytes > self._bytes_max or gops[0].ends_s <= self._newest_s - self._before_s):
            self.bytes -= gops.popleft().bytes
        since_s = min(self._complete_s, gops[0].starts_s if gops else inf)
        self._wishes = [wish for wish in self._wishes if wish[1] >= since_s]
