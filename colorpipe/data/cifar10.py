"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32x32, from the official binary archive.

Records of 3,073 bytes: the label, then 3,072 pixels, channel by channel, row by row.
"""

import tarfile
from pathlib import Path

import numpy as np

from colorpipe.data.archives import CheckedTarInfo, naming_damage, read_members
from colorpipe.data.dataset import Dataset, Images
from colorpipe.runtime.errors import UserError

ARCHIVE = "cifar-10-binary.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-bin"
TRAIN = [f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6)]
TEST = [f"{FOLDER}/test_batch.bin"]
RECORD_BYTES = 1 + 3 * 32 * 32
PYTHON_FOLDER = "cifar-10-batches-py"  # of the archive in pickles
BINARY = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, md5 c32a1d4ab5d03f1284b67883e8d87530"
)


def read(archive: Path, size: int = 32) -> Dataset:
    """The official split at size x size pixels. Raises UserError for any other archive."""
    with naming_damage(archive, "tar"), tarfile.open(archive, tarinfo=CheckedTarInfo) as tar:
        first = tar.next()
    if first and first.name.removeprefix("./").split("/")[0] == PYTHON_FOLDER:
        raise UserError(
            f"{archive} is the python version of CIFAR-10: use the binary version, {BINARY}"
        )
    members = read_members(archive, TRAIN + TEST)
    train, test = (
        b"".join(_checked(archive, name, members[name]) for name in names)
        for names in (TRAIN, TEST)
    )
    return Dataset(_images(train), _images(test), CLASSES).resized(size)


def _checked(archive: Path, name: str, content: bytes) -> bytes:
    """The records of a batch. Raises UserError where they are not records of CIFAR-10."""
    if len(content) % RECORD_BYTES:
        raise UserError(
            f"{archive}: {name} has {len(content)} bytes, expected records of {RECORD_BYTES}: fetch it again"
        )
    if (label := max(content[::RECORD_BYTES], default=0)) >= len(CLASSES):
        raise UserError(
            f"{archive}: {name} has label {label}, expected 0..{len(CLASSES) - 1}: fetch it again"
        )
    return content


def _images(content: bytes) -> Images:
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    return Images(
        records[:, 1:].reshape(-1, 3, 32, 32),
        records[:, 0].astype(np.int64),
        np.arange(len(records)),
    )
