"""What is hidden in pictures of the simulated camera, and whether it is."""

from collections.abc import Iterable

import cv2
import numpy as np
from cv2.typing import MatLike

MASKS = [[[0.0, 0.0], [0.6, 0.0], [0.6, 0.5], [0.0, 0.5]], [[0.7, 0.1], [1.0, 0.1], [1.0, 0.8]]]
"""A rectangle over house and sky, and a triangle over the right house; the numbers at the lower edge stay legible."""
MARGIN = 16
"""Pixels: JPEG codes chroma in blocks of so many, so that an edge wavers over one of them."""
BLACK, LIGHT = 12, 25


def inside(polygon: Iterable[Iterable[float]], width: int, height: int) -> MatLike:
    """Which pixels of a picture have their middle in a convex polygon whose corners go round clockwise."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    corners = [tuple(corner) for corner in polygon]
    found = np.ones((height, width), bool)
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        found &= (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1) >= 0
    return found


def hidden(width: int, height: int, polygons: Iterable[Iterable[Iterable[float]]] = MASKS) -> tuple[MatLike, MatLike]:
    """Pixels that must be black, and those that must be as they were: MARGIN from every edge, within and outside."""
    black = np.zeros((height, width), bool)
    for polygon in polygons:
        black |= inside(polygon, width, height)
    near = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    padded = np.pad(black.astype(np.uint8), MARGIN, mode="edge")  # the picture's own edge is none of a mask
    deep = cv2.erode(padded, near)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    far = 1 - cv2.dilate(padded, near)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return deep.astype(bool), far.astype(bool)


def check(picture: MatLike) -> None:
    """Fails where a pixel of MASKS is not black, or the rest is. picture: BGR, of the street by day."""
    height, width = picture.shape[:2]
    black, clear = hidden(width, height)
    assert picture[black].max() <= BLACK
    assert np.median(picture[clear]) >= LIGHT
