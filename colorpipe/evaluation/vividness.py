"""The path from faithful to vivid: decodings of a colorizer that classifies over color bins.

A colorizer with the head "bins" predicts a distribution. How it is decoded (see
`Colorizer.decode`) decides whether its colors have a low error or the originals' colorfulness.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

POINTS = 5


class Decoding(NamedTuple):
    """A decoding, and what it gives on a set of images.

    Attributes:
        alpha: Share of the re-balancing that is undone, 0 to 1.
        temperature: Softmax temperature.
        mse: ab MSE in squared Lab units, the mean over the images.
        colorfulness: Colorfulness of the rendered images, the mean over the images.
    """

    alpha: float
    temperature: float
    mse: float
    colorfulness: float


def find_path(decodings: Sequence[Decoding], original_colorfulness: float) -> list[Decoding]:
    """Choose POINTS decodings, from the faithful to the vivid one.

    The faithful decoding has the lowest MSE. The vivid one has the colorfulness nearest to the
    originals', among the decodings that are at least as colorful as the faithful one. The points in
    between have levels of colorfulness at equal distances. Each of them is the decoding with the
    lowest MSE of those that reach its level and are not more colorful than the vivid one. Several
    points can be the same decoding.

    Args:
        decodings: One decoding or more, measured on the same images.
        original_colorfulness: The mean colorfulness of the original images.
    """
    faithful = min(decodings, key=lambda decoding: (decoding.mse, -decoding.colorfulness))
    low = faithful.colorfulness
    candidates = [decoding for decoding in decodings if decoding.colorfulness >= low]
    vivid = min(
        candidates,
        key=lambda decoding: (abs(decoding.colorfulness - original_colorfulness), decoding.mse),
    )
    high = vivid.colorfulness
    path = [faithful]
    for step in range(1, POINTS - 1):
        level = low + (high - low) * step / (POINTS - 1)
        reaching = [decoding for decoding in candidates if level <= decoding.colorfulness <= high]
        path.append(min(reaching, key=lambda decoding: (decoding.mse, -decoding.colorfulness)))
    return [*path, vivid]


def interpolate(path: Sequence[Decoding], vividness: float) -> tuple[float, float]:
    """Return the alpha and the temperature of a vividness, linearly between the path's points.

    Args:
        path: Points at equal distances of vividness, from faithful to vivid.
        vividness: From 0, the first point, to 1, the last point.
    """
    positions = np.linspace(0, 1, len(path))
    alpha = np.interp(vividness, positions, [point.alpha for point in path])
    temperature = np.interp(vividness, positions, [point.temperature for point in path])
    return float(alpha), float(temperature)
