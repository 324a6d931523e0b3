"""Two pictures of one thing, compared as an eye would: what differs by the edge of a letter is the same.

Chromium's versions draw glyphs a little differently and up to a pixel elsewhere, so that squares are compared, blurred,
each where it fits best.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SQUARE = 8
# Of 255, in the mean of a square.
MOST_OFF = 6.5
MOST_SQUARES = 2
_BLUR = ImageFilter.GaussianBlur(1)
_AROUND = tuple(product((-1, 0, 1), repeat=2))


def taken(png: Path) -> Image.Image:
    """A screenshot of two pixels for each of the page's, as one for each, in few colours so that its file is small."""
    with Image.open(png) as picture:
        half = picture.convert("RGB").resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    return half.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).convert("RGB")


def squares_that_differ(shown: Image.Image, wanted: Image.Image) -> list[tuple[int, int]]:
    """Left and top of each square that differs; of pictures of two sizes, all."""
    one, other = _pixels(shown), _pixels(wanted)
    if one.shape != other.shape:
        return [(left, top) for top in range(0, shown.height, SQUARE) for left in range(0, shown.width, SQUARE)]
    off = np.min([_off(np.roll(one, around, axis=(0, 1)), other) for around in _AROUND], axis=0)
    return [(int(left) * SQUARE, int(top) * SQUARE) for top, left in np.argwhere(off > MOST_OFF)]


def _pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").filter(_BLUR), dtype=float)


def _off(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How much each square differs, in the colour in which it differs most."""
    off = np.abs(one - other)
    high, wide = off.shape[0] // SQUARE, off.shape[1] // SQUARE
    squares = off[: high * SQUARE, : wide * SQUARE].reshape(high, SQUARE, wide, SQUARE, 3)
    result: np.ndarray = squares.mean(axis=(1, 3)).max(axis=2)
    return result
