"""Polygons that hide parts of a picture: whether one can be meant, and whether they leave anything to see. Pure.

A corner is (x, y) in parts of the picture's width and height, from its upper left, 0 to 1.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import Final

Point = tuple[float, float]
Polygon = tuple[Point, ...]

FIELDS: Final = 32
"""Fields of a side of the picture. Whether something is left to see is asked in the middle of each."""


def corners(points: Sequence[Point]) -> Polygon:
    """Each corner once, where one stands twice in a row, or the first one again at the end."""
    return tuple(point for point, after in pairwise([*points, *points[:1]]) if point != after)


def meeting(polygon: Polygon) -> tuple[int, int] | None:
    """Two edges that are no neighbours and yet cross or touch, as the numbers of the corners where they begin, from 1.

    What such a polygon encloses is not plain: where it goes round twice, a filled one may be clear.
    """
    for (one, first), (other, second) in combinations(enumerate(_edges(polygon), 1), 2):
        if other - one not in (1, len(polygon) - 1) and _meet(*first, *second):
            return one, other
    return None


def area(polygon: Polygon) -> float:
    """In parts of the picture's, by the shoelace formula."""
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in _edges(polygon))) / 2


def hide_all(polygons: Iterable[Polygon]) -> bool:
    """Whether they leave nothing to see."""
    middles = [(number + 0.5) / FIELDS for number in range(FIELDS)]
    left = [(x, y) for x in middles for y in middles]
    for polygon in polygons:
        left = [point for point in left if not _within(point, polygon)]
    return not left


def _edges(polygon: Polygon) -> Iterator[tuple[Point, Point]]:
    return zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)


def _within(point: Point, polygon: Polygon) -> bool:
    """Whether what goes from it to the right crosses the edges an odd number of times."""
    x, y = point
    right = [
        x < x1 + (y - y1) / (y2 - y1) * (x2 - x1) for (x1, y1), (x2, y2) in _edges(polygon) if (y1 > y) != (y2 > y)
    ]
    return sum(right) % 2 == 1


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd have a point in common."""
    c_side, d_side, a_side, b_side = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if 0 not in (c_side, d_side, a_side, b_side):
        return c_side * d_side < 0 and a_side * b_side < 0
    on = ((c_side, a, b, c), (d_side, a, b, d), (a_side, c, d, a), (b_side, c, d, b))
    return any(side == 0 and _spans(one, other, point) for side, one, other, point in on)


def _side(a: Point, b: Point, c: Point) -> float:
    """On which side of the line from a to b c lies: above 0, below 0, or 0 for on it."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _spans(a: Point, b: Point, c: Point) -> bool:
    """Whether c, which lies on the line through a and b, lies between them."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
