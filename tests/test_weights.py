"""Files of weights that are damaged, of another model, or made to do harm."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from colorpipe import checkpoints, download
from colorpipe.errors import UserError
from colorpipe.models import colorizer

CPU = torch.device("cpu")
RESNET = {"model": "resnet18", "settings": {"cut": "layer1"}}


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return colorizer.build(**RESNET).state_dict()


def build(path: Path, tensors: dict, description: dict) -> Path:
    checkpoints.save(path, tensors, description)
    return path


def changed(tensors: dict, **changes: torch.Tensor | None) -> dict:
    together = {**tensors, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in together.items() if tensor is not None}


WRONG = {
    "another architecture": (
        {},
        {"model": "densenet121", "settings": {"cut": "denseblock1"}},
        r"is not the densenet121 .* that it says: decoder\.0\.weight is \(128, 64, 3, 3\), expected \(128, 256",
    ),
    "another cut": (
        {},
        {**RESNET, "settings": {"cut": "layer2"}},
        r"decoder\.0\.weight is \(128, 64, 3, 3\), expected \(128, 128",
    ),
    "a missing layer": ({"encoder__bn1__bias": None}, RESNET, r"encoder\.bn1\.bias is nothing, expected \(64,\)"),
    "a layer too many": ({"extra": torch.zeros(3)}, RESNET, r"extra is \(3,\), expected nothing"),
    "another shape": ({"encoder__bn1__bias": torch.zeros(3)}, RESNET, r"bn1\.bias is \(3,\), expected \(64,\)"),
    "NaN": ({"encoder__bn1__bias": torch.full((64,), float("nan"))}, RESNET, r"bn1\.bias holds values that are not finite"),
    "infinity": (
        {"encoder__bn1__bias": torch.full((64,), float("inf"))},
        RESNET,
        r"bn1\.bias holds values that are not finite",
    ),
    "an unknown model": ({}, {**RESNET, "model": "gpt"}, "holds no colorizer"),
    "a module that is none of ours": ({}, {**RESNET, "model": "classifier"}, "holds no colorizer"),
    "a path for a model": ({}, {**RESNET, "model": "../../os"}, "holds no colorizer"),
    "an unknown cut": ({}, {**RESNET, "settings": {"cut": "layer9"}}, "is not the resnet18|holds no colorizer"),
    "settings of another model": ({}, {**RESNET, "settings": {"colours": 3}}, "holds no colorizer"),
    "a size without end": ({}, {"model": "eccv16", "settings": {"colours": 10**9}}, r"is not the eccv16|holds no colorizer"),
    "no description": ({}, {}, "holds no colorizer"),
}


@pytest.mark.parametrize(("changes", "description", "message"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_fit_is_named_with_what_was_expected(tmp_path, tensors, changes, description, message):
    path = build(tmp_path / "best.safetensors", changed(tensors, **changes), description)
    with pytest.raises(UserError, match=message) as raised:
        colorizer.load(path, CPU)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_what_is_cut_short_is_named(tmp_path, tensors, share):
    path = build(tmp_path / "best.safetensors", tensors, RESNET)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"best\.safetensors is no whole file of weights"):
        colorizer.load(path, CPU)


def test_a_file_of_somebody_elses(tmp_path, tensors):
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"x\.safetensors is no whole file of weights of colorpipe"):
        colorizer.load(tmp_path / "x.safetensors", CPU)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_crafted_weights_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.pth", {"conv1.weight": Harmful()}), ("b.pth", Harmful())):
        torch.save(content, name)
        with pytest.raises(UserError, match=rf"{name[0]}\.pth is no whole file of torchvision weights"):
            download.read_torchvision(Path(name))
    Path("c.pth").write_bytes(pickle.dumps(Harmful()))
    Path("best.safetensors").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(UserError, match=r"c\.pth is no whole file"):
        download.read_torchvision(Path("c.pth"))
    with pytest.raises(UserError, match=r"best\.safetensors is no whole file"):
        colorizer.load(Path("best.safetensors"), CPU)
    assert not Path("harm").exists()


def test_torchvision_weights_with_nan_are_named(tmp_path):
    torch.save({"conv1.weight": torch.full((2, 2), float("nan"))}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth: conv1\.weight holds values that are not finite"):
        download.read_torchvision(tmp_path / "w.pth")
