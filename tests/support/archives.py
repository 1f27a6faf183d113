"""Small archives in the official formats of CIFAR-10 and STL-10."""

import io
import tarfile
from pathlib import Path

import numpy as np
import torch

from colorpipe.color import bins

PRIOR = torch.full((bins.COUNT,), 1 / bins.COUNT)  # of colors, for losses that need none


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def cifar10(path: Path, per_batch: int, seed: int = 0) -> tuple[Path, np.ndarray, list[int]]:
    """The binary archive, of 5 + 1 batches; its images (N, 3, 32, 32) and labels, training batches first."""
    rng = np.random.default_rng(seed)
    images = smooth_images(rng, 6 * per_batch, 32)
    labels = [int(label) for label in rng.permutation(np.arange(6 * per_batch) % 10)]
    members = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    for number, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        part = range(number * per_batch, (number + 1) * per_batch)
        records = b"".join(bytes([labels[index]]) + images[index].tobytes() for index in part)
        members[f"cifar-10-batches-bin/{name}.bin"] = records
    return write_tar(path, members), images, labels


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
    """Color gradients, (N, 3, size, size) uint8: different in rows and columns and in each channel."""
    corners = rng.uniform(0, 255, (count, 3, 4, 1, 1))
    down, right = np.linspace(0, 1, size)[:, None], np.linspace(0, 1, size)[None, :] ** 2
    a, b, c, d = (corners[:, :, number] for number in range(4))
    return ((a * (1 - down) + b * down) * (1 - right) + (c * (1 - down) + d * down) * right).astype(
        np.uint8
    )
