"""Colorizers as ONNX files."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from colorpipe import weights
from colorpipe.app import export
from colorpipe.models.loading import build_colorizer
from colorpipe.runtime.errors import UserError

SETTINGS = {"resnet18": {"cut": "layer2"}, "densenet121": {"cut": "denseblock1"}, "eccv16": {}}


def save_colorizer(tmp_path, name: str):
    torch.manual_seed(0)
    model = build_colorizer(name, SETTINGS[name])
    model(torch.rand(4, 1, 32, 32) * 100)  # so that running means and variances are not 0 and 1
    path = tmp_path / "best.safetensors"
    weights.save(
        path, model.state_dict(), {"model": name, "settings": SETTINGS[name], "size": [32, 32]}
    )
    return path, model.eval()


def once(function):
    """Wrap a function so that later calls return its first result."""
    results = []

    def called(*arguments, **options):
        if not results:
            results.append(function(*arguments, **options))
        return results[0]

    return called


def test_onnxruntime_agrees_with_torch_if_the_rebalancing_is_undone(tmp_path):
    torch.manual_seed(0)
    settings = {"widths": [8, 16], "blocks": [1, 1]}
    model = build_colorizer("unet", settings, "bins")
    torch.nn.init.normal_(model.decoder.head.weight)
    torch.nn.init.normal_(model.log_weights)
    measured = {"mse": 120.0, "colorfulness": 10.0}
    points = [{"alpha": 1.0, "temperature": 0.9}, {"alpha": 0.0, "temperature": 0.5}]
    metadata = {
        "model": "unet",
        "settings": settings,
        "head": "bins",
        "size": [32, 32],
        "vividness": [{**point, **measured} for point in points],
    }
    path = tmp_path / "best.safetensors"
    weights.save(path, model.state_dict(), metadata)
    assert export.export_onnx(path, tmp_path / "model.onnx", vividness=0.5) < 1e-3
    L = torch.rand(2, 1, 33, 47) * 100
    (ab,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(["ab"], {"L": L.numpy()})
    model.eval().alpha, model.temperature = 0.5, 0.7
    with torch.no_grad():
        assert np.abs(ab - model(L).ab.numpy()).max() < 1e-3
        model.alpha = 0.0
        assert np.abs(ab - model(L).ab.numpy()).max() > 1
    (stored,) = onnx.load(tmp_path / "model.onnx").metadata_props
    assert (stored.key, json.loads(stored.value)["alpha"]) == (weights.KEY, 0.5)


@pytest.mark.parametrize("name", SETTINGS)
def test_onnxruntime_agrees_with_torch_at_any_batch_and_size(tmp_path, monkeypatch, name):
    path, model = save_colorizer(tmp_path, name)
    monkeypatch.setattr(torch.onnx, "export", once(torch.onnx.export))
    (tmp_path / "new").mkdir()
    target = tmp_path / "new" / "model.onnx"
    assert export.export_onnx(path, target) < 1e-3
    assert [file.name for file in target.parent.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(target)
    for shape in ((5, 1, 17, 90), (1, 1, 64, 40)):
        L = torch.rand(shape) * 100
        with torch.no_grad():
            expected = model(L).ab.numpy()
        (ab,) = session.run(["ab"], {"L": L.numpy()})
        assert np.abs(ab - expected).max() < 1e-3
    loaded = onnx.load(target)
    metadata = {entry.key: entry.value for entry in loaded.metadata_props}
    assert json.loads(metadata[weights.KEY])["model"] == name

    if name == "resnet18":
        monkeypatch.setattr(export, "TOLERANCE", 0.0)
        with pytest.raises(UserError, match="not written, because onnxruntime and PyTorch differ"):
            export.export_onnx(path, tmp_path / "again.onnx")
        assert {file.name for file in tmp_path.iterdir()} == {"best.safetensors", "new"}
