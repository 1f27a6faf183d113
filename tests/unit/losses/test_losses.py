import copy
import warnings

import lpips
import pytest
import torch
from archives import PRIOR
from torch import nn

from colorpipe.color import lab
from colorpipe.losses import mse
from colorpipe.losses.lpips import LPIPS, build
from colorpipe.runtime.errors import UserError
from colorpipe.training.devices import autocast

RANDOM = {"weights": "random", "random_seed": 3}


@pytest.fixture(scope="module")
def loss() -> LPIPS:
    return build({}, RANDOM, PRIOR)


def vgg_weights(loss: LPIPS) -> dict[str, torch.Tensor]:
    """Return the weights of the VGG under torchvision's names."""
    return {
        name: tensor
        for part in loss.package.net.children()
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
        with torch.no_grad():  # a validation step must not leave weights without a gradient behind
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
    dead = build({}, RANDOM, PRIOR)
    for layer in dead.package.net.slice1:
        if isinstance(layer, nn.Conv2d):
            layer.bias.fill_(-1e3)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    with autocast(images.device, precision):
        distance = dead.distance(images, torch.rand(1, 3, 32, 32))
    distance.sum().backward()
    assert images.grad.isfinite().all()


def test_the_random_vgg_comes_from_its_seed(loss):
    state = torch.random.get_rng_state()
    again, other = (build({}, {**RANDOM, "random_seed": seed}, PRIOR) for seed in (3, 4))
    assert torch.equal(state, torch.random.get_rng_state())  # the run's own seed is not used
    weight = vgg_weights(loss)["0.weight"]
    assert torch.equal(weight, vgg_weights(again)["0.weight"])
    assert not torch.equal(weight, vgg_weights(other)["0.weight"])
    assert loss.metadata == {"lpips_weights": "random"}
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_imagenet_vgg_is_loaded(loss):
    weights = {name: torch.full_like(tensor, 0.01) for name, tensor in vgg_weights(loss).items()}
    assert len(weights) == 26  # 13 convolutions
    loaded = build(weights, {"weights": "imagenet", "random_seed": 0}, PRIOR)
    assert all((tensor == 0.01).all() for tensor in vgg_weights(loaded).values())
    assert loaded.metadata == {"lpips_weights": "imagenet"}
    with pytest.raises(UserError, match=r"imagenet\.lpips\.source: 0\.weight"):
        build({"1.weight": torch.zeros(1)}, {"weights": "imagenet", "random_seed": 0}, PRIOR)


def test_mse_is_in_squared_lab_units():
    target = torch.zeros(2, 3, 4, 4)
    target[:, 0] = 50
    predicted = torch.full((2, 2, 4, 4), 3.0)
    assert mse.build({}, {}, PRIOR)(predicted, target, torch.zeros(2, 3, 4, 4)).item() == 9
