"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32x32, from the official python archive.

Five training batches and a test batch, each a Python 2 pickle of "data" (N, 3072) uint8, channel by channel, row by row,
and "labels". They are read by an unpickler that can build arrays and plain values alone.
"""

import io
import pickle
from pathlib import Path

import numpy as np

from colorpipe.datasets.common import DataSet, Images, read_members
from colorpipe.errors import UserError

ARCHIVE = "cifar-10-python.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
TRAIN = [f"{FOLDER}/data_batch_{number}" for number in range(1, 6)]
TEST = [f"{FOLDER}/test_batch"]


def read(archive: Path, size: int = 32) -> DataSet:
    """The official split, at size x size pixels. Raises UserError for an archive of another form."""
    members = read_members(archive, TRAIN + TEST)
    train, test = (_join([_batch(archive, name, members[name]) for name in names]) for names in (TRAIN, TEST))
    return DataSet(train, test, CLASSES).resized(size)


def _join(batches: list[tuple[np.ndarray, np.ndarray]]) -> Images:
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Images(images, labels, np.arange(len(images)))


def _batch(archive: Path, name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of one batch."""
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
        data, labels = batch["data"], np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{archive}: {name} is no batch of CIFAR-10 ({error})") from error
    good = isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 2 and data.shape[1] == 3 * 32 * 32
    if not good or labels.dtype.kind not in "iu" or labels.shape != (len(data),):
        raise UserError(f"{archive}: {name} is no batch of CIFAR-10: expected data (N, 3072) uint8 and N labels")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise UserError(f"{archive}: {name} has labels outside 0..{len(CLASSES) - 1}")
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def _encode(text: str, codec: str) -> bytes:
    """How Python 3 writes bytes in an old pickle: always latin1."""
    if codec != "latin1":
        raise pickle.UnpicklingError(f"codec {codec!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Builds numpy arrays of numbers, strings, numbers, lists and dicts; refuses every other name."""

    def find_class(self, module: str, name: str) -> object:
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) == ("_codecs", "encode"):
            return _encode
        if (module, name) in {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
        }:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in it")
