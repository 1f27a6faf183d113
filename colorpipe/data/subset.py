"""A share of the training labels: as many of each class, drawn with the seed, the smaller share within the larger."""

import numpy as np

from colorpipe.data.base import Array


def balanced(labels: Array, percent: int, seed: int) -> Array:
    """Choose images whose labels are used.

    Each class is put in an order of its own, which the seed alone decides; a share is the first so many of each. So one
    share is within every larger one, and the same for whatever is trained on it.

    Args:
        labels: of the train set, (N,) int64.
        percent: of the train set, 1..100; all of it, balanced or not, at 100.
        seed: of the draw.

    Returns:
        Their numbers, ascending, (n,) int64: `percent` of N over the number of classes from each class, one at least, or
        all that a class has.
    """
    if percent == 100:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    classes = np.unique(labels)
    count = max(1, round(percent / 100 * len(labels) / len(classes)))
    chosen = [generator.permutation(np.flatnonzero(labels == label))[:count] for label in classes]
    return np.sort(np.concatenate(chosen))
