"""The ring by seeds: random GOPs, jitter, B-frames, breaks and wishes; what it promises holds at any step."""

import random
from itertools import pairwise

import pytest

from drivers.packet_ring import Clip, Ring
from drivers.packets import Packet, Stream, Taken

SEEDS = [*range(20), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(20, 40))]
LARGE = 10**9
H264 = Stream("h264")
Wish = tuple[float, float]


def pictures(rng: random.Random, *, mjpeg: bool, count: int) -> list[Taken]:
    """In decoding order. A reference comes before the B-frames that are shown before it; also before a key picture,
    where GOPs are open."""
    fps, gop_max, b_frames = rng.choice((2, 10, 25)), rng.choice((1, 5, 20, 60)), rng.choice((0, 0, 1, 2))
    open_gops = rng.random() < 0.3
    times = [100.0]
    while len(times) < count + gop_max + 9:
        times.append(times[-1] + rng.choice((rng.uniform(0.2, 1.8) / fps, 1 / fps, 1 / fps)))
    shown: list[tuple[int, bool]] = []
    while len(shown) < count:
        key, left = True, 1 if mjpeg else rng.randint(1, gop_max)
        while left > 0:
            leading = b_frames if not mjpeg and (not key or (open_gops and shown)) else 0
            first = len(shown)
            shown += [(first + leading, key), *((first + number, False) for number in range(leading))]
            key, left = False, left - 1 - leading
    delay = 1 if b_frames and not mjpeg else 0
    return [
        Taken(Packet(bytes(rng.randrange(1, 2000)), key, times[at], times[max(place - delay, 0)], times[at]), times[at])
        for place, (at, key) in enumerate(shown)
        if at < len(times)
    ]


class Run:
    """A ring, all that was fed, wished and given out, and the promises."""

    def __init__(self, seed: int, before_s: float, bytes_max: int = LARGE) -> None:
        self.rng = random.Random(seed)
        self.mjpeg = self.rng.random() < 0.3
        self.ring = Ring(before_s, bytes_max)
        self.gops: list[list[Taken]] = []
        self.broken: set[int] = set()
        """Numbers of the GOPs that a break ended."""
        self.going = False
        self.place: dict[int, int] = {}
        """Of each picture that hangs on a key picture, by its identity: its number among them."""
        self.fed: list[Taken] = []
        self.wishes: list[Wish] = []
        self.clips: list[Clip] = []

    def feed(self, taken: Taken) -> None:
        self.fed.append(taken)
        if taken.packet.key:
            self.gops.append([])
            self.going = True
        if self.going:
            self.gops[-1].append(taken)
            self.place[id(taken)] = len(self.place)
        self.out(self.ring.add(taken, H264))

    def end(self) -> None:
        if self.going:
            self.broken.add(len(self.gops) - 1)
        self.going = False
        self.out(self.ring.end())

    def record(self, from_s: float, until_s: float) -> None:
        self.wishes.append((from_s, until_s))
        self.out(self.ring.record(from_s, until_s))

    def out(self, clips: list[Clip]) -> None:
        """Each plays by itself, and nothing in it lies beyond what is wanted."""
        for clip in clips:
            assert clip.pictures[0].packet.key
            assert any(clip.pictures[-1].taken_s <= until_s for _, until_s in self.wishes)
            places = [self.place[id(taken)] for taken in clip.pictures]
            assert places == [*range(places[0], places[0] + len(places))]
        self.clips += clips

    def wanted(self) -> list[Taken]:
        """By the words of the contract: from the key picture at or before the beginning until the end, of each wish.

        A wish whose beginning lies ahead wants nothing yet: which key picture is the last before it is not known.
        """
        wanted = []
        newest_s = max(taken.taken_s for taken in self.fed)
        for from_s, until_s in self.wishes:
            if from_s > newest_s:
                continue
            start_s = from_s
            for number, gop in enumerate(self.gops):
                going_on = number not in self.broken or max(taken.taken_s for taken in gop) >= from_s
                if gop[0].taken_s <= from_s:
                    start_s = gop[0].taken_s if going_on else from_s
            wanted += [taken for gop in self.gops for taken in gop if start_s <= taken.taken_s <= until_s]
        return wanted

    def stored(self) -> list[Taken]:
        return [taken for clip in self.clips for taken in clip.pictures]


def wish(run: Run, before_s: float) -> Wish:
    """Beginning within what the ring surely holds, or later; ending before now, soon, or late."""
    now_s = max((taken.taken_s for taken in run.fed), default=100.0)
    from_s = run.rng.uniform(now_s - before_s, now_s + 2)
    return from_s, from_s + run.rng.choice((0.0, run.rng.uniform(0, 3), run.rng.uniform(0, 20)))


def played(seed: int, *, wishes: float, breaks: float) -> Run:
    """A run to its end. wishes, breaks: the chance of one before each picture."""
    before_s = random.Random(seed).choice((0.5, 2.0, 10.0))
    run = Run(seed, before_s)
    for taken in pictures(run.rng, mjpeg=run.mjpeg, count=200):
        if run.fed and run.rng.random() < wishes:
            run.record(*wish(run, before_s))
        if run.rng.random() < breaks:
            run.end()
        run.feed(taken)
        if run.rng.random() < 0.3:
            stored = {id(one) for one in run.stored()}
            late = [one for one in run.wanted() if one.taken_s <= run.ring.through_s and id(one) not in stored]
            assert late == [], "through_s names what has not come out"
    run.end()
    return run


@pytest.mark.parametrize("seed", SEEDS)
def test_no_wanted_picture_is_missing_and_through_s_is_true_at_any_step(seed: int) -> None:
    run = played(seed, wishes=0.02, breaks=0.01)
    stored = {id(taken) for taken in run.stored()}
    assert [taken for taken in run.wanted() if id(taken) not in stored] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_given_out_that_no_wish_is_near(seed: int) -> None:
    run = played(seed, wishes=0.01, breaks=0.01)
    joined = [max(1.0 if run.mjpeg else 0.0, gop[-1].taken_s - gop[0].taken_s) for gop in run.gops]
    longest_s = 2 * max(joined) + 5  # a GOP before, or a second of key pictures, and the pause to the next
    for clip in run.clips:
        assert any(from_s - longest_s <= clip.to_s and clip.from_s <= until_s for from_s, until_s in run.wishes)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_given_out_twice_but_for_the_rest_of_a_gop_that_was_cut(seed: int) -> None:
    run = played(seed, wishes=0.05, breaks=0.01)
    clips = sorted(([run.place[id(taken)] for taken in clip.pictures] for clip in run.clips), key=lambda one: one[-1])
    keys = {run.place[id(gop[0])] for gop in run.gops}
    for one, other in pairwise(clips):
        if again := {*one} & {*other}:
            assert not again & keys - {other[0]}, "it begins at the last key picture before the cut"
            assert one[-1] < other[-1]
            assert one[-1] + 1 not in keys, "a GOP that was whole comes out again"
    if run.mjpeg:
        assert len(run.stored()) == len({*map(id, run.stored())})


@pytest.mark.parametrize("seed", SEEDS)
def test_one_wish_that_grows_in_time_gives_each_picture_once(seed: int) -> None:
    run = Run(seed, 2.0)
    run.record(101.0, 120.0)
    for taken in pictures(run.rng, mjpeg=run.mjpeg, count=200):
        if run.fed and (run.rng.random() < 0.1 or run.wishes[-1][1] < run.fed[-1].taken_s + 5.0):
            run.record(101.0, run.fed[-1].taken_s + 15.0)
        run.feed(taken)
    run.end()
    assert len(run.stored()) == len({*map(id, run.stored())})


@pytest.mark.parametrize("seed", SEEDS)
def test_seconds_and_bytes_stay_within_their_bounds(seed: int) -> None:
    rng = random.Random(seed)
    before_s, bytes_max = rng.choice((0.5, 2.0, 10.0)), rng.choice((5_000, 50_000, LARGE))
    run = Run(seed, before_s, bytes_max)
    for taken in pictures(run.rng, mjpeg=run.mjpeg, count=200):
        if run.rng.random() < 0.02:
            run.record(*wish(run, before_s))
        run.feed(taken)
        ring, fed_s = run.ring, max(one.taken_s for one in run.fed) - run.gops[0][0].taken_s
        assert ring.bytes <= bytes_max
        pauses = [after[0].taken_s - gop[0].taken_s for gop, after in pairwise(run.gops)]
        open_s = max(one.taken_s for one in run.gops[-1]) - run.gops[-1][0].taken_s
        assert ring.seconds <= before_s + max([*pauses, open_s, 1.0]) + 1.0
        if bytes_max == LARGE:
            assert ring.seconds >= min(before_s, fed_s) - 1e-9
            assert ring.too_large == ring.left_out == 0
    assert all(len(clip.pictures) > 0 for clip in run.clips)
