"""The commands `colorpipe colorize`, `models` and `export` with a real, untrained colorizer."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from project import ROOT
from skimage.color import rgb2lab
from torch import nn

from colorpipe import files
from colorpipe import weights as weight_files
from colorpipe.app import cli, colorize, decoding, model_zoo, photographs
from colorpipe.app.jobs import Job
from colorpipe.color import gamut, lab
from colorpipe.data import images
from colorpipe.models.colorizer import Prediction
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError

RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Return the weight file of a colorizer whose colors are often outside the sRGB gamut."""
    torch.manual_seed(0)
    settings = {"cut": "layer1"}
    model = build_colorizer("resnet18", settings)
    (last,) = (
        layer for layer in model.decoder if isinstance(layer, nn.Conv2d) and layer.out_channels == 2
    )
    nn.init.normal_(last.weight, std=3.0)
    nn.init.constant_(last.bias, 3.0)  # a strong orange
    path = tmp_path_factory.mktemp("models") / "small" / "best.safetensors"
    metadata = {
        "model": "resnet18",
        "settings": settings,
        "size": [32, 32],
        "data": "photos",
        "epoch": {"epoch": 3, "val_loss": 150.0},
    }
    weight_files.save(
        path, model.state_dict(), {**metadata, "loss": {"name": "mse"}, "train": {"seed": 0}}
    )
    return path


def photograph(height: int, width: int) -> np.ndarray:
    """Return an image of soft shapes with some noise."""
    spots = Image.fromarray(RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    soft = np.asarray(spots.resize((width, height), Image.Resampling.BICUBIC))
    return (
        (soft.astype(int) + RNG.integers(-9, 10, (height, width, 3))).clip(0, 255).astype(np.uint8)
    )


def run(*arguments: object, code: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["colorpipe", *map(str, arguments)])
        if not code:
            cli.main()
            return
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    if isinstance(stopped.value.code, str):  # Python prints it and exits with status 1
        print(stopped.value.code, file=sys.stderr)
    else:
        assert stopped.value.code == code


def lightness(rgb: np.ndarray) -> np.ndarray:
    return rgb2lab(rgb)[..., 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5), (64, 64), (301, 200)])
def test_every_pixel_keeps_its_lightness(weights, tmp_path, shape):
    before = photograph(*shape)
    Image.fromarray(before).save(tmp_path / "a.png")
    run("colorize", tmp_path / "a.png", "-o", tmp_path / "out", "--model", weights)
    after = images.read(tmp_path / "out/a.png").rgb
    assert after.shape == before.shape
    # Each of the three channels is rounded to 8 bits.
    assert np.abs(lightness(after) - lightness(before)).max() < 0.6
    assert np.abs(after.astype(int) - after[..., :1]).max() > 20  # the image is in color


def test_colors_are_those_that_the_network_predicts(weights):
    model, size = colorize.load_model(weights, "cpu")
    assert size == 32
    gray = np.full((32, 32, 3), 118, np.uint8)
    L = lab.lightness(lab.uint8_to_float(torch.from_numpy(gray).permute(2, 0, 1)[None]))
    with torch.no_grad():
        expected = gamut.render_preserving_lightness(L, model(L).ab)
    colored = colorize.colorize(model, gray, 32)
    assert np.abs(colored - expected[0].permute(1, 2, 0).numpy() * 255).max() < 0.51


def test_the_network_sees_the_lightness_that_it_is_trained_on(weights, monkeypatch):
    """A fine pattern has another lightness if L is resized instead of RGB: 50 instead of 53.6."""
    model, _ = colorize.load_model(weights, "cpu")
    pattern = np.indices((256, 256)).sum(axis=0) % 2 * 255
    rgb = np.repeat(pattern[..., None], 3, axis=2).astype(np.uint8)
    seen = []

    def forward(self, L):
        seen.append(L)
        return Prediction(L.new_zeros(1, 2, *L.shape[2:]))

    monkeypatch.setattr(type(model), "forward", forward)
    colorize.colorize(model, rgb, 32)
    square = ImageOps.fit(Image.fromarray(rgb), (32, 32), Image.Resampling.LANCZOS)
    assert np.abs(seen[0][0, 0].numpy() - lightness(np.asarray(square))).max() < 0.01
    assert abs(float(seen[0].mean()) - 53.6) < 1


def test_an_apple_gpu_is_used_if_available(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    assert colorize.select_device("auto").type == colorize.select_device("mps").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert colorize.select_device("auto").type == "cpu"


def test_metadata_is_kept_unless_stripped(weights, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[270] = 6, "grandmother"
    Image.fromarray(photograph(20, 30)).save(tmp_path / "a.jpg", exif=exif)
    run("colorize", tmp_path / "a.jpg", "-o", tmp_path / "kept.png", "--model", weights)
    run("colorize", tmp_path / "a.jpg", "-o", tmp_path / "none.png", "--model", weights, "--strip")
    with Image.open(tmp_path / "kept.png") as kept, Image.open(tmp_path / "none.png") as stripped:
        assert kept.size == stripped.size == (20, 30)
        assert dict(kept.getexif()) == {270: "grandmother"}
        assert not stripped.getexif()


def test_splitting_into_strips_makes_no_difference(weights, monkeypatch):
    model, _ = colorize.load_model(weights, "cpu")
    before = photograph(50, 40)
    whole = colorize.colorize(model, before, 24)
    monkeypatch.setattr(colorize, "STRIP_PIXELS", 40 * 7)
    assert np.abs(whole.astype(int) - colorize.colorize(model, before, 24)).max() <= 1


def test_strips_are_enlarged_like_the_whole_image():
    ab = torch.randn(1, 2, 5, 7)
    strips = [slice(0, 10), slice(10, 23)]
    enlarged = torch.cat(list(colorize._enlarge(ab, 23, 31, strips)), dim=2)
    expected = torch.nn.functional.interpolate(ab, (23, 31), mode="bilinear")
    torch.testing.assert_close(enlarged, expected, atol=1e-5, rtol=1e-5)


def test_the_network_sees_about_as_many_pixels_as_in_training():
    assert colorize.small_size(100, 100, 32) == (32, 32)
    assert colorize.small_size(4000, 6000, 32) == (26, 39)
    assert colorize.small_size(1, 20_000, 32) == (1, 4525)
    assert colorize.small_size(1, 1, 32) == (32, 32)


def test_odd_images_in_a_folder_are_colorized_or_named(weights, tmp_path, capsys):
    folder = tmp_path / "odd ones"
    (folder / "deeper").mkdir(parents=True)
    image = Image.fromarray(photograph(40, 60))
    image.save(folder / "plain.jpg")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("LA").save(folder / "gray alpha.png")
    Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27).save(folder / "deep.tif")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "deeper/rotated.jpg", exif=exif)
    image.crop((0, 0, 1, 1)).save(folder / "one.png")
    (folder / "cut.jpg").write_bytes((folder / "plain.jpg").read_bytes()[:500])
    (folder / "no image.txt").write_text("hello")
    (folder / ".hidden").write_text("hello")
    out = tmp_path / "out"
    run("colorize", folder, "-o", out, "--model", weights.parent, code=1)
    output = capsys.readouterr()
    named = f"2 files (1 .jpg, 1 .txt): {folder}/cut.jpg, {folder}/no image.txt"
    assert output.out == f"6 colorized, 2 skipped\nskipped: {named}\n"
    assert f"skipped: {folder}/cut.jpg cannot be read" in output.err
    assert f"skipped: {folder}/no image.txt is not a readable JPEG" in output.err
    reason = "they are hidden, or belong to the operating system or a NAS"
    assert f"skipped, because {reason}: 1 file or folder: {folder}/.hidden" in output.err
    assert f"{folder}/deep.tif: 16 bits reduced to 8" in output.err
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert written == {
        "plain.png",
        "cmyk.png",
        "gray alpha.png",
        "deep.png",
        "deeper/rotated.png",
        "one.png",
    }
    assert images.read(out / "deeper/rotated.png").rgb.shape == (60, 40, 3)
    assert images.read(out / "gray alpha.png").alpha is not None


def test_nothing_is_overwritten_without_force(weights, tmp_path, capsys):
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.png")
    target = tmp_path / "b.png"
    target.write_bytes(b"mine")
    run("colorize", tmp_path / "a.png", "-o", target, "--model", weights, code=1)
    assert "b.png exists: use --force to overwrite it" in capsys.readouterr().err
    assert target.read_bytes() == b"mine"
    run("colorize", tmp_path / "a.png", "-o", target, "--model", weights, "--force")
    assert images.read(target).rgb.shape == (8, 8, 3)
    original = (tmp_path / "a.png").read_bytes()
    run("colorize", tmp_path / "a.png", "-o", tmp_path, "--model", weights, "--force", code=1)
    assert "is an original, which is never overwritten" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == original


def test_no_original_is_lost(weights, tmp_path, capsys):
    for name in ("a.png", "a-compare.png"):
        Image.fromarray(photograph(8, 8)).save(tmp_path / name)
    before = (tmp_path / "a-compare.png").read_bytes()
    inputs = (tmp_path / "a.png", tmp_path / "a-compare.png")
    run("colorize", *inputs, "-o", tmp_path, "--model", weights, "--force", "--compare", code=1)
    assert (tmp_path / "a-compare.png").read_bytes() == before
    assert "0 colorized, 2 skipped" in capsys.readouterr().out


def test_the_output_folder_may_be_above_or_below_the_photographs(weights, tmp_path, capsys):
    (tmp_path / "album").mkdir()
    Image.fromarray(photograph(8, 8)).save(tmp_path / "album/a.png")
    for out, written in ((tmp_path, "a.png"), (tmp_path / "album/out", "album/out/a.png")):
        run("colorize", tmp_path / "album", "-o", out, "--model", weights)
        assert (tmp_path / written).exists()
    run("colorize", tmp_path / "album", "-o", tmp_path / "album/out", "--model", weights, "--force")
    assert "1 colorized, 0 skipped" in capsys.readouterr().out  # its earlier output is not an input


def test_photographs_that_cannot_be_read_or_written_are_skipped(weights, tmp_path, capsys):
    Image.fromarray(photograph(1, 20_000)).save(tmp_path / "long.png")
    Image.fromarray(photograph(8, 8)).save(tmp_path / "small.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.png")
    run(
        "colorize",
        tmp_path,
        "x" * 300,
        "-o",
        tmp_path / "out",
        "--model",
        weights,
        "--format",
        "webp",
        code=1,
    )
    output = capsys.readouterr()
    assert "1 colorized, 4 skipped" in output.out
    for words in (
        "broken.png is missing",
        "pipe.png cannot be read: it is a pipe",
        "long.webp cannot be written: ",
        "too long",
    ):
        assert words in output.err


def test_outputs_of_the_same_name_keep_their_suffixes(weights, tmp_path, capsys):
    for name in ("a.png", "a.webp", "b.png"):
        Image.fromarray(photograph(8, 8)).save(tmp_path / name)
    run("colorize", tmp_path, "-o", tmp_path / "out", "--model", weights)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "a.png.png",
        "a.webp.png",
        "b.png",
    }
    (tmp_path / "other").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "other/b.png")
    inputs = (tmp_path / "b.png", tmp_path / "other/b.png")
    run("colorize", *inputs, "-o", tmp_path / "two", "--model", weights, "--force", code=1)
    assert "two/b.png.png is" in capsys.readouterr().err
    run("colorize", inputs[0], inputs[0], "-o", tmp_path / "once", "--model", weights)
    assert [path.name for path in (tmp_path / "once").iterdir()] == ["b.png"]


def test_the_list_leaves_out_a_damaged_weight_file(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("models/bad").mkdir(parents=True)
    Path("models/bad/best.safetensors").write_bytes(weights.read_bytes()[:1000])
    run("models")
    output = capsys.readouterr()
    assert "left out: models/bad/best.safetensors is not a complete" in output.err
    assert "bundled" in output.out
    assert "bad" not in output.out
    for command in ("models", "demo"):
        run(command, "nothing", code=1)
        assert (
            capsys.readouterr().err
            == "error: nothing is not a folder: use a folder of trained colorizers\n"
        )


def test_an_existing_output_is_not_a_failure(weights, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        Image.fromarray(photograph(8, 8)).convert("L").save(tmp_path / name)
    run("colorize", tmp_path / "a.png", "-o", tmp_path / "out", "--model", weights)
    before = (tmp_path / "out/a.png").read_bytes()
    (tmp_path / "bad.png").write_text("hello")
    run("colorize", tmp_path, "-o", tmp_path / "out", "--model", weights, code=1)
    output = capsys.readouterr()
    assert "1 skipped, 1 output exists already: use --force to overwrite it" in output.out
    assert "a.png" not in output.err
    assert (tmp_path / "out/a.png").read_bytes() == before
    (tmp_path / "bad.png").unlink()
    run("colorize", tmp_path, "-o", tmp_path / "out", "--model", weights)
    message = "0 colorized, 0 skipped, 2 outputs exist already: use --force to overwrite them\n"
    assert capsys.readouterr().out == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("album", "-o", "new.png"), "-o new.png is a file: use a folder for several photographs"),
        (
            ("album/a.png", "album/b.png", "-o", "new.jpg"),
            "-o new.jpg is a file: use a folder for several photographs",
        ),
        (
            ("album", "-o", "album"),
            "-o album is the folder of the photographs: use another folder",
        ),
        (
            ("album/a.png", "-o", "new.png", "--format", "jpg"),
            "-o new.png: its suffix contradicts --format jpg: leave out the format, or use the "
            "suffix .jpg",
        ),
        (("album/c.png", "-o", "new"), "album/c.png is missing: check its path"),
    ],
)
def test_an_unusable_output_is_reported_in_one_line(
    weights, tmp_path, monkeypatch, capsys, arguments, message
):
    (tmp_path / "album").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(photograph(8, 8)).save(tmp_path / "album" / name)
    monkeypatch.chdir(tmp_path)
    run("colorize", *arguments, "--model", weights, code=1)
    output = capsys.readouterr()
    assert output.err == f"error: {message}\n"
    assert not output.out
    assert sorted(path.name for path in (tmp_path / "album").iterdir()) == ["a.png", "b.png"]
    run("colorize", "album/a.png", "-o", "new.jpeg", "--format", "jpg", "--model", weights)


def test_a_raw_file_does_not_change_the_name_of_its_jpeg(weights, tmp_path):
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.jpg")
    (tmp_path / "a.CR2").write_bytes(b"raw")
    run("colorize", tmp_path, "-o", tmp_path / "out", "--model", weights, code=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_the_comparison_has_gray_and_color_in_the_chosen_format(weights, tmp_path):
    before = photograph(20, 30)
    Image.fromarray(before).save(tmp_path / "a.png")
    options = ("-o", tmp_path / "out", "--model", weights, "--compare", "--format", "webp")
    run("colorize", tmp_path / "a.png", *options)
    pair, alone = (
        images.read(tmp_path / "out" / name).rgb for name in ("a-compare.webp", "a.webp")
    )
    assert pair.shape == (20, 60, 3)
    assert (pair[:, :30] == pair[:, :30, :1]).all()
    assert np.abs(lightness(pair[:, :30]) - lightness(before)).max() < 0.3
    assert np.array_equal(pair[:, 30:], alone)


def test_only_missing_files_are_written(weights, tmp_path):
    """A killed process may leave one of the two files. A file may also be the user's own."""
    Image.fromarray(photograph(20, 30)).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    names = ("a.png", "a-compare.png")
    options = ("-o", tmp_path / "out", "--model", weights, "--compare")
    for own, missing in (names, names[::-1]):
        (tmp_path / "out" / own).write_bytes(b"mine")
        run("colorize", tmp_path / "a.png", *options)
        assert (tmp_path / "out" / own).read_bytes() == b"mine"
        assert images.read(tmp_path / "out" / missing).rgb.shape[0] == 20
        run("colorize", tmp_path / "a.png", *options, code=1)  # both exist
        for name in names:
            (tmp_path / "out" / name).unlink()


def test_a_conflict_of_names_remains_when_run_again(weights, tmp_path, capsys):
    for folder in ("2019", "2020"):
        (tmp_path / folder).mkdir()
        Image.fromarray(photograph(8, 8)).save(tmp_path / folder / "a.png")
        (tmp_path / folder / "a.png").rename(tmp_path / folder / "a.1")  # no known suffix
    names = (tmp_path / "2019/a.1", tmp_path / "2020/a.1")
    for _ in range(2):
        run("colorize", *names, "-o", tmp_path / "out", "--model", weights, code=1)
        assert "a.png is already the output of" in capsys.readouterr().err


def test_several_folders_keep_their_names(weights, tmp_path, capsys):
    for folder in ("2019", "2020"):
        (tmp_path / folder).mkdir()
        Image.fromarray(photograph(8, 8)).save(tmp_path / folder / "a.jpg")
    (tmp_path / "empty").mkdir()
    inputs = (tmp_path / "2019", tmp_path / "2020", tmp_path / "empty", tmp_path / "2019/a.jpg")
    run("colorize", *inputs, "-o", tmp_path / "out", "--model", weights)
    output = capsys.readouterr()
    assert "2 colorized, 0 skipped" in output.out
    assert "skipped, without files: " in output.err
    paths = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.rglob("out/**/*.*"))
    assert paths == ["2019/a.png", "2020/a.png"]


def test_no_output_is_written_into_a_folder_of_photographs(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("2019", "2020"):
        Path(folder).mkdir()
        Image.fromarray(photograph(8, 8)).save(f"{folder}/a.jpg")
    run("colorize", "2019", "2020", "-o", ".", "--model", weights, code=1)
    assert capsys.readouterr().err.startswith("error: -o . is the folder of the photographs")


def test_the_output_folder_may_be_among_the_inputs(weights, tmp_path):
    """The shell replaces scans/* by names that include the output folder of an earlier run."""
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(photograph(8, 8)).save(tmp_path / name)
        inputs = sorted(tmp_path.iterdir())
        run("colorize", *inputs, "-o", tmp_path / "colored", "--model", weights)
    assert {path.name for path in (tmp_path / "colored").iterdir()} == {"a.png", "b.png"}


def test_names_that_differ_only_in_case_are_kept_apart(weights, tmp_path):
    """On macOS, a.png and A.png are the same file."""
    for name in ("a.jpg", "A.tif"):
        Image.fromarray(photograph(8, 8)).save(tmp_path / name)
    run("colorize", tmp_path, "-o", tmp_path / "out", "--model", weights)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.jpg.png", "A.tif.png"}


def test_photographs_in_color_and_kept_outputs_are_named(weights, tmp_path, capsys):
    Image.fromarray(photograph(40, 40)).save(tmp_path / "color.png")
    Image.fromarray(photograph(40, 40)).convert("L").save(tmp_path / "gray.png")
    options = ("-o", tmp_path / "out", "--model", weights)
    run("colorize", tmp_path / "color.png", tmp_path / "gray.png", *options)
    assert capsys.readouterr().err.count("it was in color already") == 1
    run("colorize", tmp_path / "gray.png", *options, "--compare")
    assert "out/gray.png exists and is kept" in capsys.readouterr().err


def test_an_apple_gpu_is_used_by_one_thread(monkeypatch):
    """Several threads on an Apple GPU may crash the process (pytorch#197805)."""
    model = SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=torch.device("mps"))]))
    threads = set()

    def colorize_one(*_, **__):
        threads.add(threading.get_ident())
        time.sleep(0.05)
        return ""

    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(photographs, "WORKERS", 4)
    monkeypatch.setattr(photographs, "colorize_one", colorize_one)
    monkeypatch.setattr(photographs.colorize, "load_model", lambda *_: (model, 32))
    jobs = [Job(Path(f"{number}.jpg"), Path(f"{number}.png")) for number in range(6)]
    options = {"size": None, "vividness": None, "force": False, "strip": False}
    assert photographs.colorize_all(jobs, Path("weights"), "mps", **options)
    assert len(threads) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "-o", "out", "--model", "renset"], "--model renset: no such colorizer"),
        (
            ["a.png", "-o", "out", "--device", "abacus"],
            "--device abacus: use cpu, cuda, cuda:<number> or mps",
        ),
        (
            ["a.png", "-o", "out", "--device", "cpu:3"],
            "--device cpu:3: use cpu, cuda, cuda:<number> or mps",
        ),
        (["a.png", "a.png", "-o", "a.png"], "-o a.png is a file"),
        (
            ["a.png", "-o", "a.png"],
            "a.png is an original, which is never overwritten: use another -o",
        ),
        (
            ["a.png", "-o", "out.gif"],
            "-o out.gif: create this folder first, or use a file with one of the suffixes .png",
        ),
        (["empty", "-o", "out"], "no files in empty"),
    ],
)
def test_a_mistake_is_reported_in_one_line(
    weights, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph(8, 8)).save("a.png")
    Path("empty").mkdir()
    if "--model" not in arguments:
        arguments = [*arguments, "--model", weights]
    run("colorize", *arguments, code=1)
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_colorizer_in_training_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files.write_json(Path("live/metrics.json"), {"training": "resnet", "epoch": 1})
    run("colorize", "a.png", "-o", "out", "--model", "resnet", code=1)
    assert capsys.readouterr().err.startswith(
        "error: --model resnet: it is being trained, or its training was killed: wait"
    )
    run("colorize", "a.png", "-o", "out", "--model", "eccv", code=1)
    assert capsys.readouterr().err.startswith("error: --model eccv: no such colorizer")


def test_an_untrained_colorizer_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    message = "it is not trained yet: run `dvc repro train@unet`, or use bundled"
    for command in (("colorize", "a.png", "-o", "out"), ("export", "-o", "a.onnx")):
        run(*command, "--model", "unet", code=1)
        assert capsys.readouterr().err == f"error: --model unet: {message}\n"
    run("colorize", "a.png", "-o", "out", "--model", "unnet", code=1)
    assert capsys.readouterr().err.startswith("error: --model unnet: no such colorizer")
    files.write_json(Path("live/metrics.json"), {"training": "unet", "epoch": 1})
    run("colorize", "a.png", "-o", "out", "--model", "unet", code=1)
    assert "it is being trained, or its training was killed" in capsys.readouterr().err
    (tmp_path / "dvc.yaml").write_text("{")
    run("colorize", "a.png", "-o", "out", "--model", "resnet", code=1)
    assert capsys.readouterr().err.startswith("error: --model resnet: no such colorizer")


@pytest.mark.parametrize(
    "text",
    [
        "Found no NVIDIA driver on your system. Please check ... http://www.nvidia.com/Download",
        "CUDA error: invalid device ordinal\nGPU device may be out of range",
        "Torch not compiled with CUDA enabled",
    ],
)
def test_an_unusable_device_is_reported_in_one_short_line(monkeypatch, text):
    def fail(*size: int, device: torch.device) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(torch, "empty", fail)
    reason = text.splitlines()[0].split(". ")[0]
    with pytest.raises(UserError) as raised:
        colorize.select_device("cuda:1")
    assert str(raised.value) == f"--device cuda:1: {reason}: use another device or auto"
    assert "http" not in reason


def test_an_apple_gpu_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device mps: PyTorch finds no Apple GPU: use cpu or"):
        colorize.select_device("mps")


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit):
        run("--version")
    assert re.fullmatch(r"colorpipe (\d+\.\d+\.\d+|\(not installed\))\n", capsys.readouterr().out)


def test_a_classifier_is_not_a_colorizer(weights, tmp_path, capsys):
    tensors, metadata = weight_files.load(weights)
    weight_files.save(
        tmp_path / "best.safetensors", tensors, {**metadata, "classes": ["cat", "dog"]}
    )
    run("colorize", "a.png", "-o", tmp_path / "out", "--model", tmp_path, code=1)
    assert (
        "best.safetensors is a classifier of the pretext task, not a colorizer"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("number", ["0", "99999"])
def test_an_invalid_port_is_refused(capsys, number):
    run("demo", "--port", number, code=2)
    assert f"use a whole number from 1 to 65535, not {number}" in capsys.readouterr().err


def test_an_export_overwrites_no_photograph(weights, tmp_path, capsys):
    Image.fromarray(photograph(8, 8)).save(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    run("export", "--model", weights, "-o", tmp_path / "a.jpg", "--force", code=1)
    assert "a.jpg: use a file with the suffix .onnx" in capsys.readouterr().err
    assert (tmp_path / "a.jpg").read_bytes() == before


def test_a_file_without_weights_is_refused(tmp_path, capsys):
    (tmp_path / "best.safetensors").write_bytes(b"nothing")
    run("colorize", "a.png", "-o", tmp_path / "out", "--model", tmp_path, code=1)
    assert "best.safetensors is not a complete colorpipe weight file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "size", [None, "abc", [], 5, ["x"], [float("nan")], [1e300], [0], [-5], [10**6], [True]]
)
def test_weights_without_a_valid_size_are_refused(weights, tmp_path, capsys, size):
    tensors, metadata = weight_files.load(weights)
    weight_files.save(tmp_path / "best.safetensors", tensors, {**metadata, "size": size})
    run("colorize", "a.png", "-o", tmp_path / "out", "--model", tmp_path, code=1)
    assert "best.safetensors: its metadata has no valid training size" in capsys.readouterr().err


def test_a_prediction_that_is_not_finite_is_reported(weights, tmp_path, capsys):
    tensors, metadata = weight_files.load(weights)
    absurd = {
        name: torch.full_like(tensor, 1e38) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    weight_files.save(tmp_path / "best.safetensors", absurd, metadata)
    Image.fromarray(photograph(40, 40)).save(tmp_path / "a.png")
    run("colorize", tmp_path / "a.png", "-o", tmp_path / "out", "--model", tmp_path, code=1)
    assert (
        "a.png: the colorizer's prediction is not finite, so its weights are damaged"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_models_are_listed_with_their_metrics(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("models")
    output = capsys.readouterr()
    assert output.err == "This colorizer is bundled. `dvc repro` trains more.\n"
    header, bundled = output.out.splitlines()
    expected = ["bundled", "timm_unet", "folder", "128x128", "color_classification"]
    assert bundled.split()[:5] == expected
    assert header.endswith("ab MSE  ab SSIM  ab PSNR  gray ab MSE")
    columns = len(model_zoo.INFO_COLUMNS) + len(model_zoo.METRIC_COLUMNS)
    assert len(bundled.split()) == columns
    mse, ssim, psnr, gray_mse = map(float, bundled.split()[7:])
    metadata = weight_files.load_metadata(weight_files.BUNDLED_PATH)
    assert mse == pytest.approx(metadata["test"]["mse"], rel=1e-3)
    assert ssim == pytest.approx(metadata["test"]["ssim"], abs=1e-3)
    assert psnr == pytest.approx(metadata["test"]["psnr"], abs=0.01)
    assert gray_mse == pytest.approx(metadata["baseline"]["mse"], rel=1e-3)
    assert mse < gray_mse


def test_trained_models_are_listed_with_their_metrics(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(weights.parents[1])
    files.write_json(
        Path("metrics/small.json"),
        {"test": {"loss": 3.2, "mse": 151.25, "ssim": 0.25, "psnr": 21.5}},
    )
    evaluation = {
        "data": "photos",
        "loss": "mse",
        "seed": 0,
        "best_epoch": 3,
        "val_loss": 150.0,
        "n": 40,
        "original_colorfulness": 30.5,
    }
    files.write_json(Path("evaluations/small.json"), evaluation)
    test_set = {key: evaluation[key] for key in ("data", "n", "original_colorfulness")}
    for name, mse, changes in (("a", 99.9, {"original_colorfulness": 30.6}), ("b", 193.6, {})):
        files.write_json(Path(f"evaluations/baseline/{name}.json"), {**test_set, **changes})
        files.write_json(Path(f"metrics/baseline/{name}.json"), {"test": {"mse": mse}})
    run("models")
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split() == [
        "small",
        "resnet18",
        "photos",
        "32x32",
        "mse",
        "0",
        "3",
        "151.2",
        "0.250",
        "21.50",
        "193.6",
    ]
    other_weights = {**evaluation, "val_loss": 149.0}
    files.write_json(Path("evaluations/small.json"), other_weights)
    run("models")
    assert capsys.readouterr().out.splitlines()[1].split() == row.split()[:7]
    files.write_json(Path("evaluations/small.json"), evaluation)
    Path("evaluations/baseline/b.json").unlink()
    run("models")
    assert capsys.readouterr().out.splitlines()[1].split() == row.split()[:10]
    files.write_json(Path("evaluations/baseline/b.json"), test_set)
    flat = {"test": {"mse": 151.25, "ssim": None, "psnr": None}}  # not finite
    files.write_json(Path("metrics/small.json"), flat)
    run("models")
    shown = capsys.readouterr().out.splitlines()[1].split()
    assert shown == [*row.split()[:8], "193.6"]
    for damaged in ("{", "[]", '{"test": {"mse": "x"}}', "null"):
        Path("metrics/small.json").write_text(damaged)
        run("models", code=1)
        assert re.search(
            r"metrics/small\.json (or evaluations/small\.json )?is damaged", capsys.readouterr().err
        )


def test_the_bundled_colorizer_needs_no_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph(60, 90)).save("a.png")
    pixels = images.read(Path("a.png")).rgb
    run("colorize", "a.png", "-o", "default.png")
    path = weight_files.BUNDLED_PATH
    model, size = colorize.load_model(path, "cpu")
    assert size == weight_files.load_metadata(path)["colorize_size"][0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = {"default": colorize.colorize(model, pixels, size)}
    for vividness in (0, 1):
        name = f"vividness-{vividness}"
        run("colorize", "a.png", "-o", f"{name}.png", "--vividness", vividness)
        model, _ = colorize.load_model(path, "cpu", vividness)
        expected[name] = colorize.colorize(model, pixels, size)
    assert capsys.readouterr().out.endswith("1 colorized, 0 skipped\n")
    for name, colored in expected.items():
        assert np.array_equal(images.read(Path(f"{name}.png")).rgb, colored)
    assert not np.array_equal(expected["vividness-0"], expected["vividness-1"])


def test_the_bundled_colorizer_is_small_and_its_path_goes_from_faithful_to_vivid():
    assert weight_files.BUNDLED_PATH.stat().st_size < 12e6
    metadata = weight_files.load_metadata(weight_files.BUNDLED_PATH)
    path = decoding.load_vividness_path(weight_files.BUNDLED_PATH, metadata)
    assert [point.colorfulness for point in path] == sorted(point.colorfulness for point in path)
    assert path[0].mse < path[-1].mse < metadata["baseline"]["mse"] * 2
    assert path[0].colorfulness < path[-1].colorfulness


def test_a_model_is_chosen_by_name_or_path(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("resnet", "bundled", "unet-cifar10", "xavier"):
        trained = Path("models") / name / "best.safetensors"
        trained.parent.mkdir(parents=True)
        trained.write_bytes(weights.read_bytes())
    assert list(model_zoo.list_colorizers(Path("models"))) == [
        "bundled",
        "resnet",
        "unet-cifar10",
    ]
    for model, path in {
        "resnet": "models/resnet/best.safetensors",
        "unet-cifar10": "models/unet-cifar10/best.safetensors",
        "bundled": weight_files.BUNDLED_PATH,
        "models/bundled": "models/bundled/best.safetensors",
        str(weights): weights,
    }.items():
        assert weight_files.find_weights(model, "--model") == Path(path)


def test_help_needs_no_torch():
    script = "import sys; import colorpipe.app.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
