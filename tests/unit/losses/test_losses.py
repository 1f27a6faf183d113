import copy
import warnings

import lpips as package
import pytest
import torch
from archives import PRIOR
from torch import nn

from colorpipe.color import lab
from colorpipe.losses import lpips, mse
from colorpipe.runtime.errors import UserError
from colorpipe.training.colorization import cast_frozen
from colorpipe.training.devices import autocast

RANDOM = {"weights": "random", "random_seed": 3}


@pytest.fixture(scope="module")
def loss():
    return lpips.build({}, RANDOM, PRIOR)


def vgg_weights(loss) -> dict[str, torch.Tensor]:
    """The VGG's weights by torchvision's numbers."""
    return {
        name: tensor
        for part in loss.package.net.children()
        for name, tensor in part.state_dict().items()
    }


@pytest.fixture(scope="module")
def reference(loss):
    """The lpips package as it is, on the same VGG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision in the manner of 2021
        reference = package.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    for part in reference.net.children():
        part.load_state_dict({name: vgg_weights(loss)[name] for name in part.state_dict()})
    return reference


def test_lpips_is_the_packages(loss, reference):
    torch.manual_seed(0)
    first, second = torch.rand(4, 3, 32, 48).double(), torch.rand(4, 3, 32, 48).double()
    first.requires_grad_()
    ours, theirs = copy.deepcopy(loss).double(), copy.deepcopy(reference).double()
    distance, expected = (
        ours.distance(first, second),
        theirs(first, second, normalize=True).flatten(),
    )
    torch.testing.assert_close(distance, expected)
    (gradient,) = torch.autograd.grad(distance.sum(), first)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), first)
    torch.testing.assert_close(gradient, expected_gradient)


def test_lpips_in_bfloat16_is_near_that_in_float32(loss, reference):
    torch.manual_seed(0)
    first, second = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)
    cast = cast_frozen(lpips.build({}, RANDOM, PRIOR), "bfloat16")
    assert {parameter.dtype for parameter in cast.parameters()} == {torch.bfloat16}
    assert all(head.weight.dtype == torch.float32 for head in cast.package.lins)
    with autocast(first.device, "bfloat16"):
        distance = cast.distance(first, second)
    assert distance.dtype == torch.float32
    assert torch.allclose(distance, reference(first, second, normalize=True).flatten(), rtol=0.02)


def test_lpips_of_ab_is_that_of_the_rendered_images(loss):
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


def test_lpips_has_finite_gradients_where_all_features_are_zero():
    """The package divides by the square root of their squares' sum; the ReLU before it stops what is not a number."""
    dead = lpips.build({}, RANDOM, PRIOR)
    for layer in dead.package.net.slice1:
        if isinstance(layer, nn.Conv2d):
            layer.bias.fill_(-1e3)
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    dead.distance(images, torch.rand(1, 3, 32, 32)).sum().backward()
    assert images.grad.isfinite().all()


def test_the_random_vgg_comes_from_its_seed(loss):
    state = torch.random.get_rng_state()
    again, other = (lpips.build({}, {**RANDOM, "random_seed": seed}, PRIOR) for seed in (3, 4))
    assert torch.equal(
        state, torch.random.get_rng_state()
    )  # nothing is taken from the run's own seed
    ours, same, different = (vgg_weights(one)["0.weight"] for one in (loss, again, other))
    assert torch.equal(ours, same)
    assert not torch.equal(ours, different)
    assert loss.metadata == {"lpips_weights": "random"}
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_imagenet_vgg_is_loaded(loss):
    weights = {name: torch.full_like(tensor, 0.01) for name, tensor in vgg_weights(loss).items()}
    assert len(weights) == 26  # 13 convolutions
    loaded = lpips.build(weights, {"weights": "imagenet", "random_seed": 0}, PRIOR)
    assert all((tensor == 0.01).all() for tensor in vgg_weights(loaded).values())
    assert loaded.metadata == {"lpips_weights": "imagenet"}
    with pytest.raises(UserError, match=r"imagenet\.lpips\.source: 0\.weight"):
        lpips.build({"1.weight": torch.zeros(1)}, {"weights": "imagenet", "random_seed": 0}, PRIOR)


def test_mse_is_of_ab_in_lab_units():
    target = torch.zeros(2, 3, 4, 4)
    target[:, 0] = 50
    predicted = torch.full((2, 2, 4, 4), 3.0)
    assert mse.build({}, {}, PRIOR)(predicted, target, torch.zeros(2, 3, 4, 4)).item() == 9
