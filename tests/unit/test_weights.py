"""Weight files that are damaged, harmful, or of another model."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from colorpipe import files, weights
from colorpipe.data.imagenet import load_imagenet_weights
from colorpipe.models.loading import build_colorizer, load_colorizer
from colorpipe.runtime.errors import UserError

CPU = torch.device("cpu")
RESNET = {"model": "resnet18", "settings": {"cut": "layer1"}}


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build_colorizer(**RESNET).state_dict()


def build(path: Path, tensors: dict, metadata: dict) -> Path:
    weights.save(path, tensors, metadata)
    return path


def changed(tensors: dict, **changes: torch.Tensor | None) -> dict:
    together = {**tensors, **{name.replace("__", "."): tensor for name, tensor in changes.items()}}
    return {name: tensor for name, tensor in together.items() if tensor is not None}


WRONG = {
    "another architecture": (
        {},
        {"model": "densenet121", "settings": {"cut": "denseblock1"}},
        r"is not the densenet121 .* that its metadata claims: "
        r"encoder\.\S+ is absent, expected \(",
    ),
    "another cut": (
        {},
        {**RESNET, "settings": {"cut": "layer2"}},
        r"encoder\.layer2\.0\.conv1\.weight is absent, expected \(128, 64, 3, 3\)",
    ),
    "a missing layer": (
        {"encoder__bn1__bias": None},
        RESNET,
        r"encoder\.bn1\.bias is absent, expected \(64,\)",
    ),
    "a layer too many": (
        {"extra": torch.zeros(3)},
        RESNET,
        r"extra is \(3,\) float32, expected absent",
    ),
    "another shape": (
        {"encoder__bn1__bias": torch.zeros(3)},
        RESNET,
        r"bn1\.bias is \(3,\) float32, expected \(64,\)",
    ),
    "NaN": (
        {"encoder__bn1__bias": torch.full((64,), float("nan"))},
        RESNET,
        r"bn1\.bias has non-finite values",
    ),
    "infinity": (
        {"encoder__bn1__bias": torch.full((64,), float("inf"))},
        RESNET,
        r"bn1\.bias has non-finite values",
    ),
    "an unknown model": ({}, {**RESNET, "model": "gpt"}, "holds no colorizer"),
    "a module that is not a model": ({}, {**RESNET, "model": "classifier"}, "holds no colorizer"),
    "a path for a model": ({}, {**RESNET, "model": "../../os"}, "holds no colorizer"),
    "an unknown cut": (
        {},
        {**RESNET, "settings": {"cut": "layer9"}},
        "is not the resnet18|holds no colorizer",
    ),
    "settings of another model": ({}, {**RESNET, "settings": {"bins": 3}}, "holds no colorizer"),
    "no metadata": ({}, {}, "holds no colorizer"),
    **{
        f"numbers of {dtype}": (
            {"encoder__bn1__bias": torch.zeros(64, dtype=getattr(torch, dtype))},
            RESNET,
            rf"bn1\.bias (has dtype {dtype}, expected float32|"
            rf"is \(64,\) {dtype}, expected \(64,\) float32)",
        )
        for dtype in (
            "float64",
            "bfloat16",
            "int32",
            "int64",
            "uint8",
            "bool",
            "complex64",
            "float8_e4m3fn",
        )
    },
}


@pytest.mark.parametrize(("changes", "metadata", "message"), WRONG.values(), ids=list(WRONG))
def test_a_mismatch_is_named_with_what_was_expected(tmp_path, tensors, changes, metadata, message):
    path = build(tmp_path / "best.safetensors", changed(tensors, **changes), metadata)
    with pytest.raises(UserError, match=message) as raised:
        load_colorizer(path, CPU)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(tmp_path, tensors, share):
    path = build(tmp_path / "best.safetensors", tensors, RESNET)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(
        UserError, match=r"best\.safetensors is not a complete colorpipe weight file"
    ):
        load_colorizer(path, CPU)


def test_deeply_nested_metadata_is_named(tmp_path, tensors):
    save_file(tensors, tmp_path / "x.safetensors", {weights.KEY: "[" * 100_000})
    with pytest.raises(UserError, match=r"x\.safetensors is not a complete colorpipe weight file"):
        load_colorizer(tmp_path / "x.safetensors", CPU)


def test_a_file_without_metadata_is_named(tmp_path, tensors):
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"x\.safetensors is not a complete colorpipe weight file"):
        load_colorizer(tmp_path / "x.safetensors", CPU)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_crafted_weights_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.pth", {"conv1.weight": Harmful()}), ("b.pth", Harmful())):
        torch.save(content, name)
        with pytest.raises(UserError, match=rf"{name[0]}\.pth: cannot load the weights"):
            load_imagenet_weights(Path(name))
    Path("c.pth").write_bytes(pickle.dumps(Harmful()))
    Path("best.safetensors").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(UserError, match=r"c\.pth: cannot load the weights"):
        load_imagenet_weights(Path("c.pth"))
    with pytest.raises(UserError, match=r"best\.safetensors is not a complete"):
        load_colorizer(Path("best.safetensors"), CPU)
    assert not Path("harm").exists()


WEIGHT = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv1.weight": WEIGHT * float("nan")}, r"w\.pth: conv1\.weight has non-finite values"),
        ({"conv1.weight": WEIGHT.to_sparse()}, r"w\.pth: conv1\.weight is not a float32 tensor"),
        ({"conv1.weight": WEIGHT.half()}, r"w\.pth: conv1\.weight is not a float32 tensor"),
        ({"conv1.weight": WEIGHT.to("meta")}, r"w\.pth: conv1\.weight is not a float32 tensor"),
        ({"a\nb\x1b": WEIGHT.bool()}, r"w\.pth: a b.x1b is not a float32 tensor"),
        ({}, r"w\.pth holds no named tensors"),
        ({1: WEIGHT, (2,): WEIGHT}, r"w\.pth holds no named tensors"),
        ({"state_dict": {"conv1.weight": WEIGHT}}, r"w\.pth holds no named tensors"),
        ([WEIGHT], r"w\.pth: cannot load the weights"),
    ],
)
def test_torchvision_weights_of_another_kind_are_named(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match=message) as raised:
        load_imagenet_weights(tmp_path / "w.pth")
    assert str(raised.value).isprintable()


def test_metadata_is_saved_with_the_weights(tmp_path):
    path = tmp_path / "deep" / "weights.safetensors"
    weights.save(path, {"w": torch.ones(2)}, {"model": "m", "epoch": {"epoch": 3}})
    tensors, metadata = weights.load(path)
    assert tensors["w"].tolist() == [1, 1]
    assert metadata == weights.load_metadata(path) == {"model": "m", "epoch": {"epoch": 3}}
    assert [file.name for file in path.parent.iterdir()] == ["weights.safetensors"]


def test_weights_that_share_memory_can_be_saved(tmp_path):
    torch.save({"a": WEIGHT, "b": WEIGHT.T, "fc.weight": WEIGHT}, tmp_path / "w.pth")
    weights.save(tmp_path / "w.safetensors", load_imagenet_weights(tmp_path / "w.pth"), {})
    assert weights.load(tmp_path / "w.safetensors")[0].keys() == {"a", "b"}


def test_a_weight_file_is_found_by_its_name_its_folder_and_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("unet", "resnet"):
        weights.save(files.weights_path(name, "best"), {}, {"model": name})
    weights.save(files.weights_path("unet", "last"), {}, {"model": "unet"})
    weights.save(tmp_path / "my/own.safetensors", {}, {"model": "unet"})
    assert weights.list_weights(files.MODELS) == {
        "resnet": Path("models/resnet/best.safetensors"),
        "unet": Path("models/unet/best.safetensors"),
    }
    for choice, expected in {
        "bundled": weights.BUNDLED_PATH,
        "unet": Path("models/unet/best.safetensors"),
        "models/unet": Path("models/unet/best.safetensors"),
        "models/unet/last.safetensors": Path("models/unet/last.safetensors"),
        str(tmp_path / "my/own.safetensors"): tmp_path / "my/own.safetensors",
    }.items():
        assert weights.find_weights(choice, "--weights") == expected


def test_unknown_weights_and_a_running_training_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = r"^--weights resnet: no such colorizer: use bundled, another name"
    with pytest.raises(UserError, match=message):
        weights.find_weights("resnet", "--weights")
    files.write_json(files.LIVE / "metrics.json", {"training": "resnet"})
    with pytest.raises(
        UserError, match=r"^--weights resnet: it is being trained, or its training was killed: wait"
    ):
        weights.find_weights("resnet", "--weights")


def test_a_weight_file_has_the_permissions_of_other_files(tmp_path):
    (tmp_path / "plain").touch()
    weights.save(tmp_path / "w.safetensors", {"w": torch.ones(2)}, {})
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1
