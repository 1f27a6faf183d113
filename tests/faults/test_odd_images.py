"""Odd images are read, and bad images are named in one line while the others are colorized."""

from pathlib import Path

import numpy as np
import odd_images
import pytest
import torch
from project import ROOT

from colorpipe import files, weights
from colorpipe.app import cli
from colorpipe.config import DatasetConfig, load_params
from colorpipe.data import folder, images
from colorpipe.data.listing import list_photographs
from colorpipe.data.split import split
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError, printable_path


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("odd") / "album"
    odd_images.write_files(root, {**odd_images.READ, **odd_images.REFUSED, **odd_images.DAMAGED})
    return root


def test_there_are_at_least_sixty_images():
    assert len(odd_images.READ) + len(odd_images.REFUSED) >= 60


@pytest.mark.parametrize("name", odd_images.READ, ids=repr)
def test_odd_files_are_read(album, name):
    photograph = images.read(album / name)
    assert photograph.rgb.ndim == 3
    assert all("\n" not in note for note in photograph.notes)


@pytest.mark.parametrize("name", odd_images.REFUSED, ids=repr)
def test_bad_files_are_named(album, name):
    with pytest.raises(UserError) as raised:
        images.read(album / name)
    assert printable_path(Path(name)) in str(raised.value)
    assert "\n" not in str(raised.value)


def colorize(album: Path, monkeypatch) -> None:
    """Run `colorpipe colorize` with an untrained colorizer. It exits with status 1."""
    torch.manual_seed(0)
    model = build_colorizer("resnet18", {"cut": "layer1"})
    metadata = {"model": "resnet18", "settings": {"cut": "layer1"}, "size": [16, 16]}
    weights.save(Path("best.safetensors"), model.state_dict(), metadata)
    monkeypatch.setattr(
        "sys.argv",
        ["colorpipe", "colorize", str(album), "-o", "out", "--model", "best.safetensors"],
    )
    with pytest.raises(SystemExit) as raised:
        cli.main()
    assert raised.value.code == 1


def test_colorize_skips_bad_files_and_names_them(album, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    colorize(album, monkeypatch)
    output = capsys.readouterr()
    skipped = [line for line in output.err.splitlines() if line.startswith("skipped: ")]
    damaged = len([line for line in skipped if "damaged " in line.split(": ")[1]])
    assert len(skipped) == len(odd_images.REFUSED) + damaged
    read = len(odd_images.READ) + len(odd_images.DAMAGED) - damaged
    assert output.out.startswith(
        f"{read} colorized, {len(skipped)} skipped\nskipped: {len(skipped)} files ("
    )
    assert len(list(Path("out").iterdir())) == read
    assert "Traceback" not in output.err
    assert not Path("harm").exists()


def settings(size: int) -> DatasetConfig:
    return load_params(ROOT / "params.yaml").data("folder").model_copy(update={"size": size})


def test_a_data_set_uses_odd_photographs_but_no_gray_ones_or_copies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd_images.write_files(tmp_path / "photos", odd_images.READ)
    files.source_path("folder").parent.mkdir(parents=True)
    data = folder.build(settings(size=16), list_photographs(tmp_path / "photos"))
    # Gray photographs and exact copies are not used. Two gray ones have 16 bits per channel, one
    # has one bit, and two have a single pixel that is nearly gray.
    gray = 6
    assert len(data.train.images) == len(set(odd_images.READ.values())) - gray


def test_bad_photographs_in_a_data_set_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd_images.write_files(tmp_path / "photos", {**odd_images.READ, **odd_images.REFUSED})
    files.source_path("folder").parent.mkdir(parents=True)
    source = list_photographs(tmp_path / "photos")
    with pytest.raises(UserError, match=rf"; and {len(odd_images.REFUSED) - 3} more$") as raised:
        folder.build(settings(size=16), source)
    assert "\n" not in str(raised.value)


def write_mixed_album(album: Path) -> dict[str, list[str]]:
    """Write the 40 files, and return their names by group."""
    groups = odd_images.mixed_album()
    assert sum(map(len, groups.values())) == 40
    for group in groups.values():
        odd_images.write_files(album, group)
    return {kind: sorted(group) for kind, group in groups.items()}


def test_colorize_names_each_unused_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = write_mixed_album(tmp_path / "album")
    colorize(tmp_path / "album", monkeypatch)
    output = capsys.readouterr()
    unread = names["unreadable"] + names["other"]
    read = 40 - len(unread) - len(names["system"])
    assert output.out.startswith(f"{read} colorized, {len(unread)} skipped\n")
    assert len([path for path in Path("out").rglob("*") if path.is_file()]) == read
    for name in unread:
        assert output.err.count(f"skipped: {tmp_path}/album/{name} ") == 1, name
    line = next(line for line in output.err.splitlines() if line.startswith("skipped, because"))
    assert all(name.split("/")[0] in line for name in names["system"])


def test_split_names_each_unused_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = write_mixed_album(tmp_path / "album")
    params = load_params(ROOT / "params.yaml")
    config = settings(size=32).model_copy(update={"val_size": 3})
    params = params.model_copy(update={"datasets": {**params.datasets, "folder": config}})
    files.write_json(files.source_path("folder"), list_photographs(tmp_path / "album"))
    with pytest.raises(UserError, match="repair or delete the unreadable files"):
        split("folder", params)
    output = capsys.readouterr().out
    for name in names["unreadable"]:
        assert f"folder: unreadable: {name} " in output
        (tmp_path / "album" / name).unlink()
    files.write_json(files.source_path("folder"), list_photographs(tmp_path / "album"))
    split("folder", params)
    output = capsys.readouterr().out
    # Of a system folder, only the folder itself is named.
    names["system"] = [name.split("/")[0] for name in names["system"]]
    for kind in ("gray", "toned", "copies", "other", "system"):
        assert any(all(name in line for name in names[kind]) for line in output.splitlines()), kind
    twins = "plain again.jpg = plain with a caption.png = plain.png"
    assert f"1 group of near-duplicates, each kept in one part of the split: {twins}\n" in output
    counts = [len(np.load(files.images_path("folder", part))) for part in ("train", "val", "test")]
    assert sum(counts) == len(names["used"])
    assert max(counts[1:]) <= 3
