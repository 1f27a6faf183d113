"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels.

The official binary archive holds records of 3,073 bytes: a label, then 3,072 pixels, channel by
channel and row by row.
"""

from collections.abc import Mapping

import numpy as np

from colorpipe.config import DatasetConfig
from colorpipe.data.archives import read_members
from colorpipe.data.dataset import Dataset, Images
from colorpipe.runtime.errors import UserError

ARCHIVE = "cifar-10-binary.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-bin"
TRAIN = [f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6)]
TEST = [f"{FOLDER}/test_batch.bin"]
RECORD_BYTES = 1 + 3 * 32 * 32


def build(config: DatasetConfig, source: Mapping[str, str]) -> Dataset:
    """Return the official training and test set at `config.size` pixels per side.

    Raises:
        UserError: The archive is not one of CIFAR-10's binary version, or has changed.
    """
    official = f"the official {ARCHIVE}, which is the binary version and not the python version"
    members = read_members(source, TRAIN + TEST, official)
    for name, content in members.items():
        if len(content) % RECORD_BYTES:
            raise UserError(
                f"{source['archive']}: {name} has {len(content)} bytes, which are not records of "
                f"{RECORD_BYTES} bytes: use {official}"
            )
        if (label := max(content[::RECORD_BYTES], default=0)) >= len(CLASSES):
            raise UserError(
                f"{source['archive']}: {name} has the label {label}, but labels are 0 to "
                f"{len(CLASSES) - 1}: use {official}"
            )
    train, test = (
        _parse_records(b"".join(members[name] for name in names)) for names in (TRAIN, TEST)
    )
    return Dataset(train, test, CLASSES).resized(config.size)


def _parse_records(content: bytes) -> Images:
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    return Images(
        records[:, 1:].reshape(-1, 3, 32, 32),
        records[:, 0].astype(np.int64),
        np.arange(len(records)),
    )
