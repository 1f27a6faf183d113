"""STL-10 (Coates et al. 2011): 5,000 training and 8,000 test images of 96x96 pixels.

The official binary archive stores images channel by channel and, unlike CIFAR-10's, column by
column. Labels are bytes from 1 to 10. The archive's 100,000 unlabeled images are not used.
"""

from collections.abc import Mapping

import numpy as np

from colorpipe.config import DatasetConfig
from colorpipe.data.archives import read_members
from colorpipe.data.dataset import Dataset, Images
from colorpipe.runtime.errors import UserError

ARCHIVE = "stl10_binary.tar.gz"
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
FOLDER = "stl10_binary"
IMAGE_BYTES = 3 * 96 * 96


def build(config: DatasetConfig, source: Mapping[str, str]) -> Dataset:
    """Return the official training and test set at `config.size` pixels per side.

    Raises:
        UserError: The archive is not STL-10's, or has changed.
    """
    names = [f"{FOLDER}/{split}_{part}.bin" for split in ("train", "test") for part in "Xy"]
    members = read_members(source, names, f"the official {ARCHIVE}")
    train, test = (
        _parse_split(
            source["archive"],
            split,
            members.pop(f"{FOLDER}/{split}_X.bin"),
            members.pop(f"{FOLDER}/{split}_y.bin"),
        )
        for split in ("train", "test")
    )
    return Dataset(train, test, CLASSES).resized(config.size)


def _parse_split(archive: str, split: str, pixels: bytes, label_bytes: bytes) -> Images:
    count, rest = divmod(len(pixels), IMAGE_BYTES)
    if rest or count != len(label_bytes):
        raise UserError(
            f"{archive}: {split}_X.bin has {len(pixels)} bytes, but {len(label_bytes)} images of "
            f"{IMAGE_BYTES} bytes were expected: use the official {ARCHIVE}"
        )
    labels = np.frombuffer(label_bytes, np.uint8).astype(np.int64) - 1
    if count and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise UserError(
            f"{archive}: {split}_y.bin has labels outside of 1 to {len(CLASSES)}: use the official "
            f"{ARCHIVE}"
        )
    columns_first = np.frombuffer(pixels, np.uint8).reshape(count, 3, 96, 96)
    return Images(columns_first.transpose(0, 1, 3, 2), labels, np.arange(count))
