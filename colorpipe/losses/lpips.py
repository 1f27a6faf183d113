"""LPIPS (Zhang et al. 2018, version 0.1, VGG-16) between the predicted and the true image, both in sRGB.

The linear layers are those of the lpips package. Under them is torchvision's ImageNet VGG-16 or, where a data set's
settings say so, a VGG-16 of the same shape with random weights, drawn from a seed of its own. Distances under the two are
different quantities, so `identity` goes into every result.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from colorpipe import color
from colorpipe.errors import UserError

# torchvision's vgg16().features: channels of each 3x3 convolution, by stage; a stage but the first begins with a max-pool.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# ImageNet's mean and standard deviation for images in -1..1 (the package's scaling layer).
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """The distance averaged over images, a scalar; 0 for equal images. Nothing in it is trained."""

    def __init__(self, identity: Mapping[str, str]) -> None:
        super().__init__()
        self.identity = identity
        layers: list[nn.Module] = []
        self.taps: list[int] = []  # index of the ReLU that closes each stage
        before = 3
        for number, stage in enumerate(STAGES):
            layers += [nn.MaxPool2d(2)] if number else []
            for channels in stage:
                convolution = nn.utils.skip_init(nn.Conv2d, before, channels, 3, padding=1)  # `build` fills it
                layers += [convolution, nn.ReLU(inplace=True)]
                before = channels
            self.taps.append(len(layers) - 1)
        self.features = nn.Sequential(*layers)
        for number, stage in enumerate(STAGES):
            self.register_buffer(f"linear{number}", torch.empty(1, stage[-1], 1, 1))
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, predicted_ab: Tensor, lab: Tensor, rgb: Tensor) -> Tensor:
        """Predicted ab (B, 2, H, W) on the true L against the true image, given as Lab and as sRGB in 0..1.

        The prediction is rendered without clipping, so that colours outside the gamut still have a gradient.
        """
        return self.distance(color.lab_to_rgb(torch.cat((lab[:, :1], predicted_ab), dim=1)), rgb).mean()

    def distance(self, rgb: Tensor, reference: Tensor) -> Tensor:
        """The distance (B,) of two batches of sRGB images (B, 3, H, W) in 0..1, H and W at least 16."""
        with torch.no_grad():
            references = self._taps(reference)
        distance = torch.zeros(len(rgb), device=rgb.device)
        taps = self._taps(rgb)
        with torch.autocast(rgb.device.type, enabled=False):  # it would lower the sums over channels
            for number, (ours, theirs) in enumerate(zip(taps, references, strict=True)):
                at_pixels = _Distance.apply(ours, theirs, getattr(self, f"linear{number}"))  # (B, h, w)
                distance = distance + at_pixels.mean(dim=(1, 2))
        return distance

    def _taps(self, rgb: Tensor) -> list[Tensor]:
        """The features at each tap, (B, C, h, w)."""
        x = ((2 * rgb - 1 - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


class _Distance(torch.autograd.Function):
    """sum over channels of weight (u - v)^2 at each pixel, u and v the features of unit length, in float32.

    Written with its gradient, since what autograd makes of it passes over the largest maps of VGG more often. With
    u = x / |x| and d = 2 weight (u - v): the gradient to x is (d - u (u . d)) / |x|. Only the first image gets one.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, ours: Tensor, theirs: Tensor, weight: Tensor) -> Tensor:
        ctx.dtype = ours.dtype
        u, scale = _unit(ours)  # (B, h, w, C), (B, h, w, 1)
        difference = u - _unit(theirs)[0]
        weighted = difference * weight.flatten()
        ctx.save_for_backward(u, scale, weighted)
        return torch.linalg.vecdot(weighted, difference)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        u, scale, weighted = ctx.saved_tensors
        along = torch.linalg.vecdot(u, weighted)[..., None]
        found = torch.addcmul(weighted, u, along, value=-1).mul_(2 * scale * gradient[..., None])
        return found.permute(0, 3, 1, 2).to(ctx.dtype), None, None


def _unit(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, C, h, w) to (B, h, w, C) of length 1 over channels, and what they were multiplied with.

    All-zero features (a dead patch) have no direction and stay zero; the floor keeps their gradient finite.
    """
    x = features.permute(0, 2, 3, 1).to(torch.promote_types(features.dtype, torch.float32))
    scale = torch.linalg.vecdot(x, x).clamp(min=1e-20).rsqrt()[..., None]
    return x * scale, scale


def build(weights: Mapping[str, Tensor], made_of: Mapping[str, object]) -> LPIPS:
    """LPIPS on the given features of VGG-16, or with no tensors on a random one drawn from made_of["seed"]."""
    loss = LPIPS({"lpips_weights": str(made_of["weights"])})
    if weights:
        _load_imagenet(loss.features, weights)
    else:
        _draw(loss.features, int(made_of["seed"]))
    for number, tensor in enumerate(_linear_layers()):
        getattr(loss, f"linear{number}").copy_(tensor)
    return loss.to(memory_format=torch.channels_last)


def _load_imagenet(features: nn.Sequential, weights: Mapping[str, Tensor]) -> None:
    wanted = {name: tensor.shape for name, tensor in features.state_dict().items()}
    for name, shape in wanted.items():
        if name not in weights or weights[name].shape != shape:
            raise UserError(
                f"imagenet.vgg16.source: {name} is missing or of another shape, expected {tuple(shape)}: they are "
                "the weights of another model"
            )
    features.load_state_dict({name: weights[name] for name in wanted})


def _draw(features: nn.Sequential, seed: int) -> None:
    """Torchvision's initial weights for VGG (Kaiming-normal by fan-out, biases zero)."""
    generator = torch.Generator().manual_seed(seed)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * 9
            layer.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            layer.bias.zero_()


def _linear_layers() -> list[Tensor]:
    """The lpips package's linear layers for VGG, (1, C, 1, 1) each, read without importing the package (seconds)."""
    spec = importlib.util.find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package lpips is not installed, and LPIPS needs its linear layers: run `make` set-up again")
    path = Path(spec.submodule_search_locations[0]) / "weights" / "v0.1" / "vgg.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    return [state[f"lin{number}.model.1.weight"] for number in range(len(STAGES))]
