"""Class-balanced subsets of the training labels."""

import numpy as np

from colorpipe.data.dataset import Array


def choose_subset(labels: Array, percent: int, seed: int) -> Array:
    """Choose the images whose labels are used.

    The images of each class are shuffled with the seed. A subset takes the first n images of each
    class, so smaller subsets are contained in larger ones.

    Args:
        labels: Labels of the training images, (N,) int64.
        percent: Percentage of the training labels, below 100.
        seed: Seed of the shuffle.

    Returns:
        Indices of the chosen images in ascending order, (n,) int64. Each class contributes
        `percent` of N / (number of classes), but at least one image and at most all images of the
        class.
    """
    generator = np.random.default_rng(seed)
    classes = np.unique(labels)
    count = max(1, round(percent / 100 * len(labels) / len(classes)))
    chosen = [generator.permutation(np.flatnonzero(labels == label))[:count] for label in classes]
    return np.sort(np.concatenate(chosen))
