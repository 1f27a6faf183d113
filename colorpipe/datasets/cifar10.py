"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32x32, from the official python archive.

Five training batches and a test batch, each a Python 2 pickle of "data" (N, 3072) uint8, channel by channel, row by row,
and "labels". They are read by an unpickler that builds plain values alone: what a pickle would have called is written
down, and compared with how numpy pickles an array of whole numbers.
"""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colorpipe.datasets.common import DataSet, Images, read_members
from colorpipe.errors import UserError, one_line

ARCHIVE = "cifar-10-python.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
TRAIN = [f"{FOLDER}/data_batch_{number}" for number in range(1, 6)]
TEST = [f"{FOLDER}/test_batch"]
WHOLE_NUMBERS = {f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8)}  # numpy's codes


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
        data, labels = _array(batch["data"]), _labels(batch["labels"])
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{archive}: {name} is no batch of CIFAR-10 ({one_line(error)})") from error
    if data.dtype != np.uint8 or data.shape != (len(labels), 3 * 32 * 32) or labels.ndim != 1:
        raise UserError(f"{archive}: {name} is no batch of CIFAR-10: expected data (N, 3072) uint8 and N labels")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise UserError(f"{archive}: {name} has labels outside 0..{len(CLASSES) - 1}")
    return data.reshape(-1, 3, 32, 32), labels.astype(np.int64)


@dataclass
class _Call:
    """A call that a pickle asks for, and the state that it would have set: written down, not made."""

    name: str
    arguments: tuple = ()
    state: object = None

    def __call__(self, *arguments: object) -> "_Call":
        return _Call(self.name, arguments)

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Unpickler(pickle._Unpickler):  # Python's own: C's takes memory for numbers that a pickle only claims
    """Builds strings, numbers, lists, dicts and `_Call`s; refuses every name but those of numpy's arrays."""

    def find_class(self, module: str, name: str) -> _Call:
        known = {
            ("_codecs", "encode"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.numeric", "_frombuffer"),
        }
        if (module.replace("numpy.core", "numpy._core"), name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in it")
        return _Call(name)


def _array(pickled: object) -> np.ndarray:
    """The array of whole numbers that the calls stand for. Raises ValueError and the like for others."""
    match pickled:
        case _Call("_reconstruct", state=(_, shape, kind, by_columns, content)):
            order = "F" if by_columns else "C"
        case _Call("_frombuffer", (content, kind, shape, order)):
            pass
        case _:
            raise ValueError("no array where one should be")
    match content:
        case _Call("encode", (str() as text, "latin1")) | (str() as text):  # Python 3 in an old pickle, and Python 2
            content = text.encode("latin1")
    match kind:
        case _Call("dtype", (str() as code, *_), (_, "<" | ">" | "|" as byte_order, *_)) if code in WHOLE_NUMBERS:
            return np.frombuffer(content, byte_order + code).reshape(shape, order=order)
    raise ValueError("an array of something else than whole numbers")


def _labels(pickled: object) -> np.ndarray:
    """Labels from a list of whole numbers, or an array. Raises as `_array` does."""
    if not isinstance(pickled, list):
        return _array(pickled)
    if not all(type(label) is int for label in pickled):
        raise ValueError("labels that are no whole numbers")
    return np.array(pickled, np.int64)
