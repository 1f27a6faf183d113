import copy
import warnings
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from archives import COLORS
from project import ROOT
from torch import nn

from colorpipe import config, files, weights
from colorpipe.color import bins, lab
from colorpipe.inference import autocast
from colorpipe.losses import l1, mse
from colorpipe.losses.loss import load_loss
from colorpipe.losses.lpips import LPIPS, Config, build
from colorpipe.runtime.errors import UserError

RANDOM = Config(random_seed=3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loss() -> LPIPS:
    return build(RANDOM, COLORS, {})


def vgg_weights(loss: LPIPS) -> dict[str, torch.Tensor]:
    """Return the weights of the VGG under torchvision's names."""
    return {
        name: tensor
        for part in loss.network.net.children()
        for name, tensor in part.state_dict().items()
    }


@pytest.fixture(scope="module")
def reference(loss) -> lpips.LPIPS:
    """Return the plain lpips package on the same VGG."""
    with warnings.catch_warnings(action="ignore"):  # about an old argument of torchvision
        reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    for part in reference.net.children():
        part.load_state_dict({name: vgg_weights(loss)[name] for name in part.state_dict()})
    return reference


def test_lpips_equals_the_lpips_package(loss, reference):
    torch.manual_seed(0)
    images, others = torch.rand(4, 3, 32, 48), torch.rand(4, 3, 32, 48)
    distance = loss.distance(images, others)
    expected = reference(images, others, normalize=True).flatten()
    torch.testing.assert_close(distance, expected, rtol=0, atol=1e-6)
    assert torch.equal(loss.distance(images, others), distance)  # the package's dropout is off


def test_lpips_has_the_gradient_of_the_lpips_package(loss, reference):
    """Compare in float64. In float32, rounding can choose another pixel in a max pooling."""
    torch.manual_seed(0)
    images, others = torch.rand(2, 3, 32, 48).double(), torch.rand(2, 3, 32, 48).double()
    images.requires_grad_()
    distance = copy.deepcopy(loss).double().distance(images, others)
    expected = copy.deepcopy(reference).double()(images, others, normalize=True)
    (gradient,) = torch.autograd.grad(distance.sum(), images)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), images)
    torch.testing.assert_close(gradient, expected_gradient)


def test_lpips_under_autocast_is_near_float32_and_has_a_gradient(loss, reference):
    torch.manual_seed(0)
    rgb = torch.rand(4, 3, 32, 32)
    target = lab.rgb_to_lab(rgb)
    predicted = (20 * torch.randn(4, 2, 32, 32)).requires_grad_()
    rendered = lab.lab_to_rgb(torch.cat((target[:, :1], predicted), dim=1))
    expected = reference(rendered, rgb, normalize=True).mean()
    with autocast(rgb.device, "bfloat16"):
        with torch.no_grad():  # as in a validation step, which must not change later gradients
            loss(predicted, target, rgb)
        value = loss(predicted, target, rgb)
    torch.testing.assert_close(value, expected, rtol=0.02, atol=0)  # float32, not bfloat16
    (gradient,) = torch.autograd.grad(value, predicted)
    (expected_gradient,) = torch.autograd.grad(expected, predicted)
    assert gradient.isfinite().all()
    similarity = torch.cosine_similarity(gradient.flatten(), expected_gradient.flatten(), dim=0)
    assert similarity > 0.9


def test_lpips_of_ab_is_the_distance_of_the_rendered_images(loss):
    torch.manual_seed(0)
    rgb, other = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    target = lab.rgb_to_lab(rgb)
    predicted = lab.rgb_to_lab(other)[:, 1:]
    rendered = lab.lab_to_rgb(torch.cat((target[:, :1], predicted), dim=1))
    assert loss(predicted, target, rgb).item() == pytest.approx(
        loss.distance(rendered, rgb).mean().item()
    )
    assert loss(target[:, 1:], target, rgb).item() < 1e-6


def test_lpips_has_finite_gradients_on_black(loss):
    target = torch.zeros(1, 3, 32, 32)
    predicted = torch.zeros(1, 2, 32, 32, requires_grad=True)
    loss(predicted, target, torch.zeros(1, 3, 32, 32)).backward()
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_lpips_has_finite_gradients_if_all_features_are_zero(precision):
    """The package divides by the norm of the features. The ReLU before it stops the NaN."""
    dead = build(RANDOM, COLORS, {})
    for layer in dead.network.net.slice1:
        if isinstance(layer, nn.Conv2d):
            layer.bias.fill_(-1e3)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    with autocast(images.device, precision):
        distance = dead.distance(images, torch.rand(1, 3, 32, 32))
    distance.sum().backward()
    assert images.grad.isfinite().all()


def test_the_random_vgg_comes_from_its_seed(loss):
    state = torch.random.get_rng_state()
    again, other = (build(Config(random_seed=seed), COLORS, {}) for seed in (3, 4))
    assert torch.equal(state, torch.random.get_rng_state())  # the global generator is not used
    weight = vgg_weights(loss)["0.weight"]
    assert torch.equal(weight, vgg_weights(again)["0.weight"])
    assert not torch.equal(weight, vgg_weights(other)["0.weight"])
    assert loss.metadata == {"lpips_weights": "random"}
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_imagenet_vgg_is_loaded(loss):
    imagenet = {name: torch.full_like(tensor, 0.01) for name, tensor in vgg_weights(loss).items()}
    assert len(imagenet) == 26  # 13 convolutions
    loaded = build(RANDOM, COLORS, imagenet)
    assert all((tensor == 0.01).all() for tensor in vgg_weights(loaded).values())
    assert loaded.metadata == {"lpips_weights": "imagenet"}
    with pytest.raises(UserError, match=r"imagenet\.lpips\.source: 0\.weight"):
        build(RANDOM, COLORS, {"1.weight": torch.zeros(1)})


def test_mse_is_in_squared_lab_units():
    target = torch.zeros(2, 3, 4, 4)
    target[:, 0] = 50
    predicted = torch.full((2, 2, 4, 4), 3.0)
    rgb = torch.zeros(2, 3, 4, 4)
    assert mse.build(mse.Config(), COLORS, {})(predicted, target, rgb).item() == 9
    assert l1.build(l1.Config(), COLORS, {})(predicted, target, rgb).item() == 3


@pytest.fixture
def params(tmp_path, monkeypatch) -> config.Params:
    """Work in a folder with counted colors and the weight files of all losses."""
    monkeypatch.chdir(tmp_path)
    params = config.load_params(ROOT / "params.yaml")
    for name in params.losses:
        weights.save(files.start_path("photos", name), {}, {"weights": "random"})
    counts = torch.arange(1, bins.COUNT + 1)[:, None]
    colors = torch.cat((bins.centers(), counts), dim=1).double()
    np.save(files.colors_path("photos"), colors.numpy())
    return params


def change(params: config.Params, loss: str, **settings: object) -> config.Params:
    """Return the parameters with other settings of a loss."""
    losses = {**params.losses, loss: {**params.losses[loss], **settings}}
    return params.model_copy(update={"losses": losses})


def read_folder(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_settings_of_a_loss_come_from_the_parameters(params):
    before = read_folder(Path("data"))
    weak, strong = (
        load_loss(
            "color_classification",
            "photos",
            change(params, "color_classification", uniform_share=uniform_share),
            CPU,
        )
        for uniform_share in (0.9, 0.5)
    )
    spread = [loss.weights.max() / loss.weights.min() for loss in (weak, strong)]
    assert spread[0] < spread[1]
    torch.manual_seed(0)
    logits, target = torch.randn(2, bins.COUNT, 8, 8), 20 * torch.randn(2, 3, 16, 16)
    assert weak(logits, target, target).item() != strong(logits, target, target).item()
    first, second = (
        vgg_weights(load_loss("lpips", "photos", change(params, "lpips", random_seed=seed), CPU))
        for seed in (1, 2)
    )
    assert not torch.equal(first["0.weight"], second["0.weight"])
    assert read_folder(Path("data")) == before
    assert {path.name for path in before} == {
        "colors.npy",
        *(f"{name}.safetensors" for name in params.losses),
    }


def test_a_loss_has_the_weights_of_its_file(params, loss):
    weights.save(files.start_path("photos", "lpips"), vgg_weights(loss), {"weights": "imagenet"})
    loaded = load_loss("lpips", "photos", change(params, "lpips", random_seed=4), CPU)
    assert torch.equal(vgg_weights(loaded)["0.weight"], vgg_weights(loss)["0.weight"])
    assert loaded.metadata == {"lpips_weights": "imagenet"}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lpips", {"random_seed": -1}, r"losses\.lpips\.random_seed: input should be greater than"),
        (
            "color_classification",
            {"uniform_share": 0},
            r"losses\.color_classification\.uniform_share: input should be greater than 0, got 0",
        ),
        ("mse", {"weight": 2}, r"losses\.mse\.weight: extra inputs are not permitted, got 2"),
    ],
)
def test_a_wrong_setting_of_a_loss_is_named(params, name, settings, message):
    with pytest.raises(UserError, match=rf"^params\.yaml: {message}"):
        load_loss(name, "photos", change(params, name, **settings), CPU)


def test_an_unknown_loss_and_a_missing_file_are_named(params):
    with pytest.raises(UserError, match=r"^params\.yaml: losses\.'l3': colorpipe/losses/l3"):
        load_loss("l3", "photos", params, CPU)
    files.start_path("photos", "l1").unlink()
    with pytest.raises(UserError, match=r"^data/photos/weights/l1\.safetensors is missing: run"):
        load_loss("l1", "photos", params, CPU)
