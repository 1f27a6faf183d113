"""What every colorizer is: an encoder, a decoder, L in and ab out. And the decoder that the report's two encoders share."""

import importlib
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe import checkpoints, color
from colorpipe.errors import UserError, one_line


class Colorizer(nn.Module):
    """An encoder and a decoder, at any height and width.

    The encoder gives `channels` features at 1 / `stride` of the resolution; the decoder brings them back to full
    resolution as 2 channels. Where H or W is no multiple of `stride`, the border is repeated and the result cropped.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, channels: int, stride: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.channels = channels
        self.stride = stride

    def forward(self, L: Tensor) -> Tensor:
        """L (B, 1, H, W) in 0..100 to ab (B, 2, H, W) in Lab units."""
        height, width = L.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        if any(padding):
            L = F.pad(L, padding, mode="replicate")
        features = self.encoder(color.normalize_L(L))  # (B, channels, H / stride, W / stride)
        output = self.decoder(features)[..., :height, :width]  # (B, 2, H, W)
        return color.denormalize_ab(output.float())


def build(model: str, settings: Mapping[str, object], start: Mapping[str, Tensor] | None = None) -> Colorizer:
    """The colorizer of `colorpipe/models/<model>.py`, built with its settings from params.yaml.

    `start` are ImageNet weights under torchvision's names; None or no tensors: every weight is drawn from torch's
    generator, by the rules of the architecture's authors.
    """
    colorizer = importlib.import_module(f"colorpipe.models.{model}").build(**settings)
    if start:
        load_imagenet(colorizer.encoder, start, model)
    return colorizer


def load(path: Path, device: torch.device) -> tuple[Colorizer, dict]:
    """A trained colorizer from its file of weights, ready for use, and its description. Raises UserError for others."""
    tensors, description = checkpoints.load(path)
    try:
        with torch.device("meta"):  # without memory: a file may claim any size
            model = build(description["model"], description["settings"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, ImportError) as error:
        raise UserError(f"{path} holds no colorizer ({one_line(error)}): {checkpoints.mend(path)}") from error
    expected = model.state_dict()
    for name in sorted({*expected, *tensors}):
        found, wanted = (_form(state.get(name)) for state in (tensors, expected))
        if found != wanted:
            said = one_line(f"{description['model']} {description['settings']}")
            raise UserError(
                f"{path} is not the {said} that it says: {one_line(name)} is {found}, "
                f"expected {wanted}: {checkpoints.mend(path)}"
            )
    model.load_state_dict(tensors, assign=True)
    return model.to(device, memory_format=torch.channels_last).eval(), description


def _form(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def load_imagenet(encoder: nn.Module, weights: Mapping[str, Tensor], model: str) -> None:
    """Load torchvision's ImageNet weights into an encoder whose first convolution takes one channel.

    That convolution gets the sum over RGB: the answer to a gray image is then that of the original to R = G = B. Weights
    of layers beyond the cut are left out. Raises UserError where a weight is missing or has another shape.
    """
    state = encoder.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        weight = weights.get(name)
        if weight is not None and tensor.ndim == 4 and tensor.shape[1] == 1:
            weight = weight.sum(dim=1, keepdim=True)
        if weight is None or weight.shape != tensor.shape:
            found = "is missing" if weight is None else f"has shape {tuple(weight.shape)}"
            raise UserError(
                f"imagenet.{model}.source: {name} {found}, expected {tuple(tensor.shape)}: it holds another model"
            )
        state[name] = weight
    encoder.load_state_dict(state)


def decoder(channels: int, stride: int) -> nn.Sequential:
    """Five 3x3 convolutions from `channels` at 1 / `stride` to 2 channels at full resolution (Melas' decoder).

    All but the last are followed by BatchNorm and ReLU. One nearest-neighbour 2x upsampling per halving: at stride 8
    after the first, the third and the fifth convolution, as Melas has it; other strides drop or add one in between.
    """
    upsampled = {4: (3, 5), 8: (1, 3, 5), 16: (1, 2, 3, 5), 32: (1, 2, 3, 4, 5)}[stride]
    widths = (channels, 128, 64, 64, 32, 2)
    layers: list[nn.Module] = []
    for number in range(1, 6):
        last = number == 5
        layers.append(nn.Conv2d(widths[number - 1], widths[number], 3, padding=1, bias=last))
        if not last:
            layers += [nn.BatchNorm2d(widths[number]), nn.ReLU(inplace=True)]
        if number in upsampled:
            layers.append(nn.Upsample(scale_factor=2))
    return nn.Sequential(*layers)
