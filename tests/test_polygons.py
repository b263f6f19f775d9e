"""Polygons that hide parts of a picture: which can be meant, and what is left to see."""

import math

import pytest

from agent.polygons import Polygon, area, corners, hide_all, meeting

SQUARE: Polygon = ((0, 0), (1, 0), (1, 1), (0, 1))
STAR: Polygon = tuple(
    (0.5 + math.sin(at * 0.8 * math.pi) / 2, 0.5 - math.cos(at * 0.8 * math.pi) / 2) for at in range(5)
)


@pytest.mark.parametrize(
    "polygon",
    [
        SQUARE,
        SQUARE[::-1],
        ((0, 0), (1, 0), (0.5, 0.5)),
        ((0, 0), (1, 0), (1, 1), (0.5, 0.1), (0, 1)),  # a notch
        ((0, 0), (9, 0), (9, 9), (3, 9), (3, 5), (5, 5), (5, 7), (7, 7), (7, 2), (0, 2)),  # a spiral
    ],
)  # fmt: skip
def test_edges_of_a_plain_polygon_meet_only_their_neighbours(polygon: Polygon) -> None:
    assert meeting(polygon) is None


@pytest.mark.parametrize(
    ("polygon", "edges"),
    [
        (((0, 0), (1, 1), (1, 0), (0, 1)), (1, 3)),  # a bow
        (STAR, (1, 3)),
        (((0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1)), (1, 3)),  # a corner touches an edge
        (((0, 0), (1, 0), (0.5, 0.5), (1, 1), (0, 1), (0.5, 0.5)), (2, 5)),  # two corners are in one place
        ((*SQUARE, *SQUARE), (1, 4)),  # twice round
        (((0, 0), (0.8, 0), (0.8, 0.5), (0.4, 0), (0.2, 0), (0.2, 0.5)), (1, 3)),  # an edge lies on another
    ],
)
def test_a_polygon_that_crosses_or_touches_itself_is_told_with_its_edges(
    polygon: Polygon, edges: tuple[int, int]
) -> None:
    assert meeting(polygon) == edges


def test_a_corner_that_is_told_twice_is_one() -> None:
    assert corners([*SQUARE, SQUARE[0]]) == SQUARE
    assert corners([(0, 0), (0, 0), (1, 0), (1, 1)]) == ((0, 0), (1, 0), (1, 1))
    assert corners([(0, 0), (0, 0), (0, 0)]) == ()


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [(SQUARE, 1), (SQUARE[::-1], 1), (SQUARE[:3], 0.5), (((0, 0), (0.5, 0.5), (1, 1)), 0)],
)
def test_the_area_is_in_parts_of_the_picture(polygon: Polygon, expected: float) -> None:
    assert area(polygon) == pytest.approx(expected)


def test_what_leaves_a_corner_hides_not_all() -> None:
    left: Polygon = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
    right: Polygon = ((0.5, 0), (1, 0), (1, 1), (0.5, 1))
    notched: Polygon = ((0.5, 0), (0.9, 0), (0.9, 0.1), (1, 0.1), (1, 1), (0.5, 1))
    assert hide_all([SQUARE])
    assert hide_all([left, right])
    assert not hide_all([left, notched])
    assert not hide_all([left])
    assert not hide_all([])
