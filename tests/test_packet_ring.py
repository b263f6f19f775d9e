"""The ring in virtual time: pictures 0.1 s apart, GOPs of a second, each picture of 100 bytes."""

import pytest

from drivers.packet_ring import Clip, Ring
from drivers.packets import Packet, Stream, Taken

H264, MJPEG = Stream("h264"), Stream("mjpeg")
LARGE = 10**9


def picture(tenth: int, *, key: bool | None = None, size: int = 100, b_frame: bool = False) -> Taken:
    """Taken at so many tenths of a second, a key picture each whole second; decoded 0.1 s before it is shown."""
    taken_s, dts_s = tenth / 10, tenth / 10 - (0.0 if b_frame else 0.1)
    packet = Packet(b"x" * size, tenth % 10 == 0 if key is None else key, taken_s, dts_s, taken_s + 0.2)
    return Taken(packet, taken_s)


def plain(tenth: int, *, key: bool | None = None, size: int = 100) -> Taken:
    """One that is decoded in the order in which it is shown."""
    return picture(tenth, key=key, size=size, b_frame=True)


def fed(ring: Ring, first: int, end: int, stream: Stream = H264) -> list[Clip]:
    return [clip for tenth in range(first, end) for clip in ring.add(plain(tenth, key=stream is MJPEG or None), stream)]


def spans(clips: list[Clip]) -> list[tuple[int, int]]:
    """First and last picture of each, in tenths of a second."""
    return [(round(clip.pictures[0].taken_s * 10), round(clip.pictures[-1].taken_s * 10)) for clip in clips]


def test_nothing_comes_out_unless_it_is_wanted() -> None:
    ring = Ring(5.0, LARGE)
    assert fed(ring, 0, 100) == []
    assert ring.through_s == 9.9


def test_a_clip_begins_at_the_key_picture_before_it() -> None:
    ring = Ring(5.0, LARGE)
    fed(ring, 0, 55)
    assert spans(ring.record(3.4, 20.0)) == [(30, 39), (40, 49)]
    assert spans(ring.record(3.0, 20.0)) == []
    assert spans(ring.record(2.95, 20.0)) == [(20, 29)]


def test_each_gop_comes_out_once_as_soon_as_the_next_begins() -> None:
    ring = Ring(5.0, LARGE)
    fed(ring, 0, 55)
    assert spans(ring.record(5.2, 8.5)) == []
    assert spans(fed(ring, 55, 60)) == []
    assert spans(ring.add(plain(60), H264)) == [(50, 59)]
    assert spans(fed(ring, 61, 85)) == [(60, 69), (70, 79)]


def test_a_clip_tells_when_the_picture_after_it_was_taken() -> None:
    """So that a wish for 4.95 s, when the picture of 4.9 s was the newest, takes the file that has it."""
    ring = Ring(5.0, LARGE)
    fed(ring, 0, 55)
    assert [(clip.to_s, clip.ends_s) for clip in ring.record(4.95, 5.3)] == [(4.9, 5.0), (5.3, 5.4)]
    [rest] = [*ring.record(5.3, 9.0), *ring.end()]
    assert rest.ends_s == pytest.approx(rest.to_s)


def test_the_open_gop_is_cut_once_the_end_has_passed() -> None:
    ring = Ring(5.0, LARGE)
    fed(ring, 0, 55)
    ring.record(5.0, 5.7)
    assert spans(fed(ring, 55, 58)) == []
    assert ring.through_s < 5.0
    assert spans(ring.add(plain(58), H264)) == [(50, 57)]
    assert ring.through_s == 5.8
    assert fed(ring, 59, 90) == []


def test_a_cut_waits_for_the_b_frames_that_are_shown_before_the_end() -> None:
    ring = Ring(5.0, LARGE)
    ring.record(0.0, 0.25)
    order = [picture(0), picture(3), picture(1, b_frame=True), picture(2, b_frame=True), picture(6)]
    assert [spans(ring.add(taken, H264)) for taken in order] == [[], [], [], [], [(0, 2)]]


def test_the_rest_of_a_cut_gop_comes_out_with_all_that_it_hangs_on() -> None:
    ring = Ring(5.0, LARGE)
    ring.record(0.0, 0.4)
    assert spans(fed(ring, 0, 6)) == [(0, 4)]
    assert ring.record(0.0, 0.8) == []
    assert spans(fed(ring, 6, 10)) == [(0, 8)]
    assert ring.record(5.0, 9.0) == []
    assert fed(ring, 10, 12) == []


def test_the_rest_of_a_cut_second_of_jpegs_comes_out_alone() -> None:
    ring = Ring(5.0, LARGE)
    ring.record(0.0, 0.4)
    assert spans(fed(ring, 0, 6, MJPEG)) == [(0, 4)]
    ring.record(0.0, 0.8)
    assert spans(fed(ring, 6, 10, MJPEG)) == [(5, 8)]


def test_a_wish_that_shrinks_undoes_nothing_and_one_apart_wants_nothing_between() -> None:
    ring = Ring(20.0, LARGE)
    ring.record(1.0, 2.5)
    ring.record(1.0, 1.2)
    ring.record(5.0, 5.5)
    assert spans(fed(ring, 0, 100)) == [(10, 19), (20, 25), (50, 55)]


def test_a_wish_that_ends_before_it_begins_wants_nothing() -> None:
    ring = Ring(5.0, LARGE)
    assert ring.record(1.9, 1.1) == []
    assert fed(ring, 0, 40) == []


def test_a_wish_for_later_waits_and_does_not_hold_up_the_end_of_one_before() -> None:
    ring = Ring(5.0, LARGE)
    ring.record(0.2, 0.3)
    ring.record(0.7, 1.4)
    assert spans(fed(ring, 0, 5)) == [(0, 3)]
    assert spans(fed(ring, 5, 20)) == [(0, 9), (10, 14)]


def test_jpegs_come_in_groups_of_a_second_and_slower_ones_alone() -> None:
    ring = Ring(60.0, LARGE)
    ring.record(0.0, 100.0)
    assert spans(fed(ring, 0, 31, MJPEG)) == [(0, 9), (10, 19), (20, 29)]
    assert spans([clip for at in (50, 70, 90) for clip in ring.add(plain(at, key=True), MJPEG)]) == [
        (30, 30), (50, 50), (70, 70),
    ]  # fmt: skip


def test_a_camera_of_key_pictures_alone_makes_one_file_a_second() -> None:
    ring = Ring(60.0, LARGE)
    ring.record(0.0, 100.0)
    clips = [clip for tenth in range(25) for clip in ring.add(plain(tenth, key=True), H264)]
    assert spans(clips) == [(0, 9), (10, 19)]


def test_pictures_before_the_first_key_picture_are_left_out() -> None:
    ring = Ring(5.0, LARGE)
    ring.record(0.0, 100.0)
    assert spans(fed(ring, 5, 21)) == [(10, 19)]
    assert ring.left_out == 5


def test_the_ring_holds_its_seconds_and_one_gop_more() -> None:
    ring = Ring(2.5, LARGE)
    fed(ring, 0, 70)
    assert ring.seconds == pytest.approx(2.9)
    assert spans(ring.record(0.0, 6.9)) == [(40, 49), (50, 59)]


def test_what_was_before_a_break_goes_by_its_own_end() -> None:
    ring = Ring(2.5, LARGE)
    fed(ring, 0, 15)
    ring.end()
    fed(ring, 35, 40)  # no key picture yet
    assert ring.picture(9.9) == Clip((plain(10),), H264)
    fed(ring, 40, 45)
    assert ring.picture(0.0) == Clip((plain(40),), H264)
    ring.end()
    fed(ring, 101, 105)
    assert (ring.picture(9.9), ring.bytes, ring.seconds) == (None, 0, 0.0)


def test_the_oldest_gop_goes_when_the_bytes_are_too_many() -> None:
    ring = Ring(100.0, 2_400)
    fed(ring, 0, 30)
    assert ring.bytes == 2_000  # the first second went as the third one grew
    fed(ring, 30, 70)
    assert ring.bytes <= 2_400
    assert spans(ring.record(0.0, 6.9)) == [(50, 59)]


def test_a_gop_larger_than_the_ring_is_dropped_whole_and_counted() -> None:
    ring = Ring(5.0, 650)
    fed(ring, 0, 10)
    assert (ring.bytes, ring.too_large, ring.left_out) == (0, 1, 3)
    assert ring.add(plain(10, size=650), H264) == []
    assert (ring.bytes, ring.too_large) == (650, 1)
    assert ring.picture(2.0) == Clip((plain(10, size=650),), H264)


def test_what_is_wanted_of_a_gop_comes_out_before_it_is_dropped() -> None:
    ring = Ring(5.0, 650)
    ring.record(0.0, 9.0)
    assert spans(fed(ring, 0, 11)) == [(0, 6)]


def test_the_end_of_a_connection_gives_what_is_wanted_and_nothing_more_hangs_on_it() -> None:
    ring = Ring(5.0, LARGE)
    ring.record(0.0, 9.0)
    fed(ring, 0, 5)
    assert spans(ring.end()) == [(0, 4)]
    assert ring.through_s == 0.4
    assert ring.end() == []
    assert spans(fed(ring, 25, 31)) == []
    assert ring.left_out == 5
    assert 2.999 < ring.through_s < 3.0


def test_what_was_before_a_pause_is_not_wanted_by_a_wish_after_it() -> None:
    ring = Ring(60.0, LARGE)
    fed(ring, 0, 5)
    ring.end()
    ring.record(3.0, 9.0)
    assert spans(fed(ring, 40, 51)) == [(40, 49)]


def test_a_clip_has_the_stream_of_its_own_key_picture() -> None:
    before, after = Stream("h264", 640, 480, b"one"), Stream("h264", 1280, 720, b"two")
    ring = Ring(60.0, LARGE)
    ring.record(0.0, 9.0)
    fed(ring, 0, 5, before)
    assert [clip.stream for clip in [*ring.end(), *fed(ring, 10, 21, after)]] == [before, after]


def test_a_picture_alone_is_the_key_picture_at_or_before_else_the_first_after() -> None:
    ring = Ring(60.0, LARGE)
    assert ring.picture(1.0) is None
    fed(ring, 10, 45)
    found = [ring.picture(at_s) for at_s in (0.5, 1.0, 1.9, 2.0, 99.0)]
    assert spans([clip for clip in found if clip]) == [(10, 10), (10, 10), (10, 10), (20, 20), (40, 40)]


def test_a_picture_alone_of_jpegs_is_the_last_before() -> None:
    ring = Ring(60.0, LARGE)
    fed(ring, 0, 20, MJPEG)
    clip = ring.picture(1.46)
    assert clip is not None
    assert spans([clip]) == [(14, 14)]


def test_pictures_shown_before_the_key_picture_that_they_come_after_count() -> None:
    """An open GOP: they come with the key picture, and a wish that ends with them wants it."""
    ring = Ring(60.0, LARGE)
    fed(ring, 0, 18)
    ring.record(1.0, 1.85)
    clips = [*ring.add(picture(20), H264), *ring.add(picture(18, b_frame=True), H264)]
    clips += ring.add(picture(19, b_frame=True), H264)
    assert spans(clips) == [(10, 17), (20, 18)]
    assert (clips[1].from_s, clips[1].to_s) == (1.8, 2.0)
