import hashlib
import json
import re
import sys
import tarfile
from pathlib import Path

import archives
import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from project import ROOT

from colorpipe import config, files
from colorpipe.data import arrays, cifar10, photos, photos96, split, stl10
from colorpipe.runtime.errors import UserError


def with_settings(data: str, **changes: object) -> config.Params:
    """Return the parameters with other settings of a data set."""
    params = config.load_params(ROOT / "params.yaml")
    settings = params.data(data).model_copy(update=changes)
    return params.model_copy(update={"datasets": {**params.datasets, data: settings}})


def records(count: int, label: int = 1) -> bytes:
    """Return CIFAR-10 records whose pixels count up: all reds, greens, then blues."""
    return (bytes([label]) + np.arange(3072, dtype=np.uint32).astype(np.uint8).tobytes()) * count


def cifar_source(path: Path, content: bytes) -> dict[str, str]:
    """Write an archive in which each batch has this content, and return its source."""
    members = dict.fromkeys([*cifar10.TRAIN, *cifar10.TEST], content)
    return archives.describe(archives.write_tar(path, members))


def test_the_images_and_labels_of_cifar10_are_read(tmp_path):
    path, images, labels = archives.cifar10(tmp_path / "c.tar.gz", 4)
    data = cifar10.build(archives.dataset(32), archives.describe(path))
    assert np.array_equal(data.train.images, images[:20])
    assert np.array_equal(data.test.images, images[20:])
    assert data.train.labels.tolist() == labels[:20]
    assert data.test.labels.tolist() == labels[20:]
    assert data.classes[3] == "cat"
    source = cifar_source(tmp_path / "one.tar.gz", records(1, label=7))
    test = cifar10.build(archives.dataset(32), source).test
    assert test.labels.tolist() == [7]
    assert test.images[0][1, 0, 5] == (1024 + 5) % 256
    assert test.images[0][0, 2, 0] == 64
    smaller = cifar10.build(archives.dataset(16), archives.describe(path))
    assert smaller.train.images.shape == (20, 3, 16, 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (records(2)[:-1], r"data_batch_1\.bin has 6145 bytes, which are not records of 3073 bytes"),
        (records(2) + b"\0", r"data_batch_1\.bin has 6147 bytes"),
        (records(1, label=10), r"data_batch_1\.bin has the label 10, but labels are 0 to 9"),
    ],
)
def test_a_malformed_batch_is_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        cifar10.build(archives.dataset(32), cifar_source(tmp_path / "c.tar.gz", content))


def test_the_python_version_of_cifar10_is_refused_with_a_hint(tmp_path):
    path = archives.write_tar(
        tmp_path / "cifar-10-python.tar.gz", {"cifar-10-batches-py/data_batch_1": b"x"}
    )
    with pytest.raises(UserError, match=r"use the official cifar-10-binary\.tar\.gz, .*binary"):
        cifar10.build(archives.dataset(32), archives.describe(path))


def test_an_archive_that_is_gone_or_has_changed_is_named(tmp_path):
    path, *_ = archives.cifar10(tmp_path / "c.tar.gz", 4)
    source = archives.describe(path)
    path.write_bytes(path.read_bytes() + b"\0")
    message = r"c\.tar\.gz is missing or has changed .* `dvc repro --force --single-item download`"
    with pytest.raises(UserError, match=message):
        cifar10.build(archives.dataset(32), source)
    path.unlink()
    with pytest.raises(UserError, match=message):
        cifar10.build(archives.dataset(32), source)


def test_a_link_in_an_archive_is_not_a_batch(tmp_path):
    path = tmp_path / "c.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo(cifar10.TRAIN[0])
        link.type, link.linkname = tarfile.SYMTYPE, "missing"
        tar.addfile(link)
    with pytest.raises(UserError, match=r"c\.tar has no cifar-10-batches-bin/"):
        cifar10.build(archives.dataset(32), archives.describe(path))


def test_truncated_and_wrong_archives_are_named(tmp_path):
    path, *_ = archives.cifar10(tmp_path / "c.tar.gz", 4)
    with pytest.raises(UserError, match=r"c\.tar\.gz has no stl10_binary/"):
        stl10.build(archives.dataset(96), archives.describe(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"c\.tar\.gz is not a readable tar archive"):
        cifar10.build(archives.dataset(32), archives.describe(path))
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match=r"c\.tar\.gz is not a readable tar archive"):
        cifar10.build(archives.dataset(32), archives.describe(path))


def test_the_images_and_labels_of_stl10_are_read(tmp_path):
    path, images, labels = archives.stl10(tmp_path / "s.tar.gz", 6, 3)
    data = stl10.build(archives.dataset(96), archives.describe(path))
    assert np.array_equal(data.train.images, images[:6])  # not transposed
    assert np.array_equal(data.test.images, images[6:])
    assert data.train.labels.tolist() == labels[:6].tolist()
    assert data.test.labels.tolist() == labels[6:].tolist()
    members = {
        f"stl10_binary/{split}_{part}.bin": b"\1" * 27647
        for split in ("train", "test")
        for part in "Xy"
    }
    path = archives.write_tar(tmp_path / "bad.tar.gz", members)
    with pytest.raises(UserError, match=r"train_X\.bin has 27647 bytes"):
        stl10.build(archives.dataset(96), archives.describe(path))


def test_any_damage_is_named_in_one_line(tmp_path):
    path, *_ = archives.stl10(tmp_path / "s.tar.gz", 3, 2)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(30):
        damaged = content.copy()
        for position in rng.integers(20, len(content), 20):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with pytest.raises(UserError) as raised:
            stl10.build(archives.dataset(96), archives.describe(path))
        assert "\n" not in str(raised.value)


def test_an_archive_packed_again_is_read(tmp_path):
    path, images, _ = archives.cifar10(tmp_path / "c.tar.gz", 2)
    with tarfile.open(path) as tar:
        members = {f"./{member.name}": tar.extractfile(member).read() for member in tar}
    path = archives.write_tar(tmp_path / "again.tar.gz", members)
    data = cifar10.build(archives.dataset(32), archives.describe(path))
    assert np.array_equal(data.test.images, images[10:])


@pytest.mark.parametrize("module", [photos, photos96])
def test_no_pixel_of_a_test_crop_is_in_a_train_crop(module, tmp_path, monkeypatch):
    """The pixels encode their positions, so each crop shows which pixels it has."""
    height, width = 640, 896
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows // 4, columns // 4, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    monkeypatch.setattr(photos, "FOLDER", tmp_path)
    monkeypatch.setattr(photos, "PHOTOGRAPHS", {"a.png": 1, "b.png": 2})
    content = b""
    for name in photos.PHOTOGRAPHS:
        Image.fromarray(image).save(tmp_path / name)
        content += (tmp_path / name).read_bytes()
    size = 32 if module is photos else 96
    data = module.build(archives.dataset(size), {"md5": hashlib.md5(content).hexdigest()})

    def squares(part, label):
        """Return the squares of 4 pixels (8 if the image was shrunk) in the crops of an image."""
        positions = set()
        for image in part.images[part.labels == label]:
            vertical, horizontal = image[0], image[1]
            for row in range(vertical.min(), vertical.max() + 1):
                columns = range(horizontal.min(), horizontal.max() + 1)
                positions |= {(row, column) for column in columns}
        return positions

    for label in (0, 1):
        train, test = squares(data.train, label), squares(data.test, label)
        assert train
        assert test
        assert not train & test
    assert not set(data.train.groups) & set(data.test.groups)


def test_the_photographs_are_real_and_have_their_sizes():
    source = {"md5": config.load_params().data("photos").md5}
    small = photos.build(archives.dataset(32), source)
    large = photos96.build(archives.dataset(96), source)
    assert small.train.images.shape[1:] == (3, 32, 32)
    assert large.train.images.shape[1:] == (3, 96, 96)
    for data in (small, large):
        assert set(data.train.labels) == set(data.test.labels) == set(range(len(data.classes)))
        assert data.train.images.dtype == np.uint8
    astronaut = np.asarray(Image.open(Path(skimage.__file__).parent / "data/astronaut.png"))
    assert np.array_equal(small.train.images[0], astronaut[:32, :32].transpose(2, 0, 1))


def test_photographs_with_another_md5_are_refused():
    with pytest.raises(
        UserError, match=r"have the md5 [0-9a-f]{32}, not 'ffff.*requirements\.lock"
    ):
        photos.build(archives.dataset(32), {"md5": "f" * 32})


def test_shrinking_averages_blocks_of_pixels():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert photos.shrink(image, 2).shape == (2, 2, 3)
    mean = np.round(image[2:4, 0:2].mean(axis=(0, 1)))
    assert photos.shrink(image, 2)[1, 0].tolist() == mean.tolist()


def test_validation_groups_are_drawn_with_the_seed():
    groups = np.arange(100)
    in_val = split.draw_groups(groups, 10, 0, "cifar10")
    assert in_val.sum() == 10
    assert np.array_equal(in_val, split.draw_groups(groups, 10, 0, "cifar10"))
    assert not np.array_equal(in_val, split.draw_groups(groups, 10, 1, "cifar10"))
    assert not np.array_equal(np.flatnonzero(in_val), np.arange(10))


def test_validation_takes_whole_groups():
    groups = np.repeat(np.arange(20), 9)
    in_val = split.draw_groups(groups, 30, 0, "photos")
    assert in_val.sum() == 27
    assert not set(groups[in_val]) & set(groups[~in_val])


def test_a_class_without_images_is_reported(tmp_path, monkeypatch, capsys):
    """The validation set is larger than the training set, which has one image."""
    monkeypatch.chdir(tmp_path)
    archives.write_source("cifar10", archives.cifar10(tmp_path / "c.tar.gz", 1)[0])
    split.split("cifar10", with_settings("cifar10", val_size=4))
    assert "cifar10: there are no training images of " in capsys.readouterr().out
    assert len(np.load(files.images_path("cifar10", "val"))) == 4
    assert len(np.load(files.images_path("cifar10", "train"))) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_training_images_are_reported(tmp_path, monkeypatch, count):
    monkeypatch.chdir(tmp_path)
    archives.write_source("stl10", archives.stl10(tmp_path / "s.tar.gz", count, 2)[0])
    with pytest.raises(UserError, match=f"stl10: {count} training images cannot be split"):
        split.split("stl10", with_settings("stl10", val_size=1))


@pytest.mark.parametrize("val_size", [100, 1000])
def test_a_validation_set_of_all_images_is_refused(val_size):
    with pytest.raises(
        UserError, match=r"datasets\.cifar10\.val_size: .* to train on: set a number from 1 to 99"
    ):
        split.draw_groups(np.arange(100), val_size, 0, "cifar10")


def test_a_single_group_of_near_duplicates_cannot_be_split():
    with pytest.raises(UserError, match="leave none to validate on: add other images"):
        split.draw_groups(np.zeros(20, np.int64), 5, 0, "folder")


def test_split_writes_every_image_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, images, labels = archives.cifar10(tmp_path / "c.tar.gz", 10)
    archives.write_source("cifar10", path)
    split.split("cifar10", with_settings("cifar10", val_size=8))
    parts = {part: np.load(files.images_path("cifar10", part)) for part in ("train", "val", "test")}
    assert [len(array) for array in parts.values()] == [42, 8, 10]
    together = np.concatenate([parts["train"], parts["val"]])
    assert sorted(image.tobytes() for image in together) == sorted(
        image.tobytes() for image in images[:50]
    )
    assert np.array_equal(parts["test"], images[50:])
    by_image = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for part, array in parts.items():
        assert np.load(files.labels_path("cifar10", part)).tolist() == [
            by_image[image.tobytes()] for image in array
        ]
    assert json.loads(files.classes_path("cifar10").read_text())[9] == "truck"


def test_the_colors_of_the_training_images_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archives.write_source("cifar10", archives.cifar10(tmp_path / "c.tar.gz", 2)[0])
    split.split("cifar10", with_settings("cifar10", val_size=2))
    colors = np.load(files.colors_path("cifar10"))
    images = np.load(files.images_path("cifar10", "train"))
    ab = skimage.color.rgb2lab(images.transpose(0, 2, 3, 1))[..., 1:].reshape(-1, 2)
    assert colors[:, 2].sum() == len(ab)
    distances = np.abs(ab[:500, None] - colors[None, :, :2]).max(axis=2)
    assert distances.min(axis=1).max() < 0.26  # half a step of the grid


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how a file is mapped")
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_shuffled_set_is_not_read_ahead(tmp_path, shuffled):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "train.npy", images)
    loaded = arrays.load_array(tmp_path / "train.npy", torch.device("cpu"), shuffled=shuffled)
    assert np.array_equal(loaded.numpy(), images)
    mapping = Path("/proc/self/smaps").read_text().partition(str(tmp_path / "train.npy"))[2]
    flags = re.search(r"VmFlags: (.*)", mapping)[1].split()
    assert ("rr" in flags) == shuffled  # the kernel's flag for MADV_RANDOM


def test_a_damaged_array_is_named(tmp_path):
    path = tmp_path / "train.npy"
    np.save(path, np.zeros((2, 3, 16, 16), np.uint8))
    path.write_bytes(path.read_bytes().replace(b"16), }", b"16(, }"))
    with pytest.raises(UserError, match=r"train\.npy is not a prepared array \(.*\): delete it"):
        arrays.load_array(path, torch.device("cpu"))
