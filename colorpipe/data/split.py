"""The split stage: it turns a data set's source into prepared arrays for train, val and test.

The arrays can be memory-mapped. A folder may be larger than the memory, because its images are
copied from file to file in small portions.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from colorpipe import config, files
from colorpipe.config import Params
from colorpipe.data import arrays
from colorpipe.data.colors import count_colors
from colorpipe.data.dataset import Array, Dataset, Images
from colorpipe.runtime.errors import UserError, list_names

MIN_IMAGES = 10  # in a validation or test set whose size is a fraction
PORTION = 4 << 20  # approximate number of bytes of images in memory at a time


class Part(NamedTuple):
    """A part of a set of images, given by their indices, shape (N,), int64."""

    source: Images
    indices: Array

    @classmethod
    def whole(cls, source: Images) -> "Part":
        """Return the part with all images."""
        return cls(source, np.arange(len(source.images)))

    def hold_out(self, count: int, seed: int, data: str) -> tuple["Part", "Part"]:
        """Return the part that `draw_groups` draws and the part with the other images."""
        drawn = draw_groups(self.source.groups[self.indices], count, seed, data)
        return (
            self._replace(indices=self.indices[drawn]),
            self._replace(indices=self.indices[~drawn]),
        )

    @property
    def labels(self) -> Array:
        """Labels of the part's images, shape (N,), int64."""
        labels: Array = self.source.labels[self.indices]
        return labels


def split(data: str, params: Params) -> None:
    """Write a data set's train, val and test arrays, their labels, the classes and the colors.

    If the data set has no test set, a test set of the validation set's size is drawn first.

    Args:
        data: Name of a data set in params.yaml.
        params: Settings of the data set, and the seed of the draw.

    Raises:
        UserError: The source cannot be read, or leaves no images to train, validate or test on.
    """
    module = config.load_plugin("datasets", data)
    settings, seed = params.data(data), params.seed
    content: Dataset = module.build(settings, files.read_json(files.source_path(data)))
    train = Part.whole(content.train)
    size, total = settings.val_size, len(train.indices)
    count = int(size) if size >= 1 else max(MIN_IMAGES, round(size * total))  # below 1, a fraction
    if content.test:
        test = Part.whole(content.test)
    elif 2 * count < len(train.indices):
        test, train = train.hold_out(count, seed, data)
    else:
        raise UserError(
            f"datasets.{data}.val_size: {count} images for validation and as many for testing "
            f"leave none of {len(train.indices)} to train on: set a lower number or add images"
        )
    if not len(test.indices):
        raise UserError(f"{data}: the data set has no test images: use the official archive")
    val, train = train.hold_out(count, seed, data)
    absent = [
        name for label, name in enumerate(content.classes) if not (train.labels == label).any()
    ]
    if absent:
        print(f"{data}: there are no training images of {list_names(absent)}")
    for name, part in (("train", train), ("val", val), ("test", test)):
        _write_images(files.images_path(data, name), part, f"{data} {name}")
        _write_array(files.labels_path(data, name), part.labels)
        print(f"{data} {name}: {len(part.indices)} images")
    files.write_json(files.classes_path(data), content.classes, indent=None)
    images = arrays.load_array(files.images_path(data, "train"), torch.device("cpu"))
    colors = count_colors(images, f"{data} colors")
    _write_array(files.colors_path(data), colors.numpy())


def draw_groups(groups: Array, count: int, seed: int, data: str) -> Array:
    """Draw images to hold out.

    The images of a group, which show the same thing, stay together. Whole groups are drawn until
    no other group fits.

    Args:
        groups: Number of each image's group, shape (N,), int64.
        count: Number of images to hold out.
        seed: Seed of the draw.
        data: Name of the data set, for error messages.

    Returns:
        Whether each image is held out, shape (N,), bool.

    Raises:
        UserError: All images or none are held out.
    """
    if len(groups) < 2:
        raise UserError(
            f"{data}: {len(groups)} training images cannot be split into train and validation: use "
            "two images or more"
        )
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    sizes = np.bincount(groups)[order]
    drawn, total = [], 0
    for group, size in zip(order, sizes, strict=True):
        if total + size <= count:
            drawn.append(group)
            total += size
    held_out = np.isin(groups, drawn)
    if not held_out.any() or held_out.all():
        low, high = sizes.max(), len(groups) - sizes.max()
        remedy = f"set a number from {low} to {high}" if low <= high else "add other images"
        raise UserError(
            f"datasets.{data}.val_size: {count} of {len(groups)} images leave none to "
            f"{'train on' if held_out.any() else 'validate on'}: {remedy}"
        )
    return held_out


def _write_images(path: Path, part: Part, title: str) -> None:
    """Write images as `np.save` does, a portion at a time."""
    images, shape = part.source.images, part.source.images.shape[1:]
    header = {
        "descr": np.lib.format.dtype_to_descr(images.dtype),
        "fortran_order": False,
        "shape": (len(part.indices), *shape),
    }
    count = max(1, PORTION // images[0].nbytes)
    starts = range(0, len(part.indices), count)
    with files.atomic_write(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in tqdm(starts, title, unit="portion", leave=False, disable=None):
            file.write(images[part.indices[start : start + count]].tobytes())


def _write_array(path: Path, array: Array) -> None:
    with files.atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
