"""A training writes the weights of its own loss into the weight files."""

import numpy as np
import pytest
import torch
from archives import smooth_images
from project import ROOT

from colorpipe import config, files, weights
from colorpipe.color import bins
from colorpipe.losses.color_classification import color_prior, rebalancing_weights
from colorpipe.models.loading import build_colorizer
from colorpipe.training import colorization, loop
from colorpipe.training.colorization import ColorizerEntry

UNET = {"widths": [8, 16], "blocks": [1, 1]}
COLORS = torch.cat((bins.centers(), torch.linspace(1, 9, bins.COUNT)[:, None]), dim=1).double()


@pytest.fixture
def params(tmp_path, monkeypatch) -> config.Params:
    """Prepare a data set, and the weights of a colorizer that was trained on another one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("val", 16)):
        files.images_path("photos", part).parent.mkdir(parents=True, exist_ok=True)
        np.save(files.images_path("photos", part), smooth_images(rng, count, 32))
    np.save(files.colors_path("photos"), COLORS.numpy())
    weights.save(files.start_path("photos", "color_classification"), {}, {"weights": "random"})
    weights.save(files.start_path("photos", "mse"), {}, {"weights": "random"})
    other = build_colorizer("unet", UNET, "bins")
    other.set_bin_weights(torch.full((bins.COUNT,), 2.0))
    metadata = {"model": "unet", "settings": UNET, "head": "bins"}
    weights.save(files.start_path("photos", "unet"), other.state_dict(), metadata)
    params = config.load_params(ROOT / "params.yaml")
    photos = params.data("photos").model_copy(update={"epochs": 1})  # doubled by the recipe
    refined = params.recipe("recipes.refined").model_copy(update={"batch_size": 16})
    return params.model_copy(
        update={
            "models": {"unet": UNET},
            "datasets": {"photos": photos},
            "recipes": {"refined": refined},
        }
    )


def data_set_weights() -> torch.Tensor:
    return rebalancing_weights(color_prior(COLORS, bins.SoftEncoding(5, 5.0)), 0.5)


def train(params: config.Params, loss: str) -> dict[str, dict[str, torch.Tensor]]:
    start = files.start_path("photos", "unet")
    columns = ColorizerEntry("unet", "photos", loss, "recipes.refined", start)
    colorization.train("some", columns, params)
    paths = {which: files.weights_path("some", which) for which in ("best", "last")}
    return {which: weights.load(path)[0] for which, path in paths.items()}


def test_the_average_and_a_resumed_training_keep_the_weights_of_the_loss(
    params, monkeypatch, capsys
):
    expected = data_set_weights().log()
    assert params.recipes["refined"].ema > 0
    whole = train(params, "color_classification")
    assert all(torch.equal(state["log_weights"], expected) for state in whole.values())

    run_epoch = loop.run_epoch

    def stop_in_the_second_epoch(task, state, *args):
        if state.history:
            raise KeyboardInterrupt
        return run_epoch(task, state, *args)

    monkeypatch.setattr(loop, "run_epoch", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(params, "color_classification")
    monkeypatch.setattr(loop, "run_epoch", run_epoch)
    resumed = train(params, "color_classification")
    assert "some: resuming after epoch 1" in capsys.readouterr().out
    for which, state in whole.items():
        assert all(torch.equal(resumed[which][name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("trained_with", ["color_classification", "mse"])
def test_a_start_with_the_same_head_keeps_its_colors(params, monkeypatch, trained_with):
    path = files.start_path("photos", "unet")
    other, metadata = weights.load(path)
    if trained_with == "mse":
        state = build_colorizer("unet", UNET).state_dict()
        weights.save(path, state, {**metadata, "head": "ab"})
    models = []
    monkeypatch.setattr(colorization, "train_task", lambda *args: models.append(args[2]))
    columns = ColorizerEntry("unet", "photos", "color_classification", "recipes.refined", path)
    colorization.train("some", columns, params)
    shift = data_set_weights().log() - other["log_weights"]
    expected = shift if trained_with == "color_classification" else torch.zeros(bins.COUNT)
    assert torch.equal(models[0].decoder.head.bias, expected)


def test_a_colorizer_without_bins_has_no_weights_of_bins(params):
    assert all("log_weights" not in state for state in train(params, "mse").values())
