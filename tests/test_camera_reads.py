"""Which picture a press gets, and whose turn is next: in virtual time."""

from math import inf

from drivers.camera_reads import AFTER_S, BUSY, LATE, LATE_S, READS_MAX, Asked, Reads
from drivers.packet_ring import Clip
from drivers.packets import Packet, Stream, Taken


def picture(at_s: float) -> Clip:
    return Clip((Taken(Packet(b"", True, at_s, at_s, at_s), at_s),), Stream("mjpeg"))


def press(reads: Reads, at_s: float, ref: str = "a") -> Asked:
    asked = Asked("read", ref, at_s, at_s)
    assert reads.ask(asked)
    return asked


def test_a_picture_from_after_the_press_is_taken_as_soon_as_it_comes() -> None:
    reads = Reads()
    asked = press(reads, 10.0)
    reads.pick(picture(9.9), "", 10.0)
    assert reads.take(10.0) is None
    assert reads.waiting
    reads.pick(picture(10.1), "", 10.2)
    assert reads.take(10.2) is asked
    assert asked.clip == picture(10.1)
    assert not reads.waiting


def test_without_one_within_a_second_the_newest_before_the_press_has_to_do() -> None:
    reads = Reads()
    asked = press(reads, 10.0)
    assert reads.due_s() == 10.0 + AFTER_S
    reads.pick(picture(8.0), "", 10.99)
    assert reads.take(10.99) is None
    reads.pick(picture(8.0), "", 11.0)
    assert reads.take(11.0) is asked
    assert (asked.clip, asked.reason) == (picture(8.0), "")
    assert reads.due_s() == inf


def test_a_camera_that_is_away_for_that_second_is_the_reason() -> None:
    reads = Reads()
    press(reads, 10.0)
    press(reads, 10.5, "b")
    reads.pick(None, "nobody listens there", 11.0)
    first = reads.take(11.0)
    assert first
    assert first.reason == "the camera brings no picture: nobody listens there"
    assert reads.take(11.0) is None
    reads.pick(picture(11.2), "", 11.2)  # it is back in time for the second press
    second = reads.take(11.2)
    assert second
    assert (second.clip, second.reason) == (picture(11.2), "")


def test_each_press_has_its_own_picture_and_they_are_read_in_their_order() -> None:
    reads = Reads()
    first, second = press(reads, 10.0, "a"), press(reads, 10.5, "b")
    reads.pick(picture(10.1), "", 10.1)
    reads.pick(picture(10.6), "", 10.6)
    assert (first.clip, second.clip) == (picture(10.1), picture(10.6))
    assert [reads.take(12.0), reads.take(12.0), reads.take(12.0)] == [first, second, None]


def test_too_many_at_once_are_refused_and_who_has_waited_too_long_is_told_so() -> None:
    reads = Reads()
    for number in range(READS_MAX):
        press(reads, 10.0, str(number))
    assert not reads.ask(Asked("read", "one more", 10.0, 10.0))
    assert str(READS_MAX) in BUSY
    reads.pick(picture(10.0), "", 10.0)
    assert [asked.reason for _ in range(2) if (asked := reads.take(10.0 + LATE_S))] == ["", ""]
    assert [asked.reason for _ in range(2) if (asked := reads.take(10.1 + LATE_S))] == [LATE, LATE]


def test_a_preview_takes_what_there_is() -> None:
    reads = Reads()
    assert reads.ask(Asked("preview", "p", -inf, 10.0))
    reads.pick(picture(3.0), "", 10.0)
    asked = reads.take(10.0)
    assert asked
    assert asked.clip == picture(3.0)
    assert reads.ask(Asked("preview", "q", -inf, 10.0))
    reads.pick(None, "", 10.0)
    asked = reads.take(10.0)
    assert asked
    assert asked.reason == "the camera brings no picture: none has come yet"
