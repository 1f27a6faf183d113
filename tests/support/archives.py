"""Small archives in the official formats of CIFAR-10 and STL-10, and files of weights in torchvision's."""

import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it: protocol 2, byte strings, numpy's names of the time."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R("
        + number(1) + number(data.shape[0]) + number(data.shape[1]) + b"\x86cnumpy\ndtype\n"
        + text(b"u1") + number(0) + number(1) + b"\x87R(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1)
        + number(0) + b"tb\x89" + text(data.tobytes()) + b"tb"
    )  # fmt: skip
    content = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + content + text(b"batch_label") + text(b"some") + b"u."


def cifar10(path: Path, per_batch: int, *, python2: bool = True, seed: int = 0) -> tuple[Path, np.ndarray, list[int]]:
    """An archive of 5 + 1 batches; with it the images (N, 3, 32, 32) and the labels, training batches first."""
    rng = np.random.default_rng(seed)
    data = smooth_images(rng, 6 * per_batch, 32).reshape(-1, 3072)
    labels = [int(label) for label in rng.permutation(np.arange(6 * per_batch) % 10)]
    members = {}
    for number, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        part = slice(number * per_batch, (number + 1) * per_batch)
        content = {"data": data[part], "labels": labels[part], "batch_label": name}
        batch = python2_pickle(data[part], labels[part]) if python2 else pickle.dumps(content)
        members[f"cifar-10-batches-py/{name}"] = batch
    members["cifar-10-batches-py/batches.meta"] = b"not read"
    return write_tar(path, members), data.reshape(-1, 3, 32, 32), labels


def stl10(path: Path, train: int, test: int, seed: int = 0) -> tuple[Path, np.ndarray, np.ndarray]:
    """An archive; with it the images (N, 3, 96, 96), row by row, and the labels from 0, training ones first."""
    rng = np.random.default_rng(seed)
    images = smooth_images(rng, train + test, 96)
    labels = rng.permutation(np.arange(train + test) % 10)
    columns_first = images.transpose(0, 1, 3, 2)
    members = {
        "stl10_binary/test_X.bin": columns_first[train:].tobytes(),
        "stl10_binary/test_y.bin": (labels[train:] + 1).astype(np.uint8).tobytes(),
        "stl10_binary/train_X.bin": columns_first[:train].tobytes(),
        "stl10_binary/train_y.bin": (labels[:train] + 1).astype(np.uint8).tobytes(),
        "stl10_binary/unlabeled_X.bin": bytes(1000),
    }
    return write_tar(path, members), images, labels


def smooth_images(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Colour gradients, (N, 3, size, size) uint8: unlike in rows and columns and in each channel."""
    corners = rng.uniform(0, 255, (count, 3, 4, 1, 1))
    down, right = np.linspace(0, 1, size)[:, None], np.linspace(0, 1, size)[None, :] ** 2
    a, b, c, d = (corners[:, :, number] for number in range(4))
    return ((a * (1 - down) + b * down) * (1 - right) + (c * (1 - down) + d * down) * right).astype(np.uint8)
