"""From a data set's archive to prepared arrays: train, validation (drawn once with the seed) and test, memory-mappable."""

from pathlib import Path

import numpy as np

from colorpipe import config, io, paths
from colorpipe.data.base import Array, Dataset, Images
from colorpipe.data.prior import color_prior
from colorpipe.runtime.errors import UserError

MIN_SHARE = 10  # images, of a share


def split(data: str, size: int, val_size: float, seed: int, neighbors: int, sigma: float) -> None:
    """Read a data set's archive; write data/<data>/{train,val,test}.npy, their labels, the class names and the color prior.

    Where a data set has no test set, one of the same size as the validation set is drawn first.

    Args:
        data: a data set of params.yaml.
        size: pixels a side.
        val_size: images held out for validation; below 1 their share of all, MIN_SHARE images at least.
        seed: of the draw.
        neighbors: of the color prior (`bins.encode`).
        sigma: likewise.

    Raises:
        UserError: the archive is damaged, or leaves nothing to train, validate or test on.
    """
    module = config.plugin("datasets", data)
    content: Dataset = module.read(paths.raw(data) / module.ARCHIVE, size)
    train, test = content.train, content.test
    count = int(val_size) if val_size >= 1 else max(MIN_SHARE, round(val_size * len(train.images)))
    if test is None:
        if 2 * count >= len(train.images):
            raise UserError(
                f"datasets.{data}.val_size: {count} for validation and as many for testing leave none of "
                f"{len(train.images)} images to train on: set it to a lower number of images, or add images"
            )
        test, train = _held_out(train, count, seed, data)
    if not len(test.images):
        raise UserError(f"{data}: the archive has no test images")
    val, train = _held_out(train, count, seed, data)
    absent = [name for label, name in enumerate(content.classes) if not (train.labels == label).any()]
    if absent:
        print(f"{data}: no training images of {', '.join(absent)}")
    for name, part in (("train", train), ("val", val), ("test", test)):
        _write(paths.images(data, name), np.ascontiguousarray(part.images))
        _write(paths.labels(data, name), part.labels)
        print(f"{data} {name}: {len(part.images)} images")
    io.write_json(paths.classes(data), content.classes, indent=None)
    prior = color_prior(train.images, neighbors, sigma, f"{data} colors")
    _write(paths.prior(data), prior.numpy())


def _held_out(images: Images, count: int, seed: int, data: str) -> tuple[Images, Images]:
    """The drawn images, and the others."""
    chosen = draw(images.areas, count, seed, data)
    held_out, rest = (Images(*(part[which] for part in images)) for which in (chosen, ~chosen))
    return held_out, rest


def draw(areas: Array, val_size: int, seed: int, data: str) -> Array:
    """Draw the images to hold out, with the seed: (N,) bool, `val_size` of them true.

    Images of one area stay together, so that no pixel of a held-out image is in another; where areas hold several images,
    as many whole areas as fit are drawn. Raises UserError where that leaves either side empty.
    """
    if len(areas) < 2:
        raise UserError(
            f"{data}: {len(areas)} training images cannot be split into train and validation: add images, two at least"
        )
    order = np.random.default_rng(seed).permutation(np.unique(areas))
    sizes = np.bincount(areas)[order]
    chosen, count = [], 0
    for area, size in zip(order, sizes, strict=True):
        if count + size <= val_size:
            chosen.append(area)
            count += size
    in_val = np.isin(areas, chosen)
    if not in_val.any() or in_val.all():
        raise UserError(
            f"datasets.{data}.val_size: {val_size} of {len(areas)} training images leaves nothing to "
            f"{'train on' if in_val.any() else 'validate on'}; allowed here: {sizes.max()} to {len(areas) - sizes.max()}"
        )
    return in_val


def _write(path: Path, array: Array) -> None:
    with io.atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
