"""From a data set's archive to prepared arrays: train, validation (drawn once with the seed) and test, memory-mappable.

A set may be larger than the memory: its images are copied from file to file in small portions.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from colorpipe import config, files
from colorpipe.data import arrays
from colorpipe.data.dataset import Array, Dataset, Images
from colorpipe.data.prior import color_prior
from colorpipe.runtime.errors import UserError

MIN_SHARE = 10  # images, of a share
PORTION = 4 << 20  # bytes of images in memory at a time, about


class Part(NamedTuple):
    """Some of a set's images, by their numbers (N,) int64."""

    source: Images
    numbers: Array

    @classmethod
    def whole(cls, source: Images) -> "Part":
        """All of them."""
        return cls(source, np.arange(len(source.images)))

    def held_out(self, count: int, seed: int, data: str) -> tuple["Part", "Part"]:
        """The images that are drawn, and the others."""
        chosen = draw(self.source.areas[self.numbers], count, seed, data)
        return self._replace(numbers=self.numbers[chosen]), self._replace(
            numbers=self.numbers[~chosen]
        )

    @property
    def labels(self) -> Array:
        """Of its images, (N,) int64."""
        labels: Array = self.source.labels[self.numbers]
        return labels


def split(data: str, size: int, val_size: float, seed: int, neighbors: int, sigma: float) -> None:
    """Read a data set's archive; write data/<data>/{train,val,test}.npy, their labels, the class names and the color prior.

    Where a data set has no test set, one of the same size as the validation set is drawn first.

    Args:
        data: a data set of params.yaml.
        size: pixels a side.
        val_size: images held out for validation; below 1 their share of all, MIN_SHARE images at least.
        seed: of the draw.
        neighbors: of the color prior (`bins.SoftEncoding`).
        sigma: likewise.

    Raises:
        UserError: the archive is damaged, or leaves nothing to train, validate or test on.
    """
    module = config.load_plugin("datasets", data)
    content: Dataset = module.read(files.raw_path(data) / module.ARCHIVE, size)
    train, test = Part.whole(content.train), Part.whole(content.test) if content.test else None
    count = int(val_size) if val_size >= 1 else max(MIN_SHARE, round(val_size * len(train.numbers)))
    if test is None:
        if 2 * count >= len(train.numbers):
            raise UserError(
                f"datasets.{data}.val_size: {count} for validation and as many for testing leave none of "
                f"{len(train.numbers)} images to train on: set it to a lower number of images, or add images"
            )
        test, train = train.held_out(count, seed, data)
    if not len(test.numbers):
        raise UserError(f"{data}: the archive has no test images")
    val, train = train.held_out(count, seed, data)
    absent = [
        name for label, name in enumerate(content.classes) if not (train.labels == label).any()
    ]
    if absent:
        print(f"{data}: no training images of {', '.join(absent)}")
    for name, part in (("train", train), ("val", val), ("test", test)):
        _write_images(files.images_path(data, name), part, f"{data} {name}")
        _write(files.labels_path(data, name), part.labels)
        print(f"{data} {name}: {len(part.numbers)} images")
    files.write_json(files.classes_path(data), content.classes, indent=None)
    images = arrays.load_array(files.images_path(data, "train"), torch.device("cpu"))
    _write(files.prior_path(data), color_prior(images, neighbors, sigma, f"{data} colors").numpy())


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


def _write_images(path: Path, part: Part, title: str) -> None:
    """Write images as `np.save` does, a portion at a time."""
    images, shape = part.source.images, part.source.images.shape[1:]
    header = {
        "descr": np.lib.format.dtype_to_descr(images.dtype),
        "fortran_order": False,
        "shape": (len(part.numbers), *shape),
    }
    each = max(1, PORTION // images[0].nbytes)
    with files.atomic_write(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in tqdm(
            range(0, len(part.numbers), each), title, unit="portion", leave=False, disable=None
        ):
            file.write(images[part.numbers[start : start + each]].tobytes())


def _write(path: Path, array: Array) -> None:
    with files.atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
