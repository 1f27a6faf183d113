"""The decoding, which can undo the re-balancing, and the weights of the bins."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from project import ROOT
from torch import nn

from colorpipe import config, weights
from colorpipe.color import bins
from colorpipe.losses.color_classification import Config, build
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer, load_colorizer
from colorpipe.runtime.errors import UserError

UNET = {"widths": [8, 16], "blocks": [1, 1]}


def build_bins(scale: int = 1) -> Colorizer:
    """Return a colorizer with an identity network and bin weights from 0.2 to 5."""
    model = Colorizer(
        nn.Identity(), nn.Identity(), channels=1, stride=1, head="bins", logits_stride=scale
    )
    model.set_bin_weights(torch.linspace(0.2, 5, bins.COUNT))
    return model


@pytest.mark.parametrize(("alpha", "temperature"), [(0.0, 0.38), (0.3, 0.7), (1.0, 1.0)])
def test_probabilities_are_divided_by_a_power_of_the_weights(alpha, temperature):
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, bins.COUNT, 5, 7)
    ab = build_bins().decode(logits, temperature, alpha).numpy()
    w = np.linspace(0.2, 5, bins.COUNT)[:, None, None]
    probabilities = (np.exp(logits.numpy().astype(float)) / w**alpha) ** (1 / temperature)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = np.einsum("bqhw,qc->bchw", probabilities, bins.centers().numpy())
    assert np.abs(ab - expected).max() < 1e-3


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_with_alpha_0_the_weights_change_no_bit(scale):
    torch.manual_seed(0)
    logits = torch.randn(2, bins.COUNT, 5, 7)
    enlarged = F.interpolate(bins.decode(logits, 0.38), scale_factor=scale, mode="bilinear")
    assert torch.equal(build_bins(scale).decode(logits, 0.38, 0.0), enlarged)


def test_alpha_1_recovers_the_distribution_that_a_rebalanced_loss_distorts():
    """Among pixels with equal L, 60 % are gray, 30 % blue and 10 % red.

    With one-hot targets, the loss is lowest if the probabilities are proportional to weight times
    share.
    """
    count = {(0, 0): 60, (10, -50): 30, (60, 40): 10}
    colors = torch.tensor([color for color, n in count.items() for _ in range(n)]).float()
    shares = bins.histogram(colors.T.view(1, 2, -1, 1)) / 100
    counted = torch.tensor([(*color, n) for color, n in count.items()], dtype=torch.float64)
    loss = build(Config(neighbors=1, sigma=5.0, uniform_share=0.5), counted, {})
    closed_form = (shares.float().clamp(min=1e-12) * loss.bin_weights).log()
    logits = closed_form.clone().requires_grad_()
    maps = logits.view(1, -1, 1, 1).expand(1, -1, 10, 10)
    lab = torch.cat((torch.full((100, 1), 50.0), colors), dim=1).T.reshape(1, 3, 10, 10)
    loss(maps, lab, lab).backward()
    assert logits.grad.abs().max() < 1e-5  # the loss is convex in the logits

    model = build_bins()
    model.set_bin_weights(loss.bin_weights)
    recovered, distorted = (
        model.decode(closed_form.view(1, -1, 1, 1), 1.0, alpha).flatten() for alpha in (1.0, 0.0)
    )
    assert torch.allclose(recovered, colors.mean(dim=0), atol=1e-3)
    assert distorted.norm() > 1.5 * recovered.norm()


def build_unet() -> Colorizer:
    torch.manual_seed(0)
    model = build_colorizer("unet", UNET, "bins").eval()
    nn.init.normal_(model.decoder.head.weight)
    model.set_bin_weights(torch.linspace(0.2, 5, bins.COUNT))
    return model


@torch.no_grad()
def test_alpha_works_at_odd_sizes_exported_and_compiled():
    model = build_unet()
    L = torch.rand(2, 1, 37, 61) * 100
    plain = model(L).ab
    model.alpha = 0.5
    ab = model(L).ab
    assert ab.shape == (2, 2, 37, 61)
    assert not torch.allclose(ab, plain, atol=0.1)
    sizes = (dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),)
    exported = torch.export.export(model, (L,), dynamic_shapes=sizes).module()
    torch.testing.assert_close(exported(L).ab, ab)
    other = torch.rand(1, 1, 41, 29) * 100  # also padded and cropped
    torch.testing.assert_close(exported(other).ab, model(other).ab)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(L).ab, ab)
    model.alpha = 0.0
    torch.testing.assert_close(compiled(L).ab, plain)


@pytest.mark.parametrize("name", config.load_params(ROOT / "params.yaml").models)
@torch.no_grad()
def test_changed_bin_weights_keep_the_colors_at_alpha_1(name):
    torch.manual_seed(0)
    model = build_colorizer(
        name, config.load_params(ROOT / "params.yaml").model(name), "bins"
    ).eval()
    model.set_bin_weights(torch.linspace(0.2, 5, bins.COUNT))
    L = torch.rand(1, 1, 32, 32) * 100
    model.alpha = 1.0
    before = model(L)
    model.set_bin_weights(torch.linspace(3, 0.5, bins.COUNT), keep_colors=True)
    after = model(L)
    torch.testing.assert_close(after.ab, before.ab, atol=1e-3, rtol=0)
    change = torch.linspace(3, 0.5, bins.COUNT).log() - torch.linspace(0.2, 5, bins.COUNT).log()
    difference = (after.logits - before.logits).mean(dim=(0, 2, 3))
    torch.testing.assert_close(difference, change, atol=1e-4, rtol=0)


def test_the_weights_are_in_the_file_of_a_head_over_the_bins(tmp_path):
    model = build_unet()
    path = tmp_path / "best.safetensors"
    metadata = {"model": "unet", "settings": UNET, "head": "bins"}
    weights.save(path, model.state_dict(), metadata)
    loaded, _ = load_colorizer(path, torch.device("cpu"))
    assert torch.equal(loaded.log_weights, model.log_weights)
    older = {name: tensor for name, tensor in model.state_dict().items() if name != "log_weights"}
    weights.save(path, older, metadata)
    with pytest.raises(UserError, match=r"log_weights is absent, expected \(313,\) float32"):
        load_colorizer(path, torch.device("cpu"))


def test_log_weights_start_at_zero_and_the_ab_head_has_none():
    model = build_unet()
    model.set_bin_weights(None)
    assert not model.log_weights.any()
    model = build_colorizer("unet", UNET)
    model.set_bin_weights(None)
    assert "log_weights" not in model.state_dict()
