"""The code in a simulated picture: its blocks as the module tells them, and what survives on the way to a reader."""

import random

import cv2
import numpy as np
import pytest

from simulators.picture import draw, read_frame

SIZES = [(64, 64), (160, 120), (640, 360), (1280, 720), (1920, 1080)]
ROWS_OF_42_AT_987654_MS = [
    "........" "........" "........" "..#.#.#.",  # number 0x0000002a
    "........" "........" "........" "....####",  # time 0x00000000f1206, its upper half
    "...#..#." ".....##." "#..###.." ".#######",  # the rest of it, and 0x9c7f of the CRC-32 that gzip writes
]  # fmt: skip


def test_the_band_at_the_lower_edge_is_number_and_time_and_checksum_highest_bit_first() -> None:
    picture = draw(42, 987_654, 640, 360)
    rows = ["".join("#" if picture[y, x].all() else "." for x in range(10, 640, 20)) for y in (322, 337, 352)]
    assert rows == ROWS_OF_42_AT_987654_MS


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("number", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("time_ms", [0, 123_456_789, 2**48 - 1])
def test_a_picture_says_which_it_is_at_any_size(width: int, height: int, number: int, time_ms: int) -> None:
    assert read_frame(draw(number, time_ms, width, height)) == (number, time_ms)


@pytest.mark.parametrize("quality", [95, 50, 10])
def test_the_code_survives_jpeg(quality: int) -> None:
    for number in range(200, 230):
        jpeg = cv2.imencode(".jpg", draw(number, number * 67, 640, 360), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        assert read_frame(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)) == (number, number * 67)
        assert read_frame(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)) == (number, number * 67)


def test_the_code_survives_another_size() -> None:
    small = cv2.resize(draw(7, 8, 1920, 1080), (480, 270), interpolation=cv2.INTER_AREA)
    assert read_frame(small) == (7, 8)


def test_one_block_that_is_wrong_makes_it_unreadable() -> None:
    for column in range(32):
        for row in range(3):
            picture = draw(42, 987_654, 640, 360)
            block = picture[315 + 15 * row : 330 + 15 * row, 20 * column : 20 * column + 20]
            block[:] = 255 - block
            assert read_frame(picture) is None


def test_what_is_no_such_picture_is_not_read() -> None:
    rng = np.random.default_rng(4)
    for picture in (np.zeros((360, 640, 3)), np.full((360, 640, 3), 255), *(rng.random((9, 360, 640)) * 255)):
        assert read_frame(picture.astype(np.uint8)) is None


def test_a_dark_picture_is_black_and_a_covered_one_is_plain_and_nobody_can_read_either() -> None:
    dark, covered, street = (draw(9, 9, 640, 360, scene) for scene in ("dark", "covered", "street"))
    assert dark.mean() < 10
    assert covered.mean() > 80
    assert covered.std() < 5 < street.std()
    assert read_frame(dark) is read_frame(covered) is None


def test_two_pictures_are_never_the_same_as_of_a_real_sensor() -> None:
    for scene in ("street", "dark", "covered"):
        assert (draw(1, 67, 640, 360, scene) != draw(2, 133, 640, 360, scene)).any()


def test_somebody_walks_through_the_street() -> None:
    upper = [draw(0, at_ms, 640, 360)[120:260] for at_ms in (1000, 3000)]
    assert (upper[0] != upper[1]).any(axis=2).mean() > 0.01


def test_drawing_one_picture_leaves_the_next_one_clean() -> None:
    first = draw(5, 67, 640, 360)
    draw(random.randrange(2**32), 4000, 640, 360)
    again = draw(5, 67, 640, 360)
    assert (first[30:] == again[30:]).all()  # above stands the time of day
