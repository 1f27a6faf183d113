"""STL-10 (Coates et al. 2011): its 5,000 training and 8,000 test images, 96x96, from the official binary archive.

Images are stored channel by channel and, unlike CIFAR-10's, column by column; labels are bytes 1..10. The 100,000
unlabeled images in the archive are skipped.
"""

from pathlib import Path

import numpy as np

from colorpipe.data.archives import read_members
from colorpipe.data.dataset import Dataset, Images
from colorpipe.runtime.errors import UserError

ARCHIVE = "stl10_binary.tar.gz"
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
FOLDER = "stl10_binary"
IMAGE_BYTES = 3 * 96 * 96


def read(archive: Path, size: int = 96) -> Dataset:
    """The official split at size x size pixels. Raises UserError for any other archive."""
    names = [f"{FOLDER}/{split}_{part}.bin" for split in ("train", "test") for part in "Xy"]
    members = read_members(archive, names)
    train, test = (
        _images(
            archive,
            split,
            members.pop(f"{FOLDER}/{split}_X.bin"),
            members.pop(f"{FOLDER}/{split}_y.bin"),
        )
        for split in ("train", "test")
    )
    return Dataset(train, test, CLASSES).resized(size)


def _images(archive: Path, split: str, pixels: bytes, label_bytes: bytes) -> Images:
    count, rest = divmod(len(pixels), IMAGE_BYTES)
    if rest or count != len(label_bytes):
        raise UserError(
            f"{archive}: {split}_X.bin holds {len(pixels)} bytes, expected {IMAGE_BYTES} for each label"
        )
    labels = np.frombuffer(label_bytes, np.uint8).astype(np.int64) - 1
    if count and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise UserError(f"{archive}: {split}_y.bin has labels outside 1..{len(CLASSES)}")
    images = (
        np.frombuffer(pixels, np.uint8).reshape(count, 3, 96, 96).transpose(0, 1, 3, 2)
    )  # columns to rows
    return Images(images, labels, np.arange(count))
