"""Small archives in the official formats of CIFAR-10 and STL-10."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import torch

from colorpipe import files
from colorpipe.config import DatasetConfig

COLORS = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)  # counted colors: one gray pixel


def dataset(size: int, **changes: object) -> DatasetConfig:
    """Return the settings of a data set with images of `size` pixels per side."""
    settings = {
        "source": "archive",
        "md5": "",
        "size": size,
        "val_size": 1,
        "epochs": 1,
        "flips": False,
        "start": "random",
        "lpips_weights": "random",
    }
    return DatasetConfig.model_validate({**settings, **changes})


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def describe(path: Path) -> dict[str, str]:
    """Return what the download stage writes to source.json for an archive."""
    return {"archive": str(path), "md5": hashlib.md5(path.read_bytes()).hexdigest()}


def write_source(data: str, path: Path) -> None:
    """Write source.json as the download stage does."""
    files.write_json(files.source_path(data), describe(path))


def cifar10(path: Path, batch_size: int, seed: int = 0) -> tuple[Path, np.ndarray, list[int]]:
    """Write a binary archive of CIFAR-10 with five training batches and one test batch.

    Returns:
        The path, images of shape (N, 3, 32, 32) and labels. The training set comes first.
    """
    rng = np.random.default_rng(seed)
    images = smooth_images(rng, 6 * batch_size, 32)
    labels = [int(label) for label in rng.permutation(np.arange(6 * batch_size) % 10)]
    members = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    for number, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        batch = range(number * batch_size, (number + 1) * batch_size)
        records = b"".join(bytes([labels[index]]) + images[index].tobytes() for index in batch)
        members[f"cifar-10-batches-bin/{name}.bin"] = records
    return write_tar(path, members), images, labels


def stl10(path: Path, train: int, test: int, seed: int = 0) -> tuple[Path, np.ndarray, np.ndarray]:
    """Write a binary archive of STL-10.

    Returns:
        The path, images of shape (N, 3, 96, 96) row by row, and labels from 0. The training set
        comes first.
    """
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
    """Return color gradients of shape (N, 3, size, size), uint8.

    They differ between rows, columns and channels.
    """
    corners = rng.uniform(0, 255, (count, 3, 4, 1, 1))
    down, right = np.linspace(0, 1, size)[:, None], np.linspace(0, 1, size)[None, :] ** 2
    a, b, c, d = (corners[:, :, number] for number in range(4))
    top, bottom = a * (1 - down) + b * down, c * (1 - down) + d * down
    return (top * (1 - right) + bottom * right).astype(np.uint8)
