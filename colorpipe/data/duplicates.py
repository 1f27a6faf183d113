"""Groups of near-duplicates: the same photograph saved again, resized, or with other metadata.

Small versions of the photographs find the candidates, and the pixels confirm them. A hash of bits,
such as ImageHash's, is not used: noise flips its bits where an image is flat, such as in the sky,
and different landscapes have the same bits.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from colorpipe.data.dataset import Array
from colorpipe.runtime.errors import printable_path

SIDE = 8  # pixels of a small version
# Limits of the root mean square difference, in levels of 255. Small versions of different
# photographs (2,500 of ImageNet were compared) differ by more than 10. If a photograph is saved
# again as JPEG, at half or twice the size, its small version differs by at most 2, and its square
# of 64 pixels by at most 15.2.
CANDIDATE = 5
CONFIRMED = 16
ROWS = 256  # photographs that are compared with all others at a time
MAX_NAMED = 10  # groups that a message names


def make_thumbnail(image: Array) -> Array:
    """Return the small version of an image (3, S, S), uint8: shape (192,), float32.

    Each of its pixels is the mean of a part of the image.
    """
    pixels = torch.from_numpy(image.astype(np.float32))
    thumbnail: Array = torch.nn.functional.adaptive_avg_pool2d(pixels, SIDE).flatten().numpy()
    return thumbnail


def group_duplicates(images: Array, thumbnails: Sequence[Array]) -> Array:
    """Return the group of each image, numbered from 0 in the order of the first images.

    Args:
        images: sRGB images of shape (N, 3, S, S), uint8, which may be memory-mapped.
        thumbnails: The small version of each image.

    Returns:
        Group numbers of shape (N,), int64.
    """
    first = np.arange(len(images))  # the first image of each image's group
    for a, b in _find_candidates(np.array(thumbnails)):
        if first[a] != first[b] and _are_close(images[a], images[b]):
            low, high = sorted((first[a], first[b]))
            first[first == high] = low
    groups: Array = np.unique(first, return_inverse=True)[1].astype(np.int64)
    return groups


def print_groups(names: Sequence[str], groups: Array) -> None:
    """Print the groups with more than one photograph, if there are any."""
    members: dict[int, list[str]] = {}
    for name, group in zip(names, groups.tolist(), strict=True):
        members.setdefault(group, []).append(printable_path(Path(name)))
    texts = [" = ".join(group) for group in members.values() if len(group) > 1]
    if texts:
        print(
            f"folder: {len(texts)} group{'s' if len(texts) > 1 else ''} of near-duplicates, each "
            f"kept in one part of the split: {', '.join(texts[:MAX_NAMED])}"
            + (", ..." if len(texts) > MAX_NAMED else "")
        )


def _find_candidates(thumbnails: Array) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images whose small versions are close."""
    small = torch.from_numpy(thumbnails)
    for start in range(0, len(small), ROWS):
        rows = small[start : start + ROWS]
        distances = torch.cdist(rows, small[start:]) / small.shape[1] ** 0.5
        for row, column in (distances <= CANDIDATE).nonzero().tolist():
            if row < column:
                yield start + row, start + column


def _are_close(one: Array, other: Array) -> bool:
    difference = one.astype(np.float32) - other
    return bool(np.sqrt(np.mean(difference**2)) <= CONFIRMED)
