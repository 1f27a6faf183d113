import json

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import nn

from colorpipe import config, paths, weights
from colorpipe.evaluation import pretext
from colorpipe.models.base import build
from colorpipe.models.classifier import xavier
from colorpipe.runtime.errors import UserError
from colorpipe.tasks.classification import build_classifier

CUT = {"cut": "layer2"}


@pytest.fixture
def params():
    loaded = config.load()
    photos = loaded.data("photos").model_copy(update={"epochs": 3})
    return loaded.model_copy(update={"datasets": {**loaded.datasets, "photos": photos}})


@pytest.fixture
def inits(tmp_path):
    """A colorizer's weights, unlike any initial ones, and a file without weights."""
    torch.manual_seed(9)
    colorizer = build("resnet18", CUT)
    for module in colorizer.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.weight)
    path = tmp_path / "best.safetensors"
    weights.save(path, colorizer.state_dict(), {"model": "resnet18", "settings": CUT})
    weights.save(tmp_path / "none.safetensors", {}, {"weights": "random"})
    return path, tmp_path / "none.safetensors", colorizer


@pytest.mark.parametrize(("model", "settings"), [("resnet18", CUT), ("eccv16", {})])
def test_xavier_draws_every_weight(model, settings):
    classifier = xavier(build(model, settings), classes=10, seed=3)
    for module in classifier.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            receptive = module.weight[0, 0].numel()
            bound = (6 / ((module.weight.shape[0] + module.weight.shape[1]) * receptive)) ** 0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert not module.running_mean.any()


def test_xavier_comes_from_the_seed_alone():
    states = []
    for torch_seed, seed in ((1, 3), (2, 3), (1, 4)):
        torch.manual_seed(torch_seed)
        states.append(xavier(build("resnet18", CUT), classes=10, seed=seed).state_dict())
    first, same, other = states
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])


def test_a_pretrained_classifier_has_the_colorizers_encoder(inits, params):
    trained, nothing, colorizer = inits
    pretrained, drawn = (build_classifier(init, params, 10).state_dict() for init in (trained, nothing))
    encoder = colorizer.encoder.state_dict()
    assert {name for name in pretrained if name.startswith("encoder.")} == {f"encoder.{name}" for name in encoder}
    assert all(torch.equal(pretrained[f"encoder.{name}"], tensor) for name, tensor in encoder.items())
    assert not torch.equal(drawn["encoder.conv1.weight"], encoder["conv1.weight"])
    assert torch.equal(drawn["head.weight"], pretrained["head.weight"])  # the same but for the encoder


def test_another_model_is_named(tmp_path, params):
    path = tmp_path / "best.safetensors"
    weights.save(path, {"w": torch.zeros(1)}, {"model": "eccv16", "settings": {}})
    with pytest.raises(UserError, match=r"pretext\.model: .* is eccv16 .*, not resnet18"):
        build_classifier(path, params, 10)


def test_the_test_is_of_the_best_epoch(inits, params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    paths.classes("photos").parent.mkdir(parents=True)
    paths.classes("photos").write_text('["a", "b"]')
    for part, count in (("train", 65), ("val", 16), ("test", 20)):  # 65: a rest of one image
        np.save(paths.images("photos", part), rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
        np.save(paths.labels("photos", part), rng.integers(0, 2, count))
    wanted = params.model_copy(update={"train": params.train.model_copy(update={"lr": 0.01})})
    pretext.run("some", "photos", inits[1], wanted)
    found = json.loads(paths.metrics("pretext/some").read_text())
    rows = [line.split(",") for line in paths.curves("pretext/some").read_text().splitlines()]
    column = rows[0].index("val_loss")
    losses = [float(row[column]) for row in rows[1:]]
    run = json.loads(paths.evaluation("pretext/some").read_text())
    assert (run["data"], run["n"], run["seed"]) == ("photos", 20, params.seed)
    assert run["best_epoch"] == 1 + losses.index(min(losses))
    metadata = weights.load_metadata(paths.checkpoint("pretext/some", "best"))
    assert metadata["settings"] == CUT  # part of the key of its checkpoint

    classifier = xavier(build("resnet18", CUT), 2, params.seed).eval()
    classifier.load_state_dict(weights.load(paths.checkpoint("pretext/some", "best"))[0])
    L = torch.from_numpy(_lightness(np.load(paths.images("photos", "test"))))
    with torch.no_grad():
        correct = classifier(L).argmax(dim=1).numpy() == np.load(paths.labels("photos", "test"))
    assert found["top1"] == pytest.approx(correct.mean())


def _lightness(images: np.ndarray) -> np.ndarray:
    return rgb2lab(images.transpose(0, 2, 3, 1))[..., :1].transpose(0, 3, 1, 2).astype(np.float32)
