"""The user's own photographs as a data set: folders and archives, classes or none, any size, and a pipeline on them."""

import hashlib
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project import ROOT, Project

from colorpipe import config, files
from colorpipe.data import archives, folder, manifest
from colorpipe.data.download import download
from colorpipe.data.split import draw, split
from colorpipe.runtime.errors import UserError

RNG = np.random.default_rng(2)


def photo(path: Path, width: int = 50, height: int = 40, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = Image.fromarray(RNG.integers(0, 256, (3, 4, 3), dtype=np.uint8))
    spots.resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(path)
    return path


def listed(source: Path, target: Path) -> Path:
    manifest.write(source, target)
    return target


def test_photographs_are_cropped_to_their_middle_and_resized(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 0)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    data = folder.read(listed(tmp_path, tmp_path / "a.tar"), 16)
    assert data.train.images.shape == (2, 3, 16, 16)
    assert data.test is None
    assert (data.train.images[:, 0] > 180).all()  # Lanczos looks a little beyond the border
    assert (data.train.images[:, :, 4:12, 4:12] == np.array([200, 100, 0])[:, None, None]).all()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_classes_are_the_first_folders(tmp_path, kind, capsys):
    source = tmp_path / "source"
    names = [
        "cats/a.jpg",
        "cats/deeper/b.png",
        "dogs/c.webp",
        "dogs/notes.txt",
        "dogs/.hidden.jpg",
        "__MACOSX/d.jpg",
    ]
    for name in names:
        if name.endswith("txt"):
            (source / name).write_text("hello")
        else:
            photo(source / name)
    archive = tmp_path / "a"
    if kind == "folder":
        manifest.write(source, archive)
    elif kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for name in reversed(names):
                file.write(source / name, f"pets/{name}")
    else:
        with tarfile.open(archive, "w:gz") as file:
            file.add(source, "./")
    data = folder.read(archive, 32)
    assert data.classes == ("cats", "dogs")
    assert data.train.labels.tolist() == [0, 0, 1]
    prefix = {"folder": "", "zip": "pets/", "tar.gz": ""}[kind]
    assert (
        f"folder: not used, as not JPEG, PNG, WebP, TIFF or HEIC: 1 file (1 .txt): {prefix}dogs/notes.txt\n"
        in capsys.readouterr().out
    )
    assert len(set(data.train.areas.tolist())) == 3


def test_photographs_outside_of_folders_have_no_classes(tmp_path, capsys):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "cats/b.jpg")
    data = folder.read(listed(tmp_path, tmp_path / "x.tar"), 32)
    assert data.classes == ()
    assert data.train.labels.tolist() == [0, 0]
    assert (
        "no classes, as some photographs are in no subfolder: 1 file (1 .jpg): a.jpg\n"
        in capsys.readouterr().out
    )


def test_nothing_is_left_out_silently(tmp_path, capsys):
    """Gray ones, copies and other files are counted and named, by `download` and by `split`; up to ten."""
    first = photo(tmp_path / "a.png")
    (tmp_path / "copy.png").write_bytes(first.read_bytes())
    photo(tmp_path / "gray.png", mode="L")
    tinted = np.full((40, 40, 3), 128, np.uint8) + np.array(
        [2, 0, 0], np.uint8
    )  # |a| and |b| below 5
    Image.fromarray(tinted).save(tmp_path / "nearly.png")
    for number in range(11):
        (tmp_path / f"raw{number:02}.CR2").write_bytes(b"raw")
    (tmp_path / "z.txt").write_text("hello")
    other_files = (
        "HEIC: 12 files (11 .cr2, 1 .txt): "
        + ", ".join(f"raw{n:02}.CR2" for n in range(10))
        + ", ...\n"
    )
    target = listed(tmp_path, tmp_path.parent / "x.json")
    assert other_files in capsys.readouterr().out
    data = folder.read(target, 32)
    assert len(data.train.images) == 1
    output = capsys.readouterr().out
    assert other_files in output
    assert (
        "folder: not used, as gray (no |a| or |b| over 5 Lab units): 2 files (2 .png): gray.png, nearly.png\n"
        in output
    )
    assert "folder: not used, as copies of others: 1 file (1 .png): copy.png\n" in output


def test_a_damaged_photograph_is_named(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.jpg").write_bytes(photo(tmp_path / f"{name}.jpg").read_bytes()[:300])
    with pytest.raises(
        UserError, match=r"repair or remove the unreadable files: a\.jpg .*; c\.jpg .*; and 2 more"
    ):
        folder.read(listed(tmp_path, tmp_path / "x.tar"), 32)


def test_archives_that_are_none(tmp_path):
    archive = tmp_path / "x"
    archive.write_bytes(b"hello")
    with pytest.raises(UserError, match="is not a readable zip or tar archive"):
        folder.read(archive, 32)
    photo(tmp_path / "photos/a.jpg")
    with zipfile.ZipFile(archive, "w") as file:
        file.write(tmp_path / "photos/a.jpg", "a.jpg")
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(UserError, match="is not a readable zip or tar archive"):
        folder.read(archive, 32)
    with tarfile.open(archive, "w:xz") as file:
        file.add(tmp_path / "photos/a.jpg", "a.jpg")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 255
    archive.write_bytes(content)
    with pytest.raises(UserError, match="is not a readable zip or tar archive"):
        folder.read(archive, 32)
    photo(tmp_path / "gray/gray.png", mode="L")
    with pytest.raises(UserError, match="folder: none of its files is a color photograph"):
        folder.read(listed(tmp_path / "gray", archive), 32)
    (tmp_path / "none").mkdir()
    with pytest.raises(
        UserError,
        match=r"none holds no photographs \(JPEG, PNG, WebP, TIFF or HEIC\): put some there",
    ):
        manifest.write(tmp_path / "none", archive)


def test_a_crafted_zip_is_refused(tmp_path, monkeypatch):
    photo(tmp_path / "a.png")
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for entry, message in (
        ("../evil.jpg", "leads out"),
        ("/evil.jpg", "leads out"),
        (link, "is a link, a device"),
    ):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
            file.write(tmp_path / "a.png", "a.png")
            file.writestr(entry, "../../etc/passwd")
        with pytest.raises(UserError, match=message):
            folder.read(tmp_path / "x.zip", 32)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(10**7))
    monkeypatch.setattr(archives, "MAX_READ_BYTES", 10**6)
    with pytest.raises(UserError, match=r"'bomb\.png' claims 10000000 bytes: refused"):
        folder.read(tmp_path / "x.zip", 32)
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        member = tarfile.TarInfo("link.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(UserError, match="is a link, a device"):
        folder.read(tmp_path / "x.tar", 32)


def test_a_folder_is_listed_not_copied(tmp_path):
    for name in ("b.jpg", "sub/c.HEIC", "a.jpg"):
        photo(tmp_path / "photos" / name)
    first, second = (listed(tmp_path / "photos", tmp_path / name) for name in "xy")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 1000
    entries = manifest.load(first).photographs
    assert [entry.name for entry in entries] == ["a.jpg", "b.jpg", "sub/c.HEIC"]
    content = (tmp_path / "photos/a.jpg").read_bytes()
    assert (entries[0].bytes, entries[0].sha256) == (
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


def test_links_to_folders_are_followed_each_folder_once(tmp_path):
    photo(tmp_path / "elsewhere/a.jpg")
    photo(tmp_path / "photos/dogs/b.jpg")
    (tmp_path / "photos/cats").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/dogs/up").symlink_to(tmp_path / "photos")
    entries = manifest.load(listed(tmp_path / "photos", tmp_path / "x.json")).photographs
    assert [entry.name for entry in entries] == ["cats/a.jpg", "dogs/b.jpg"]


def test_a_photograph_that_changed_after_it_was_listed_is_named(tmp_path):
    target = listed(photo(tmp_path / "photos/a.jpg").parent, tmp_path / "x.json")
    photo(tmp_path / "photos/a.jpg")
    with pytest.raises(
        UserError, match=r"photos/a\.jpg has changed since it was listed: run `dvc repro` again"
    ):
        folder.read(target, 16)
    (tmp_path / "photos/a.jpg").unlink()
    with pytest.raises(UserError, match=r"photos/a\.jpg is gone since it was listed"):
        folder.read(target, 16)


def test_test_images_are_drawn_with_the_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.raw_path("folder").mkdir(parents=True)
    for number in range(12):
        photo(tmp_path / f"photos/{number}.jpg")
    manifest.write(tmp_path / "photos", files.raw_path("folder") / folder.ARCHIVE)

    def parts(seed: int) -> list[set[bytes]]:
        split("folder", 16, 3, seed, 5, 5.0)
        return [
            {image.tobytes() for image in np.load(files.images_path("folder", part))}
            for part in ("train", "val", "test")
        ]

    train, val, test = parts(0)
    assert (len(train), len(val), len(test), len(train | val | test)) == (6, 3, 3, 12)
    assert parts(0) == [train, val, test]
    assert parts(1)[2] != test
    with pytest.raises(
        UserError, match=r"val_size: 6 for validation and as many for testing leave none of 12"
    ):
        split("folder", 16, 6, 0, 5, 5.0)
    with pytest.raises(
        UserError, match=r"val_size: 10 for validation and as many for testing leave none of 12"
    ):
        split("folder", 16, 0.1, 0, 5, 5.0)
    for number in range(12, 130):
        photo(tmp_path / f"photos/{number}.jpg")
    manifest.write(tmp_path / "photos", files.raw_path("folder") / folder.ARCHIVE)
    split("folder", 16, 0.2, 0, 5, 5.0)
    assert [
        len(np.load(files.images_path("folder", part))) for part in ("train", "val", "test")
    ] == [78, 26, 26]
    split("folder", 16, 0.01, 0, 5, 5.0)
    assert [
        len(np.load(files.images_path("folder", part))) for part in ("train", "val", "test")
    ] == [110, 10, 10]
    assert (
        draw(np.array([7] * 15 + list(range(8, 40))), 10, 0, "folder").sum() == 10
    )  # whatever comes first


def test_an_unreadable_folder_is_an_error(tmp_path, monkeypatch):
    photo(tmp_path / "cats/a.jpg")
    listed = os.scandir

    def refuse(path):
        if Path(path).name == "cats":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cats cannot be read: permission denied"):
        manifest.write(tmp_path, tmp_path / "x.tar")


def test_pipes_and_broken_links_are_named(tmp_path):
    photo(tmp_path / "photos/a.jpg")
    os.mkfifo(tmp_path / "photos/pipe.jpg")
    with pytest.raises(UserError, match=r"pipe\.jpg is a pipe, a broken link or the like: remove"):
        manifest.write(tmp_path / "photos", tmp_path / "x.tar")
    (tmp_path / "photos/pipe.jpg").unlink()
    (tmp_path / "photos/link.jpg").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"link\.jpg is a pipe, a broken link"):
        manifest.write(tmp_path / "photos", tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()


def test_a_zip_within_a_tar_is_not_taken_for_it(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.write(tmp_path / "a.jpg", "a.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for name in ("a.jpg", "b.jpg", "z.zip"):
            file.add(tmp_path / name, name)
    assert len(folder.read(tmp_path / "x.tar", 16).train.images) == 2


def test_the_download_stage_lists_a_folder_and_copies_an_archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "photos/a.jpg")
    params = config.load_params(ROOT / "params.yaml")

    def with_source(**changes: object) -> config.Params:
        settings = params.data("folder").model_copy(update={"source": "photos", **changes})
        return params.model_copy(update={"datasets": {**params.datasets, "folder": settings}})

    raw = files.raw_path("folder") / folder.ARCHIVE
    download("folder", with_source())
    assert manifest.load(raw).folder == Path("photos")
    assert folder.read(raw, 16).train.images.shape == (1, 3, 16, 16)
    with zipfile.ZipFile("photos.zip", "w") as file:
        file.write("photos/a.jpg")
    download("folder", with_source(source="photos.zip"))
    assert raw.read_bytes() == Path("photos.zip").read_bytes()
    with pytest.raises(
        UserError,
        match=r"datasets\.folder\.md5: it is of an archive, and the source is a folder: set it",
    ):
        download("folder", with_source(md5="0" * 32))
    with pytest.raises(
        UserError, match=r"datasets\.folder\.source: there is no phtos: use the path of a folder"
    ):
        download("folder", with_source(source="phtos"))
    with pytest.raises(
        UserError,
        match=r"datasets\.folder\.source: photos/a\.jpg is a single photograph: use the path",
    ):
        download("folder", with_source(source="photos/a.jpg"))


def test_photographs_without_classes_through_dvc(tmp_path):
    """Mixed sizes and formats; the pretext stages are left out."""
    project = Project(tmp_path)
    for number in range(14):
        photo(
            tmp_path / f"my photos/{number}{('.jpg', '.png', '.webp')[number % 3]}",
            40 + 9 * number,
            90 - 3 * number,
        )
    project.run("git", "init", "--quiet")
    project.commit("all")
    settings = [
        f"datasets.folder.source={tmp_path / 'my photos'}",
        "datasets.folder.val_size=3",
        "datasets.folder.epochs=1",
    ]
    settings += ["threads=1", "dataset=folder", "datasets.folder.size=32", "train.batch_size=8"]
    command = [
        "dvc",
        "exp",
        "run",
        *(part for setting in settings for part in ("--set-param", setting)),
    ]
    output = project.run(*command, "evaluate@resnet", "pretext@xavier-finetune-100")
    assert "folder: 14 photographs, no classes" in output
    assert "pretext/xavier-finetune-100: left out: folder has no classes" in output
    found = json.loads((project.root / "evaluations/resnet.json").read_text())
    assert (found["data"], found["n"]) == ("folder", 3)
    left_out = json.loads(
        (project.root / "evaluations/pretext/xavier-finetune-100.json").read_text()
    )
    assert left_out == {"data": "folder", "left_out": "folder has no classes"}
    assert json.loads((project.root / "metrics/pretext/xavier-finetune-100.json").read_text()) == {}
    assert "up to date" in project.run("dvc", "status", "download@folder")
    photo(tmp_path / "my photos/new.jpg")
    assert "my photos" in project.run("dvc", "status", "download@folder")
