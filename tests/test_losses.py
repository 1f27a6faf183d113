import warnings

import lpips as package
import pytest
import torch

from colorpipe import color
from colorpipe.errors import UserError
from colorpipe.losses import lpips, mse

RANDOM = {"weights": "random", "seed": 3}


@pytest.fixture(scope="module")
def ours():
    return lpips.build({}, RANDOM)


@pytest.fixture(scope="module")
def theirs(ours):
    """The lpips package on the same VGG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision in the manner of 2021
        reference = package.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    state = {name.split(".", 1)[1]: name for name in reference.net.state_dict()}  # "3.weight" of any slice
    reference.net.load_state_dict({state[name]: tensor for name, tensor in ours.features.state_dict().items()})
    return reference


def test_lpips_is_the_packages(ours, theirs):
    torch.manual_seed(0)
    first, second = torch.rand(4, 3, 32, 48), torch.rand(4, 3, 32, 48)
    first.requires_grad_()
    distance, expected = ours.distance(first, second), theirs(first, second, normalize=True).flatten()
    assert torch.allclose(distance, expected, rtol=1e-4)
    (gradient,) = torch.autograd.grad(distance.sum(), first)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), first)
    assert (gradient - expected_gradient).norm() < 1e-3 * expected_gradient.norm()


def test_lpips_of_ab_is_that_of_the_rendered_images(ours):
    torch.manual_seed(0)
    rgb, other = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    lab = color.rgb_to_lab(rgb)
    predicted = color.rgb_to_lab(other)[:, 1:]
    rendered = color.lab_to_rgb(torch.cat((lab[:, :1], predicted), dim=1))
    assert ours(predicted, lab, rgb).item() == pytest.approx(ours.distance(rendered, rgb).mean().item())
    assert ours(lab[:, 1:], lab, rgb).item() < 1e-6


def test_lpips_has_finite_gradients_on_black(ours):
    lab = torch.zeros(1, 3, 32, 32)
    predicted = torch.zeros(1, 2, 32, 32, requires_grad=True)
    ours(predicted, lab, torch.zeros(1, 3, 32, 32)).backward()
    assert predicted.grad.isfinite().all()


def test_the_random_vgg_comes_from_its_seed(ours):
    state = torch.random.get_rng_state()
    again, other = lpips.build({}, RANDOM), lpips.build({}, {"weights": "random", "seed": 4})
    assert torch.equal(state, torch.random.get_rng_state())  # nothing is taken from the run's own seed
    assert torch.equal(again.features[0].weight, ours.features[0].weight)
    assert not torch.equal(other.features[0].weight, ours.features[0].weight)
    assert ours.identity == {"lpips_weights": "random"}
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_imagenet_vgg_is_loaded(ours):
    weights = {name: torch.full_like(tensor, 0.01) for name, tensor in ours.features.state_dict().items()}
    loaded = lpips.build(weights, {"weights": "imagenet"})
    assert (loaded.features[0].weight == 0.01).all()
    assert loaded.identity == {"lpips_weights": "imagenet"}
    with pytest.raises(UserError, match=r"imagenet\.vgg16\.source: 0\.weight"):
        lpips.build({"1.weight": torch.zeros(1)}, {"weights": "imagenet"})


def test_mse_is_of_ab_in_lab_units():
    lab = torch.zeros(2, 3, 4, 4)
    lab[:, 0] = 50
    predicted = torch.full((2, 2, 4, 4), 3.0)
    assert mse.build({}, {})(predicted, lab, torch.zeros(2, 3, 4, 4)).item() == 9


def test_the_distances_gradient_is_autograds():
    torch.manual_seed(0)
    ours, theirs = torch.rand(2, 5, 3, 4, dtype=torch.float64, requires_grad=True), torch.rand(2, 5, 3, 4).double()
    weight = torch.rand(1, 5, 1, 1, dtype=torch.float64)

    def plain(x):
        u, v = (features / features.norm(dim=1, keepdim=True) for features in (x, theirs))
        return ((u - v).square() * weight).sum(dim=1)

    torch.testing.assert_close(lpips._Distance.apply(ours, theirs, weight), plain(ours))
    factor = torch.arange(24.0).view(2, 3, 4).double()
    found = torch.autograd.grad((lpips._Distance.apply(ours, theirs, weight) * factor).sum(), ours)[0]
    torch.testing.assert_close(found, torch.autograd.grad((plain(ours) * factor).sum(), ours)[0])
