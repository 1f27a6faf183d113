"""The content of a data set: images, labels and groups, with a test set if the source has one."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


class Images(NamedTuple):
    """Images with a label and a group each.

    Images of a group may share pixels or be near-duplicates, so `split` never separates them.

    Attributes:
        images: sRGB images of shape (N, 3, H, W), uint8.
        labels: Class of each image, shape (N,), int64.
        groups: Number of each image's group, shape (N,), int64.
    """

    images: Array
    labels: Array
    groups: Array


@dataclass(frozen=True)
class Dataset:
    """A data set in memory or in a memory-mapped file.

    Attributes:
        train: Images to train and validate on.
        test: Images to test on, or None if the data set has no test set of its own.
        classes: Names of the classes. Empty if there are none.
    """

    train: Images
    test: Images | None
    classes: tuple[str, ...]

    def resized(self, size: int) -> Self:
        """Return the data set with all images resized to `size` x `size` pixels.

        Images that have this size already are not changed.
        """
        train = self.train._replace(images=_resize(self.train.images, size))
        test = self.test._replace(images=_resize(self.test.images, size)) if self.test else None
        return type(self)(train, test, self.classes)


def _resize(images: Array, size: int) -> Array:
    """Resize square images of shape (N, 3, H, H) to (N, 3, size, size)."""
    if images.shape[-1] == size:
        return images
    resized = np.empty((len(images), 3, size, size), np.uint8)
    for number, image in enumerate(images.transpose(0, 2, 3, 1)):
        small = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
        resized[number] = np.asarray(small).transpose(2, 0, 1)
    return resized
