import gzip
import io
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

from colorpipe import files
from colorpipe.data import archives as reading
from colorpipe.data import arrays, bundled, cifar10, photos, photos96, split, stl10
from colorpipe.runtime.errors import UserError


def records(count: int, label: int = 1) -> bytes:
    """Binary records whose pixels count up: 1024 red values row by row, then green, then blue."""
    return (bytes([label]) + np.arange(3072, dtype=np.uint32).astype(np.uint8).tobytes()) * count


def cifar_archive(path, content: bytes):
    return archives.write_tar(path, dict.fromkeys([*cifar10.TRAIN, *cifar10.TEST], content))


def test_cifar10_is_read_as_it_is_laid_out(tmp_path):
    archive, images, labels = archives.cifar10(tmp_path / "c.tar.gz", 4)
    data = cifar10.read(archive)
    assert np.array_equal(data.train.images, images[:20])
    assert np.array_equal(data.test.images, images[20:])
    assert data.train.labels.tolist() == labels[:20]
    assert data.test.labels.tolist() == labels[20:]
    assert data.classes[3] == "cat"
    test = cifar10.read(cifar_archive(tmp_path / "one.tar.gz", records(1, label=7))).test
    assert test.labels.tolist() == [7]
    assert test.images[0][1, 0, 5] == (1024 + 5) % 256
    assert test.images[0][0, 2, 0] == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (records(2)[:-1], r"data_batch_1\.bin has 6145 bytes, expected records of 3073"),
        (records(2) + b"\0", r"data_batch_1\.bin has 6147 bytes"),
        (records(1, label=10), r"data_batch_1\.bin has label 10, expected 0\.\.9"),
    ],
)
def test_a_malformed_batch_is_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        cifar10.read(cifar_archive(tmp_path / "c.tar.gz", content))


@pytest.mark.parametrize("prefix", ["", "./"])
def test_the_python_archive_is_told_where_the_binary_one_is(tmp_path, prefix):
    archive = archives.write_tar(
        tmp_path / "cifar-10-python.tar.gz", {f"{prefix}cifar-10-batches-py/data_batch_1": b"x"}
    )
    with pytest.raises(
        UserError,
        match=r"python version .* kriz/cifar-10-binary\.tar\.gz, md5 c32a1d4ab5d03f1284b67883e8d87530".replace(
            " kriz", ".*kriz"
        ),
    ):
        cifar10.read(archive)


def test_truncated_and_wrong_archives_are_named(tmp_path):
    archive, *_ = archives.cifar10(tmp_path / "c.tar.gz", 4)
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"c\.tar\.gz"):
        cifar10.read(archive)
    archive.write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match="not a readable tar archive"):
        cifar10.read(archive)
    with pytest.raises(UserError, match="has no stl10_binary/"):
        stl10.read(archives.cifar10(tmp_path / "c.tar.gz", 1)[0])
    with pytest.raises(UserError, match="is missing"):
        stl10.read(tmp_path / "none")


def test_stl10_is_read_as_it_is_laid_out(tmp_path):
    archive, images, labels = archives.stl10(tmp_path / "s.tar.gz", 6, 3)
    data = stl10.read(archive)
    assert np.array_equal(data.train.images, images[:6])  # not transposed
    assert np.array_equal(data.test.images, images[6:])
    assert data.train.labels.tolist() == labels[:6].tolist()
    assert data.test.labels.tolist() == labels[6:].tolist()
    members = {
        f"stl10_binary/{split}_{part}.bin": b"\1" * 27647
        for split in ("train", "test")
        for part in "Xy"
    }
    with pytest.raises(UserError, match=r"train_X\.bin holds 27647 bytes"):
        stl10.read(archives.write_tar(tmp_path / "bad.tar.gz", members))


def test_any_damage_is_named_in_one_line(tmp_path):
    archive, *_ = archives.stl10(tmp_path / "s.tar.gz", 3, 2)
    content = bytearray(archive.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(30):
        damaged = content.copy()
        for position in rng.integers(20, len(content), 20):
            damaged[position] = rng.integers(0, 256)
        archive.write_bytes(damaged)
        with pytest.raises(UserError) as raised:
            stl10.read(archive)
        assert "\n" not in str(raised.value)


def crafted(**changes: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(changes.pop("name", "harmless")))
    for key, value in changes.items():
        setattr(member, key, value)
    return member


CRAFTED = {
    "above": (crafted(name="../evil"), "leads out of the archive"),
    "deep above": (crafted(name="cifar-10-batches-bin/../../evil"), "leads out of the archive"),
    "absolute": (crafted(name="/tmp/evil"), "leads out of the archive"),
    "of Windows": (crafted(name="C:\\evil"), "leads out of the archive"),
    "symbolic link": (
        crafted(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        "is a link, a device or the like",
    ),
    "hard link": (
        crafted(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        "is a link, a device or the like",
    ),
    "pipe": (crafted(type=tarfile.FIFOTYPE), "is a link, a device or the like"),
    "character device": (
        crafted(type=tarfile.CHRTYPE, devmajor=1, devminor=8),
        "is a link, a device or the like",
    ),
    "block device": (crafted(type=tarfile.BLKTYPE), "is a link, a device or the like"),
    "absurd size": (crafted(size=2**60), "claims 1152921504606846976 bytes"),
    "negative size": (crafted(size=-512), "claims -512 bytes"),
    "long name of gigabytes": (
        crafted(type=tarfile.GNUTYPE_LONGNAME, size=2**31),
        "claims 2147483648 bytes",
    ),
    "header of gigabytes": (crafted(type=tarfile.XHDTYPE, size=2**31), "claims 2147483648 bytes"),
}
PAX = {
    "a size of a pax header": ({"size": "-512"}, "claims -512 bytes"),
    "a huge size of a pax header": ({"size": str(2**60)}, f"claims {2**60} bytes"),
    "a sparse file": ({"GNU.sparse.map": "a,b"}, "not a readable tar archive"),
    "a sparse file's size": (
        {"GNU.sparse.size": "q", "GNU.sparse.map": "0,1"},
        "not a readable tar archive",
    ),
    "a sparse file's form": (
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        "not a readable tar|link, a device",
    ),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("member", "message"), CRAFTED.values(), ids=list(CRAFTED))
def test_a_crafted_archive_is_refused_and_writes_nothing(
    tmp_path, monkeypatch, member, message, first
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    good, *_ = archives.cifar10(tmp_path / "good.tar.gz", 1)
    content = gzip.decompress(good.read_bytes())
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512
    header = member.tobuf(tarfile.GNU_FORMAT)
    parts = (header, content) if first else (content[:end], header, bytes(1024))
    (tmp_path / "c.tar").write_bytes(b"".join(parts))
    with pytest.raises(UserError, match=message) as raised:
        cifar10.read(tmp_path / "c.tar")
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "here").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"here", "good.tar.gz", "c.tar"}


@pytest.mark.parametrize(("headers", "message"), PAX.values(), ids=list(PAX))
def test_a_crafted_pax_header_is_refused(tmp_path, headers, message):
    with tarfile.open(tmp_path / "c.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a")
        member.pax_headers = headers
        member.size = 512
        tar.addfile(member, io.BytesIO(b"no map" * 100))
    with pytest.raises(UserError, match=message) as raised:
        cifar10.read(tmp_path / "c.tar")
    assert str(raised.value).isprintable()


def test_headers_without_end_are_refused(tmp_path):
    header = tarfile.TarInfo("a")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 512
    (tmp_path / "c.tar").write_bytes((header.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 3000)
    with pytest.raises(UserError, match="not a readable tar archive"):
        cifar10.read(tmp_path / "c.tar")


def test_too_many_members_and_too_much_for_memory(tmp_path, monkeypatch):
    archive, *_ = archives.cifar10(tmp_path / "c.tar.gz", 1)
    monkeypatch.setattr(reading, "MAX_READ_BYTES", 1000)
    with pytest.raises(
        UserError, match=r"data_batch_1\.bin' claims \d+ bytes, more than 1000: refused"
    ):
        cifar10.read(archive)
    monkeypatch.setattr(reading, "MAX_MEMBERS", 3)
    monkeypatch.setattr(reading, "MAX_READ_BYTES", 2**20)
    with pytest.raises(UserError, match="claims more than 3 members"):
        cifar10.read(archive)


def test_an_archive_packed_again_is_read(tmp_path):
    _, images, _ = archives.cifar10(tmp_path / "c.tar.gz", 2)
    with tarfile.open(tmp_path / "c.tar.gz") as tar:
        members = {f"./{member.name}": tar.extractfile(member).read() for member in tar}
    assert np.array_equal(
        cifar10.read(archives.write_tar(tmp_path / "again.tar.gz", members)).test.images,
        images[10:],
    )


@pytest.mark.parametrize("module", [photos, photos96])
def test_no_pixel_of_a_test_crop_is_in_a_train_crop(module, tmp_path, monkeypatch):
    """On an image whose every pixel names its place, so that a crop tells its pixels."""
    height, width = 640, 896
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows // 4, columns // 4, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    monkeypatch.setattr(bundled, "PHOTOGRAPHS", {"a.png": 1, "b.png": 2})
    for name in bundled.PHOTOGRAPHS:
        Image.fromarray(image).save(tmp_path / name)
    archive = archives.write_tar(
        tmp_path / "p.tar", {name: (tmp_path / name).read_bytes() for name in bundled.PHOTOGRAPHS}
    )
    data = module.read(archive)

    def squares(part, label):
        """The squares of 4 pixels (8 where the image was shrunk) that the crops of one photograph span."""
        found = set()
        for image in part.images[part.labels == label]:
            vertical, horizontal = image[0], image[1]
            for row in range(vertical.min(), vertical.max() + 1):
                found |= {(row, column) for column in range(horizontal.min(), horizontal.max() + 1)}
        return found

    for label in (0, 1):
        train, test = squares(data.train, label), squares(data.test, label)
        assert train
        assert test
        assert not train & test
    assert not set(data.train.areas) & set(data.test.areas)


def test_the_photographs_are_real_and_have_their_sizes(tmp_path):
    archive = tmp_path / "photos.tar"
    bundled.bundle_photographs(archive)
    small, large = photos.read(archive), photos96.read(archive)
    assert small.train.images.shape[1:] == (3, 32, 32)
    assert large.train.images.shape[1:] == (3, 96, 96)
    for data in (small, large):
        assert set(data.train.labels) == set(data.test.labels) == set(range(len(data.classes)))
        assert data.train.images.dtype == np.uint8
    astronaut = np.asarray(Image.open(Path(skimage.__file__).parent / "data/astronaut.png"))
    assert np.array_equal(small.train.images[0], astronaut[:32, :32].transpose(2, 0, 1))


def test_shrink_is_the_mean_of_squares():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert bundled.shrink(image, 2).shape == (2, 2, 3)
    assert (
        bundled.shrink(image, 2)[1, 0].tolist()
        == np.round(image[2:4, 0:2].mean(axis=(0, 1))).tolist()
    )


def test_validation_is_drawn_with_the_seed_and_apart_from_training():
    areas = np.arange(100)
    in_val = split.draw(areas, 10, 0, "cifar10")
    assert in_val.sum() == 10
    assert np.array_equal(in_val, split.draw(areas, 10, 0, "cifar10"))
    assert not np.array_equal(in_val, split.draw(areas, 10, 1, "cifar10"))
    assert not np.array_equal(np.flatnonzero(in_val), np.arange(10))


def test_validation_takes_whole_areas():
    areas = np.repeat(np.arange(20), 9)
    in_val = split.draw(areas, 30, 0, "photos")
    assert in_val.sum() == 27
    assert not set(areas[in_val]) & set(areas[~in_val])


def test_a_class_without_images_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files.raw_path("cifar10").mkdir(parents=True)
    archives.cifar10(files.raw_path("cifar10") / cifar10.ARCHIVE, 1)  # five images to train on
    split.split(
        "cifar10", 32, 4, seed=0, neighbors=5, sigma=5.0
    )  # a validation set larger than the train set
    assert "cifar10: no training images of " in capsys.readouterr().out
    assert len(np.load(files.images_path("cifar10", "val"))) == 4
    assert len(np.load(files.images_path("cifar10", "train"))) == 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_training_images_are_reported(tmp_path, monkeypatch, count):
    monkeypatch.chdir(tmp_path)
    files.raw_path("stl10").mkdir(parents=True)
    archives.stl10(files.raw_path("stl10") / stl10.ARCHIVE, count, 2)
    with pytest.raises(UserError, match=f"stl10: {count} training images cannot be split"):
        split.split("stl10", 96, 1, seed=0, neighbors=5, sigma=5.0)


@pytest.mark.parametrize("val_size", [100, 1000])
def test_a_validation_set_of_everything_is_refused(val_size):
    with pytest.raises(UserError, match=r"datasets\.cifar10\.val_size.*allowed here: 1 to 99"):
        split.draw(np.arange(100), val_size, 0, "cifar10")


def test_split_writes_every_image_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.raw_path("cifar10").mkdir(parents=True)
    _, images, labels = archives.cifar10(files.raw_path("cifar10") / cifar10.ARCHIVE, 10)
    split.split("cifar10", 32, 8, seed=0, neighbors=5, sigma=5.0)
    arrays = {
        part: np.load(files.images_path("cifar10", part)) for part in ("train", "val", "test")
    }
    assert {part: len(array) for part, array in arrays.items()} == {
        "train": 42,
        "val": 8,
        "test": 10,
    }
    together = np.concatenate([arrays["train"], arrays["val"]])
    assert sorted(image.tobytes() for image in together) == sorted(
        image.tobytes() for image in images[:50]
    )
    assert np.array_equal(arrays["test"], images[50:])
    by_image = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for part, array in arrays.items():
        assert np.load(files.labels_path("cifar10", part)).tolist() == [
            by_image[image.tobytes()] for image in array
        ]
    assert json.loads(files.classes_path("cifar10").read_text())[9] == "truck"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how a file is mapped")
@pytest.mark.parametrize("shuffled", [False, True])
def test_nothing_is_read_ahead_of_a_set_in_random_order(tmp_path, shuffled):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "train.npy", images)
    loaded = arrays.load_array(tmp_path / "train.npy", torch.device("cpu"), shuffled=shuffled)
    assert np.array_equal(loaded.numpy(), images)
    mapping = Path("/proc/self/smaps").read_text().partition(str(tmp_path / "train.npy"))[2]
    flags = re.search(r"VmFlags: (.*)", mapping)[1].split()
    assert ("rr" in flags) == shuffled  # the kernel's word for MADV_RANDOM
