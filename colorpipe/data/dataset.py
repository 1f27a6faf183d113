"""What a data set is: images, labels and areas, split into train and test where it has its own test set."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


class Images(NamedTuple):
    """Images (N, 3, H, W) uint8 sRGB; labels (N,) int64; areas (N,) int64.

    Images of the same area may share pixels, so they always stay on one side of a split.
    """

    images: Array
    labels: Array
    areas: Array


@dataclass(frozen=True)
class Dataset:
    """A data set: train images, test images where it has its own, and the class names, if any."""

    train: Images
    test: Images | None
    classes: tuple[str, ...]

    def resized(self, size: int) -> Self:
        """All images at size x size pixels; those of that size unchanged."""
        train = self.train._replace(images=_resized(self.train.images, size))
        test = self.test._replace(images=_resized(self.test.images, size)) if self.test else None
        return type(self)(train, test, self.classes)


def _resized(images: Array, size: int) -> Array:
    """Square images (N, 3, H, H) as (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images
    squares = (
        Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
        for image in images.transpose(0, 2, 3, 1)
    )
    return np.array([np.asarray(square).transpose(2, 0, 1) for square in squares])
