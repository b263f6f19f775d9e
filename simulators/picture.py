"""What the simulated camera sees: a street of rectangles, a figure that walks, and in it when and which picture it is.

For machines there is a band of black and white blocks at the lower edge, 32 columns by 3 rows, read row by row, white
is 1, the highest bit first:

    number     32 bits   which picture
    time_ms    48 bits   monotonic milliseconds of this boot at which it was taken
    checksum   16 bits   the low half of the CRC-32 of the ten bytes before

A block is a 32nd of the picture wide and a 24th high, so that the band is found at any size; JPEG and H.264 leave it
legible, since only black or white is asked.
"""

import zlib
from datetime import datetime
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Height x width x 3, blue, green, red."""
Scene = Literal["street", "dark", "covered"]

COLUMNS, ROWS, ROWS_IN_PICTURE = 32, 3, 24
FIGURE_S = 8  # from one side of the street to the other
CHECKSUM_MASK = 0xFFFF
NOISE_LEVELS = 4


def draw(number: int, time_ms: int, width: int, height: int, scene: Scene = "street", noise: int = 0) -> Picture:
    """One picture. width, height: pixels, multiples of 8, from 64. number: below 2**32; time_ms: below 2**48.

    noise: levels of a sensor's noise, 0 to 32; without any a picture is easier on every codec than a real one.

    Dark and covered show nothing but a sensor's noise, which differs from picture to picture; so nobody can read them.
    """
    if scene != "street":
        level, grain = (4 if scene == "dark" else 110), _noise(width, height, NOISE_LEVELS)
        return np.asarray(level + np.roll(grain, number * 7919, axis=0), dtype=np.uint8)
    picture = _street(width, height).copy()
    if noise:
        picture = np.asarray(
            cv2.add(picture, np.roll(_noise(width, height, noise), number * 7919, axis=0)), dtype=np.uint8
        )
    _walk(picture, time_ms / 1000)
    clock = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = f"{clock}  #{number}  {time_ms} ms"
    cv2.putText(picture, text, (width // 40, height // 14), cv2.FONT_HERSHEY_SIMPLEX, width / 1100, (255, 255, 255), 1)
    band = height * ROWS // ROWS_IN_PICTURE
    bits = np.unpackbits(np.frombuffer(_code(number, time_ms), dtype=np.uint8)).reshape(ROWS, COLUMNS) * np.uint8(255)
    blocks = cv2.resize(bits, (width, band), interpolation=cv2.INTER_NEAREST)
    picture[height - band :] = blocks[:, :, np.newaxis]
    return picture


def read_frame(picture: NDArray[Any] | None) -> tuple[int, int] | None:
    """(number, time_ms) of a decoded picture, BGR or grey, of any size; None where no whole code is in it, or where
    there is no picture, as cv2 answers when it could not decode one."""
    if picture is None:
        return None
    grey = picture if picture.ndim == 2 else picture[:, :, 1]
    height, width = grey.shape
    y = (np.arange(ROWS_IN_PICTURE - ROWS, ROWS_IN_PICTURE) + 0.5) * height / ROWS_IN_PICTURE
    x = (np.arange(COLUMNS) + 0.5) * width / COLUMNS
    code = np.packbits(grey[np.ix_(y.astype(int), x.astype(int))] > 127).tobytes()
    number, time_ms = int.from_bytes(code[:4], "big"), int.from_bytes(code[4:10], "big")
    return (number, time_ms) if code == _code(number, time_ms) else None


def _code(number: int, time_ms: int) -> bytes:
    told = number.to_bytes(4, "big") + time_ms.to_bytes(6, "big")
    return told + (zlib.crc32(told) & CHECKSUM_MASK).to_bytes(2, "big")


@cache
def _street(width: int, height: int) -> Picture:
    """Sky, three houses with windows, a pavement and a road."""
    street = np.full((height, width, 3), (210, 180, 140), dtype=np.uint8)
    ground = height * 3 // 5
    for left, top, colour in ((0.05, 0.20, (90, 110, 150)), (0.36, 0.12, (120, 120, 120)), (0.70, 0.25, (70, 100, 90))):
        _box(street, left, top, left + 0.25, 0.6, colour)
        for column in range(3):
            for row in range(2):
                x, y = left + 0.03 + column * 0.07, top + 0.06 + row * 0.14
                _box(street, x, y, x + 0.04, y + 0.08, (60, 50, 40))
    street[ground:] = (150, 150, 155)
    street[height * 7 // 10 :] = (80, 80, 80)
    return street


def _walk(picture: Picture, at_s: float) -> None:
    """A body, a head and two legs, as rectangles."""
    left = (at_s % FIGURE_S) / FIGURE_S * 0.95
    swing = 0.01 if at_s % 0.6 < 0.3 else 0.0
    _box(picture, left + 0.01, 0.40, left + 0.03, 0.46, (150, 170, 200))
    _box(picture, left, 0.46, left + 0.04, 0.60, (40, 40, 160))
    _box(picture, left + swing, 0.60, left + 0.015 + swing, 0.72, (60, 40, 30))
    _box(picture, left + 0.025 - swing, 0.60, left + 0.04 - swing, 0.72, (60, 40, 30))


def _box(picture: Picture, left: float, top: float, right: float, bottom: float, bgr: tuple[int, int, int]) -> None:
    """Edges as parts of the whole, 0 to 1."""
    height, width = picture.shape[:2]
    picture[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = bgr


@cache
def _noise(width: int, height: int, levels: int) -> Picture:
    return np.random.default_rng(1).integers(0, levels, (height, width, 3), dtype=np.uint8)
