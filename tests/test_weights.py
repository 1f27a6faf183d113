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
        r"is not the densenet121 .* that it says: decoder\.0\.weight is \(128, 64, 3, 3\) float32, expected \(128, 256",
    ),
    "another cut": (
        {},
        {**RESNET, "settings": {"cut": "layer2"}},
        r"decoder\.0\.weight is \(128, 64, 3, 3\) float32, expected \(128, 128",
    ),
    "a missing layer": ({"encoder__bn1__bias": None}, RESNET, r"encoder\.bn1\.bias is nothing, expected \(64,\)"),
    "a layer too many": ({"extra": torch.zeros(3)}, RESNET, r"extra is \(3,\) float32, expected nothing"),
    "another shape": ({"encoder__bn1__bias": torch.zeros(3)}, RESNET, r"bn1\.bias is \(3,\) float32, expected \(64,\)"),
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
    **{
        f"numbers of {dtype}": (
            {"encoder__bn1__bias": torch.zeros(64, dtype=getattr(torch, dtype))},
            RESNET,
            rf"bn1\.bias (holds {dtype}, expected float32|is \(64,\) {dtype}, expected \(64,\) float32)",
        )
        for dtype in ("float16", "float64", "bfloat16", "int32", "int64", "uint8", "bool", "complex64", "float8_e4m3fn")
    },
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


def test_a_description_nested_without_end_is_named(tmp_path, tensors):
    save_file(tensors, tmp_path / "x.safetensors", {checkpoints.KEY: "[" * 100_000})
    with pytest.raises(UserError, match=r"x\.safetensors is no whole file of weights"):
        colorizer.load(tmp_path / "x.safetensors", CPU)


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


WEIGHT = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.weight": WEIGHT * float("nan")}, r"w\.pth: conv1\.weight holds values that are not finite"),
        ({"conv1.weight": WEIGHT.to_sparse()}, r"w\.pth: conv1\.weight holds other numbers than float32"),
        ({"conv1.weight": WEIGHT.half()}, r"w\.pth: conv1\.weight holds other numbers than float32"),
        ({"conv1.weight": WEIGHT.to("meta")}, r"w\.pth: conv1\.weight holds other numbers than float32"),
        ({"a\nb\x1b": WEIGHT.bool()}, r"w\.pth: a b.x1b holds other numbers than float32"),
        ({}, r"w\.pth holds no weights by name"),
        ({1: WEIGHT, (2,): WEIGHT}, r"w\.pth holds no weights by name"),
        ({"state_dict": {"conv1.weight": WEIGHT}}, r"w\.pth holds no weights by name"),
        ([WEIGHT], r"w\.pth is no whole file of torchvision weights"),
    ],
)
def test_torchvision_weights_of_another_kind_are_named(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=message) as raised:
        download.read_torchvision(tmp_path / "w.pth")
    assert str(raised.value).isprintable()


def test_weights_that_share_their_memory_can_be_kept(tmp_path):
    torch.save({"a": WEIGHT, "b": WEIGHT.T, "fc.weight": WEIGHT}, tmp_path / "w.pth")
    checkpoints.save(tmp_path / "w.safetensors", download.read_torchvision(tmp_path / "w.pth"), {})
    assert checkpoints.load(tmp_path / "w.safetensors")[0].keys() == {"a", "b"}
