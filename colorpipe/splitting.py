"""A data set as it comes to prepared arrays: train, validation and test, drawn once with the seed, memory-mappable."""

import importlib
from pathlib import Path

import numpy as np

from colorpipe import files, paths
from colorpipe.datasets.common import DataSet, Images
from colorpipe.errors import UserError


def split(data: str, size: int, val_size: int, seed: int) -> None:
    """Read a data set's archive and write data/<data>/{train,val,test}.npy, their labels and the class names.

    Where a data set has no test set, as many images as are for validation are drawn for testing first.
    """
    module = importlib.import_module(f"colorpipe.datasets.{data}")
    content: DataSet = module.read(paths.raw(data) / module.ARCHIVE, size)
    train, test = content.train, content.test
    if test is None:
        if 2 * val_size >= len(train.images):
            raise UserError(
                f"datasets.{data}.val_size: {val_size} for validation and as many for testing leave none of "
                f"{len(train.images)} images to train on"
            )
        test, train = _held_out(train, val_size, seed, data)
    if not len(test.images):
        raise UserError(f"{data}: the archive has no test images")
    val, train = _held_out(train, val_size, seed, data)
    lacking = [name for label, name in enumerate(content.classes) if not (train.labels == label).any()]
    if lacking:
        print(f"{data}: no training images of {', '.join(lacking)}")
    for name, part in (("train", train), ("val", val), ("test", test)):
        _write(paths.images(data, name), np.ascontiguousarray(part.images))
        _write(paths.labels(data, name), part.labels)
        print(f"{data} {name}: {len(part.images)} images")
    files.write_json(paths.classes(data), content.classes, indent=None)


def _held_out(images: Images, count: int, seed: int, data: str) -> tuple[Images, Images]:
    """The images that are drawn, and the others."""
    chosen = draw(images.areas, count, seed, data)
    held_out, rest = (Images(*(part[which] for part in images)) for which in (chosen, ~chosen))
    return held_out, rest


def draw(areas: np.ndarray, val_size: int, seed: int, data: str) -> np.ndarray:
    """Which images are held out: (N,) bool, `val_size` true, drawn at random with the seed.

    Images of one area go together, so that no pixel of an image held out is in another; where areas hold
    several images, as many whole areas as fit are drawn. Raises UserError where that leaves either side empty.
    """
    if len(areas) < 2:
        raise UserError(f"{data}: {len(areas)} training images are none to train on and to validate on: two at least")
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


def _write(path: Path, array: np.ndarray) -> None:
    with files.replaced(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
