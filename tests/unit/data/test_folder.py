"""The user's own photographs as a data set."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import archives
import numpy as np
import pytest
from PIL import Image, ImageOps
from project import ROOT, Project

from colorpipe import config, files
from colorpipe.config.checks import check_params
from colorpipe.data import folder
from colorpipe.data.download import download
from colorpipe.data.listing import list_photographs
from colorpipe.data.split import draw_groups, split
from colorpipe.runtime.errors import UserError

RNG = np.random.default_rng(2)


@pytest.fixture(autouse=True)
def work_in_a_temporary_folder(tmp_path_factory, monkeypatch):
    """`build` keeps the photographs' squares in a file in data/folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    files.source_path("folder").parent.mkdir(parents=True)


def photo(path: Path, width: int = 50, height: int = 40, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = Image.fromarray(RNG.integers(0, 256, (3, 4, 3), dtype=np.uint8))
    spots.resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(path)
    return path


def test_photographs_are_cropped_to_their_middle_and_resized(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (200, 100, 0)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "tall.png")
    data = folder.build(archives.dataset(16), list_photographs(tmp_path))
    assert data.train.images.shape == (2, 3, 16, 16)
    assert data.test is None
    assert (data.train.images[:, 0] > 180).all()  # Lanczos also weighs pixels beyond the border
    assert (data.train.images[:, :, 4:12, 4:12] == np.array([200, 100, 0])[:, None, None]).all()


@pytest.mark.parametrize("around", ["", "pets/"])
def test_classes_are_the_first_folders(tmp_path, around, capsys):
    """A single folder around all photographs is not a class."""
    names = ["cats/a.jpg", "cats/deeper/b.png", "dogs/c.webp", "dogs/.hidden.jpg", "__MACOSX/d.jpg"]
    for name in names:
        photo(tmp_path / f"{around}{name}")
    (tmp_path / f"{around}dogs/notes.txt").write_text("hello")
    data = folder.build(archives.dataset(32), list_photographs(tmp_path))
    assert data.classes == ("cats", "dogs")
    assert data.train.labels.tolist() == [0, 0, 1]
    unused = f"not JPEG, PNG, WebP, TIFF, HEIC or AVIF: 1 file (1 .txt): {around}dogs/notes.txt\n"
    assert f"folder: skipped, {unused}" in capsys.readouterr().out
    assert len(set(data.train.groups.tolist())) == 3


def test_photographs_outside_of_folders_have_no_classes(tmp_path, capsys):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "cats/b.jpg")
    data = folder.build(archives.dataset(32), list_photographs(tmp_path))
    assert data.classes == ()
    assert data.train.labels.tolist() == [0, 0]
    reason = "because some photographs are in no subfolder: 1 file (1 .jpg): a.jpg\n"
    assert f"folder: there are no classes, {reason}" in capsys.readouterr().out


def test_nothing_is_left_out_silently(tmp_path, capsys):
    """`download` and `split` count the files that they do not use and name up to ten."""
    first = photo(tmp_path / "a.png")
    (tmp_path / "copy.png").write_bytes(first.read_bytes())
    photo(tmp_path / "gray.png", mode="L")
    tinted = np.full((40, 40, 3), 128, np.uint8) + np.array([2, 0, 0], np.uint8)  # |a|, |b| below 5
    Image.fromarray(tinted).save(tmp_path / "nearly.png")
    for number in range(11):
        (tmp_path / f"raw{number:02}.CR2").write_bytes(b"raw")
    (tmp_path / "z.txt").write_text("hello")
    raw = ", ".join(f"raw{number:02}.CR2" for number in range(10))
    source = list_photographs(tmp_path)
    assert f"AVIF: 12 files (11 .cr2, 1 .txt): {raw}, ...\n" in capsys.readouterr().out
    data = folder.build(archives.dataset(32), source)
    assert len(data.train.images) == 1
    output = capsys.readouterr().out
    chroma = "95 % of their pixels have at most 5 Lab units of chroma"
    gray = f"gray or nearly gray ({chroma}): 2 files (2 .png)"
    assert f"folder: skipped, {gray}: gray.png, nearly.png\n" in output
    copies = "exact copies: 1 file (1 .png): copy.png"
    assert f"folder: skipped, {copies}\n" in output


def test_system_files_are_not_a_class_and_are_named(tmp_path, capsys):
    for name in ("cats/a.jpg", "dogs/b.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "cats/._a.jpg"):
        photo(tmp_path / name)
    data = folder.build(archives.dataset(32), list_photographs(tmp_path))
    assert data.classes == ("cats", "dogs")
    assert len(data.train.images) == 2
    reason = "they are hidden, or belong to the operating system or a NAS: 2 files or folders"
    names = "@eaDir, cats/._a.jpg"
    assert f"folder: skipped, because {reason}: {names}\n" in capsys.readouterr().out


@pytest.mark.parametrize("use_toned", [False, True])
def test_toned_photographs_are_used_only_on_request(tmp_path, capsys, use_toned):
    photo(tmp_path / "color.png")
    ramp = Image.linear_gradient("L").resize((50, 40))
    ImageOps.colorize(ramp, (20, 12, 5), (255, 240, 205)).save(tmp_path / "sepia.png")
    config = archives.dataset(32).model_copy(update={"toned": use_toned})
    data = folder.build(config, list_photographs(tmp_path))
    assert len(data.train.images) == 1 + use_toned
    reason = "toned (datasets.folder.toned=true uses them): 1 file (1 .png): sepia.png"
    output = capsys.readouterr().out
    assert (f"folder: skipped, {reason}\n" in output) == (not use_toned)


def test_near_duplicates_are_on_one_side_of_the_split(tmp_path, capsys):
    for number in range(12):
        path = photo(tmp_path / f"photos/{number:02}.png", 200, 160)
        copy = Image.open(path).resize((100, 80), Image.Resampling.LANCZOS)
        exif = Image.Exif()
        exif[270] = "the same, resized"
        copy.save(tmp_path / f"photos/{number:02} small.jpg", quality=80, exif=exif)
    data = folder.build(archives.dataset(32), list_photographs(tmp_path / "photos"))
    assert data.train.groups.tolist() == [number // 2 for number in range(24)]
    kept = "12 groups of near-duplicates, each kept in one part of the split"
    assert f"folder: {kept}: 00 small.jpg = 00.png, " in capsys.readouterr().out
    for seed in range(5):
        drawn = draw_groups(data.train.groups, 7, seed, "folder").reshape(12, 2)
        assert (drawn[:, 0] == drawn[:, 1]).all()
        assert drawn.sum() == 6


def test_a_damaged_photograph_is_named(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.jpg").write_bytes(photo(tmp_path / f"{name}.jpg").read_bytes()[:300])
    message = r"repair or delete the unreadable files: a\.jpg .*; c\.jpg .*; and 2 more"
    with pytest.raises(UserError, match=message):
        folder.build(archives.dataset(32), list_photographs(tmp_path))


def test_a_folder_without_color_photographs_is_named(tmp_path):
    photo(tmp_path / "gray/gray.png", mode="L")
    with pytest.raises(UserError, match="folder: none of its files is a color photograph"):
        folder.build(archives.dataset(32), list_photographs(tmp_path / "gray"))
    (tmp_path / "none").mkdir()
    message = r"none holds no photographs \(JPEG, PNG, WebP, TIFF, HEIC or AVIF\): put some there"
    with pytest.raises(UserError, match=message):
        list_photographs(tmp_path / "none")


def test_download_imports_no_color_code():
    """The stage `download` does not declare colorpipe/color in dvc.yaml."""
    script = "import sys, colorpipe.data.folder; print('colorpipe.color' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert output.stdout.split() == [b"False"]


def test_a_folder_is_listed_by_names_and_hashes(tmp_path):
    for name in ("b.jpg", "sub/c.HEIC", "a.jpg"):
        photo(tmp_path / "photos" / name)
    source = list_photographs(tmp_path / "photos")
    assert source == list_photographs(tmp_path / "photos")
    assert source["folder"] == str(tmp_path / "photos")
    entries = source["photographs"]
    assert [entry["name"] for entry in entries] == ["a.jpg", "b.jpg", "sub/c.HEIC"]
    content = (tmp_path / "photos/a.jpg").read_bytes()
    assert entries[0]["sha256"] == hashlib.sha256(content).hexdigest()


def test_links_to_folders_are_followed_and_each_folder_is_listed_once(tmp_path):
    photo(tmp_path / "elsewhere/a.jpg")
    photo(tmp_path / "photos/dogs/b.jpg")
    (tmp_path / "photos/cats").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/dogs/up").symlink_to(tmp_path / "photos")
    entries = list_photographs(tmp_path / "photos")["photographs"]
    assert [entry["name"] for entry in entries] == ["cats/a.jpg", "dogs/b.jpg"]


def test_a_photograph_that_changed_after_it_was_listed_is_named(tmp_path):
    source = list_photographs(photo(tmp_path / "photos/a.jpg").parent)
    photo(tmp_path / "photos/a.jpg")
    message = r"photos/a\.jpg has changed since it was listed: run `dvc repro` again"
    with pytest.raises(UserError, match=message):
        folder.build(archives.dataset(16), source)
    (tmp_path / "photos/a.jpg").unlink()
    with pytest.raises(UserError, match=r"photos/a\.jpg was deleted after it was listed"):
        folder.build(archives.dataset(16), source)


def test_test_images_are_drawn_with_the_seed(tmp_path):
    for number in range(12):
        photo(tmp_path / f"photos/{number}.jpg")
    files.write_json(files.source_path("folder"), list_photographs(tmp_path / "photos"))

    params = config.load_params(ROOT / "params.yaml")

    def split_folder(val_size: float, seed: int = 0) -> None:
        settings = archives.dataset(16, val_size=val_size)
        datasets = {**params.datasets, "folder": settings}
        split("folder", params.model_copy(update={"datasets": datasets, "seed": seed}))

    def parts(seed: int) -> list[set[bytes]]:
        split_folder(3, seed)
        return [
            {image.tobytes() for image in np.load(files.images_path("folder", part))}
            for part in ("train", "val", "test")
        ]

    def sizes(val_size: float) -> list[int]:
        split_folder(val_size)
        parts = ("train", "val", "test")
        return [len(np.load(files.images_path("folder", part))) for part in parts]

    train, val, test = parts(0)
    assert (len(train), len(val), len(test), len(train | val | test)) == (6, 3, 3, 12)
    assert parts(0) == [train, val, test]
    assert parts(1)[2] != test
    for val_size, count in ((6, 6), (0.1, 10)):
        message = (
            f"val_size: {count} images for validation and as many for testing leave none of 12"
        )
        with pytest.raises(UserError, match=message):
            split_folder(val_size)
    for number in range(12, 130):
        photo(tmp_path / f"photos/{number}.jpg")
    files.write_json(files.source_path("folder"), list_photographs(tmp_path / "photos"))
    assert sizes(0.2) == [78, 26, 26]
    assert sizes(0.01) == [110, 10, 10]
    # A group of 15 images does not fit, whatever the order of the draw.
    assert draw_groups(np.array([7] * 15 + list(range(8, 40))), 10, 0, "folder").sum() == 10


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch):
    photo(tmp_path / "cats/a.jpg")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "cats":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cats cannot be read \(permission denied\)"):
        list_photographs(tmp_path)


def test_pipes_and_broken_links_are_named(tmp_path):
    photo(tmp_path / "photos/a.jpg")
    os.mkfifo(tmp_path / "photos/pipe.jpg")
    with pytest.raises(UserError, match=r"pipe\.jpg is not a regular file, but a pipe or a broken"):
        list_photographs(tmp_path / "photos")
    (tmp_path / "photos/pipe.jpg").unlink()
    (tmp_path / "photos/link.jpg").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"link\.jpg is not a regular file"):
        list_photographs(tmp_path / "photos")


def test_the_download_stage_lists_a_folder_and_refuses_anything_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "photos/a.jpg")
    params = config.load_params(ROOT / "params.yaml")

    def with_source(**changes: object) -> config.Params:
        settings = params.data("folder").model_copy(update={"source": "photos", **changes})
        return params.model_copy(update={"datasets": {**params.datasets, "folder": settings}})

    files.write_json(files.NAMES, {"models": list(params.models), "losses": list(params.losses)})
    download("folder", with_source())
    source = files.read_json(files.source_path("folder"))
    assert source["folder"] == "photos"
    assert folder.build(archives.dataset(16), source).train.images.shape == (1, 3, 16, 16)
    with zipfile.ZipFile("album.zip", "w") as file:
        file.write("photos/a.jpg")
    for path in ("album.zip", "photos/a.jpg"):
        message = rf"datasets\.folder\.source: {path} is a file: use the path of a folder .*unpack"
        with pytest.raises(UserError, match=message):
            download("folder", with_source(source=path))
    message = r"datasets\.folder\.source: there is no folder phtos: use the path of a folder"
    with pytest.raises(UserError, match=message):
        download("folder", with_source(source="phtos"))
    message = r"datasets\.folder\.md5: should be '', because a folder has no md5"
    with pytest.raises(UserError, match=message):
        download("folder", with_source(md5="0" * 32))


@pytest.mark.parametrize("dataset", ["photos", "folder"])
def test_the_check_stage_looks_for_the_folder_if_it_is_used(dataset):
    text = (ROOT / "params.yaml").read_text()
    Path("dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    Path("params.yaml").write_text(text.replace("dataset: photos ", f"dataset: {dataset} "))
    if dataset == "photos":
        check_params()
        return
    message = r"^params\.yaml: datasets\.folder\.source: there is no folder data/my-photos: use"
    with pytest.raises(UserError, match=message):
        check_params()


def stage_dependencies(project: Project) -> dict[str, list[str]]:
    """Return the dependencies of each download stage as DVC resolves them."""
    script = """if True:
        import json
        from dvc.repo import Repo

        paths = {
            stage.addressing: [dependency.def_path for dependency in stage.deps]
            for stage in Repo().index.stages
            if stage.addressing.startswith("download")
        }
        print(json.dumps(paths))
    """
    return json.loads(project.run(sys.executable, "-c", script).splitlines()[-1])


def test_only_the_folder_data_set_depends_on_the_photographs(tmp_path):
    project = Project(tmp_path)
    project.run("git", "init", "--quiet")
    for dataset, large_dataset in (
        ("photos", "photos96"),
        ("cifar10", "cifar10"),
        ("folder", "photos96"),
        ("photos", "folder"),
        ("folder", "folder"),
    ):
        project.edit_params(dataset=dataset, large_dataset=large_dataset)
        dependencies = stage_dependencies(project)
        assert dependencies.keys() == {f"download@{dataset}", f"download@{large_dataset}"}
        for stage, paths in dependencies.items():
            assert ("data/my-photos" in paths) == (stage == "download@folder")


def test_the_pipeline_runs_on_photographs_without_classes(tmp_path):
    """The photographs have several sizes and formats. The pretext stages are left out."""
    project = Project(tmp_path)
    for number in range(14):
        suffix = (".jpg", ".png", ".webp")[number % 3]
        photo(tmp_path / f"my photos/{number}{suffix}", 40 + 9 * number, 90 - 3 * number)
    project.run("git", "init", "--quiet")
    project.commit("all")
    settings = [
        f"datasets.folder.source={tmp_path / 'my photos'}",
        "datasets.folder.val_size=3",
        "datasets.folder.epochs=1",
        "datasets.folder.size=32",
        "dataset=folder",
        "threads=1",
        "train.batch_size=8",
    ]
    options = [part for setting in settings for part in ("--set-param", setting)]
    stages = ("evaluate@resnet", "pretext@xavier-finetune-100")
    output = project.run("dvc", "exp", "run", *options, *stages)
    assert "folder: 14 photographs, no classes" in output
    assert "pretext/xavier-finetune-100: left out: folder has fewer than two classes" in output
    evaluation = json.loads((project.root / "evaluations/resnet.json").read_text())
    assert (evaluation["data"], evaluation["n"]) == ("folder", 3)
    left_out = json.loads(
        (project.root / "evaluations/pretext/xavier-finetune-100.json").read_text()
    )
    assert left_out == {"data": "folder", "left_out": "folder has fewer than two classes"}
    assert json.loads((project.root / "metrics/pretext/xavier-finetune-100.json").read_text()) == {}
    assert "up to date" in project.run("dvc", "status", "download@folder")
    photo(tmp_path / "my photos/new.jpg")
    assert "my photos" in project.run("dvc", "status", "download@folder")
