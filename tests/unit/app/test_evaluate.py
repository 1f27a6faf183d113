"""`colorpipe evaluate`, which compares two folders of images."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from archives import smooth_images
from PIL import Image

from colorpipe.app import cli, evaluate
from colorpipe.color import gamut, lab
from colorpipe.evaluation.measure import GrayBaseline, measure
from colorpipe.losses import lpips, mse

SIZE = 48
RNG = np.random.default_rng(0)
ORIGINALS = smooth_images(RNG, 3, SIZE)
COLORED = (ORIGINALS * 0.8 + smooth_images(RNG, 3, SIZE) * 0.2).astype(np.uint8)


def run(*arguments: object, code: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["colorpipe", "evaluate", *map(str, arguments)])
        if code:
            with pytest.raises(SystemExit) as stopped:
                cli.main()
            if isinstance(stopped.value.code, str):
                print(stopped.value.code, file=sys.stderr)
        else:
            cli.main()


def save(folder: Path, images: np.ndarray, suffix: str = ".png") -> Path:
    (folder / "deeper").mkdir(parents=True)
    for number, image in enumerate(images):
        target = folder / "deeper" if number == 2 else folder
        Image.fromarray(image.transpose(1, 2, 0)).save(target / f"{number}{suffix}")
    return folder


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    return save(tmp_path / "colored", COLORED), save(tmp_path / "originals", ORIGINALS, ".tif")


def read_metrics(path: Path) -> dict[str, dict[str, float]]:
    """Return the parts of the JSON with dots for nesting."""
    content = json.loads(path.read_text())
    return {
        part: {
            f"{name}.{key}" if key else name: number
            for name, value in content[part].items()
            for key, number in (value.items() if isinstance(value, dict) else [("", value)])
        }
        for part in ("predicted", "gray_baseline")
    }


def test_the_gray_baseline_has_the_metrics_of_the_pipeline(folders, tmp_path, capsys):
    run(*folders, "--size", SIZE, "-o", tmp_path / "metrics.json")
    metrics = read_metrics(tmp_path / "metrics.json")["gray_baseline"]
    distance = lpips.LPIPS(0, "random").eval()
    expected = measure(GrayBaseline(), mse.MSE(), distance, torch.from_numpy(ORIGINALS)).metrics
    assert set(metrics) == set(evaluate.CONVENTIONS) - {"lpips"}
    for key, value in metrics.items():
        assert value == pytest.approx(expected[key], rel=1e-3, abs=1e-4), key
    output = capsys.readouterr().out
    assert output.startswith(f"3 images at {SIZE}x{SIZE} pixels\nmetric ")
    assert "LPIPS is left out, because its VGG-16 is not at" in output
    assert output.endswith("FID is left out, because it needs thousands of images.\n")


def test_the_metrics_are_those_of_the_images(folders, tmp_path):
    run(*folders, "--size", SIZE, "-o", tmp_path / "metrics.json")
    metrics = read_metrics(tmp_path / "metrics.json")["predicted"]
    colored, originals = (torch.from_numpy(images) for images in (COLORED, ORIGINALS))
    ab = [lab.rgb_to_lab(lab.uint8_to_float(images))[:, 1:] for images in (colored, originals)]
    assert metrics["test.mse"] == pytest.approx(float((ab[0] - ab[1]).square().mean()), rel=1e-4)
    squared = (colored.double() - originals).div(255).square().mean(dim=(1, 2, 3))
    assert metrics["rgb.psnr"] == pytest.approx(float(-10 * squared.log10().mean()), rel=1e-4)
    difference = abs(metrics["colorfulness"] - metrics["original_colorfulness"])
    assert metrics["colorfulness_distance"] == pytest.approx(difference, rel=1e-2)


def test_the_originals_have_perfect_metrics(folders, tmp_path):
    run(folders[1], folders[1], "--size", 64, "-o", tmp_path / "metrics.json")
    metrics = read_metrics(tmp_path / "metrics.json")["predicted"]
    assert (metrics["test.mse"], metrics["rgb.psnr"], metrics["auc"]) == (0, 100, 1)


def test_lpips_is_computed_if_its_weights_are_available(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "_load_lpips", lambda: lpips.LPIPS(0, "random").eval())
    run(*folders, "--size", SIZE, "-o", tmp_path / "metrics.json")
    metrics = read_metrics(tmp_path / "metrics.json")
    L = lab.lightness(lab.uint8_to_float(torch.from_numpy(ORIGINALS)))
    gray = gamut.render(L, L.new_zeros(3, 2, SIZE, SIZE))
    with torch.no_grad():
        expected = lpips.LPIPS(0, "random").distance(
            gray, lab.uint8_to_float(torch.from_numpy(ORIGINALS))
        )
    assert metrics["gray_baseline"]["lpips"] == pytest.approx(float(expected.mean()), rel=1e-2)


def test_files_without_a_pair_and_damaged_files_are_named(folders, capsys):
    colored, originals = folders
    (colored / "0.png").rename(colored / "0.tif.png")  # as `colorize` names it
    (colored / "1.png").write_bytes(b"hello")
    (colored / "more.png").write_bytes(b"hello")
    (colored / "deeper/2-compare.png").write_bytes(b"hello")  # as `colorize --compare` names it
    (originals / "other.jpg").write_bytes(b"hello")
    (originals / "Thumbs.db").write_bytes(b"hello")
    run(colored, originals, "--size", SIZE, code=1)
    output = capsys.readouterr()
    assert output.out.startswith("2 images at ")
    assert f"skipped: {colored}/1.png is not a readable JPEG" in output.err
    assert f"or a NAS: 1 file or folder: {originals}/Thumbs.db\n" in output.err
    alone = f"2 files (1 .png, 1 .jpg): {colored}/more.png, {originals}/other.jpg"
    assert f"skipped: not in both folders: {alone}" in output.err


def test_a_folder_of_results_may_be_in_the_album(tmp_path):
    for name in ("a.png", "out/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pairs, alone = evaluate.find_pairs(tmp_path / "out", tmp_path)
    assert pairs == [(tmp_path / "out/a.png", tmp_path / "a.png")]
    assert not alone


def test_the_same_name_comes_before_the_same_stem(tmp_path):
    names = ("a.jpg", "a.png")
    for folder in ("colored", "originals"):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    pairs, alone = evaluate.find_pairs(tmp_path / "colored", tmp_path / "originals")
    assert {(colored.name, original.name) for colored, original in pairs} == {
        (name, name) for name in names
    }
    assert not alone
    (tmp_path / "colored/a.jpg").unlink()
    pairs, alone = evaluate.find_pairs(tmp_path / "colored", tmp_path / "originals")
    assert pairs == [(tmp_path / "colored/a.png", tmp_path / "originals/a.png")]
    assert alone == [tmp_path / "originals/a.jpg"]
    (tmp_path / "originals/a.jpg").unlink()
    (tmp_path / "colored/a.jpg").touch()  # comes first, but has no original of its name
    pairs, alone = evaluate.find_pairs(tmp_path / "colored", tmp_path / "originals")
    assert pairs == [(tmp_path / "colored/a.png", tmp_path / "originals/a.png")]
    assert alone == [tmp_path / "colored/a.jpg"]


def test_each_original_has_one_pair(tmp_path):
    for name in ("colored/c.jpg", "colored/c.tif", "originals/c.jpg", "originals/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pairs, alone = evaluate.find_pairs(tmp_path / "colored", tmp_path / "originals")
    names = [(colored.name, original.name) for colored, original in pairs]
    assert names == [("c.jpg", "c.jpg"), ("c.tif", "c.png")]
    assert not alone


def test_mistakes_are_reported_in_one_line(folders, tmp_path, capsys, monkeypatch):
    run(folders[0], tmp_path / "none", code=1)
    assert capsys.readouterr().err.endswith("none is not a folder: use a folder of images\n")
    (tmp_path / "empty").mkdir()
    run(tmp_path / "empty", tmp_path / "empty", code=1)
    assert "empty: none of its images can be compared: give both images" in capsys.readouterr().err
    run(*folders, "-o", folders[1] / "0.tif", code=1)
    assert "0.tif: use a file with the suffix .json" in capsys.readouterr().err
    (tmp_path / "metrics.json").write_text("mine")
    run(*folders, "-o", tmp_path / "metrics.json", code=1)
    assert "metrics.json exists: use --force to overwrite it" in capsys.readouterr().err
    assert (tmp_path / "metrics.json").read_text() == "mine"
    run(*folders, "-o", tmp_path / "metrics.json", "--force")
    assert json.loads((tmp_path / "metrics.json").read_text())["n"] == 3
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.delitem(sys.modules, "colorpipe.losses.lpips")
    monkeypatch.delitem(sys.modules, "colorpipe.app.evaluate")
    monkeypatch.delattr("colorpipe.app.evaluate")
    monkeypatch.delattr("colorpipe.losses.lpips")
    run(*folders, code=1)
    message = "evaluate needs lpips: run pip install '.[pipeline]' in the project's folder"
    assert message in capsys.readouterr().err
