"""Pictures of papers before a camera: codes by zxing-cpp's writer, lines of text by OpenCV."""

from collections.abc import Sequence

import cv2
import numpy as np
import zxingcpp
from cv2.typing import MatLike


def desk(*papers: MatLike, width: int = 1280, height: int = 720) -> MatLike:
    """Papers side by side on a grey desk, with a sensor's noise."""
    rng = np.random.default_rng(1)
    picture = np.full((height, width, 3), 150, np.uint8)
    left = 40
    for paper in papers:
        high, wide = paper.shape[:2]
        picture[60 : 60 + high, left : left + wide] = paper if paper.ndim == 3 else paper[:, :, None]
        left += wide + 40
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def code(text: str | bytes, form: str, scale: int = 4, **more: str) -> MatLike:
    made = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, form), **more)
    return np.asarray(made.to_image(scale=scale, add_quiet_zones=True))


def text(lines: Sequence[str], width: int = 1200, scale: float = 1.0) -> MatLike:
    """Dark on white."""
    paper = np.full((60 * len(lines) + 40, width, 3), 245, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(paper, line, (20, 60 * number + 60), cv2.FONT_HERSHEY_SIMPLEX, scale, (25, 25, 25), 2)
    return paper


def jpeg(picture: MatLike) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()
