"""Bytes of a stream of pictures, cut anywhere."""

import itertools
import random

import pytest

from drivers.multipart import HEAD_BYTES_MAX, PART_BYTES_MAX, Multipart
from drivers.packets import CameraError

A = b"\xff\xd8 one \xff\xd9"
B = b"\xff\xd8 the second one \xff\xd9"

WITH_LENGTH = (
    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n" + A + b"\r\n"
    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 20\r\n\r\n" + B + b"\r\n"
    b"--frame\r\n"
)
WITHOUT = WITH_LENGTH.replace(b"Content-Length: 9\r\n", b"").replace(b"Content-Length: 20\r\n", b"")
BARE_LINE_ENDS = WITHOUT.replace(b"\r\n", b"\n")
TOO_SHORT = WITH_LENGTH.replace(b": 9", b": 5").replace(b": 20", b": 0")
TOO_LONG = WITH_LENGTH.replace(b": 9", b": 11")
DASHES = WITH_LENGTH.replace(b"--frame", b"----frame")
DASHES_WITHOUT = WITHOUT.replace(b"--frame", b"----frame")
PREAMBLE = b"whatever is before\r\n" + WITH_LENGTH


def parts(data: bytes, *cuts: int, boundary: bytes = b"frame") -> list[bytes]:
    stream = Multipart(boundary)
    edges = [0, *sorted(cuts), len(data)]
    return [body for start, end in itertools.pairwise(edges) for body in stream.feed(data[start:end])]


@pytest.mark.parametrize(
    "data",
    [WITH_LENGTH, WITHOUT, BARE_LINE_ENDS, TOO_SHORT, TOO_LONG, DASHES, DASHES_WITHOUT, PREAMBLE],
    ids=["length", "none", "bare line ends", "too short", "too long", "dashes", "dashes, none", "preamble"],
)
def test_pictures_come_out_whole_wherever_the_bytes_are_cut(data: bytes) -> None:
    assert parts(data) == [A, B]
    for cut in range(1, len(data)):
        assert parts(data, cut) == [A, B], cut
    assert parts(data, *range(1, len(data))) == [A, B]


@pytest.mark.parametrize("boundary", [b"frame", b"--frame"])
def test_a_boundary_is_known_with_and_without_its_dashes(boundary: bytes) -> None:
    assert parts(WITH_LENGTH, boundary=boundary) == [A, B]


def test_a_picture_with_a_length_waits_for_no_byte_after_it() -> None:
    assert Multipart(b"frame").feed(b"--frame\r\ncontent-length:9\r\n\r\n" + A) == [A]


def test_the_end_of_a_thumbnail_is_not_taken_for_that_of_the_picture() -> None:
    picture = b"\xff\xd8 thumbnail \xff\xd9 the rest \xff\xd9"
    data = b"--frame\r\n\r\n" + picture + b"\r\n--frame\r\n"
    assert [parts(data, cut) for cut in range(1, len(data))] == [[picture]] * (len(data) - 1)


def test_a_truncated_picture_costs_none_after_it() -> None:
    cut_off = b"--frame\r\nContent-Length: 900\r\n\r\n\xff\xd8 cut\r\n"
    assert parts(cut_off + WITH_LENGTH * 30)[-2:] == [A, B]


def test_a_part_without_an_end_is_refused_and_takes_no_more_memory() -> None:
    stream = Multipart(b"frame")
    stream.feed(b"--frame\r\n\r\n")
    with pytest.raises(CameraError, match="more than 8388608 bytes"):
        for _ in range(PART_BYTES_MAX // 65536 + 2):
            stream.feed(bytes(65536))


def test_a_length_that_no_picture_has_is_no_length() -> None:
    stream = Multipart(b"frame")
    assert stream.feed(b"--frame\r\nContent-Length: 99999999999999999999\r\n\r\n" + A + b"\r\n--frame\r\n") == [A]


def test_a_head_without_an_end_is_refused() -> None:
    stream = Multipart(b"frame")
    with pytest.raises(CameraError, match="more than 8192 bytes"):
        stream.feed(b"--frame\r\n" + b"X: y\r\n" * (HEAD_BYTES_MAX // 6))


def test_endless_bytes_without_a_boundary_take_no_memory() -> None:
    stream = Multipart(b"frame")
    for _ in range(300):
        assert stream.feed(b"garbage " * 8192) == []
    assert len(stream._data) < 100
    assert stream.feed(WITH_LENGTH) == [A, B]


@pytest.mark.parametrize("seed", range(20))
def test_changed_bytes_bring_pictures_or_a_clear_error_and_the_next_whole_ones(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(WITH_LENGTH * 3)
    for _ in range(12):
        data[rng.randrange(len(data))] = rng.randrange(256)
    assert parts(bytes(data) + WITH_LENGTH * 40)[-2:] == [A, B]
