"""What every colorizer is: an encoder, a decoder, L in and ab out; building one, and loading a trained one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe import config, weights
from colorpipe.color import lab
from colorpipe.models import encoders
from colorpipe.runtime.errors import UserError, one_line


class Colorizer(nn.Module):
    """An encoder and a decoder, at any height and width.

    The encoder gives `channels` features at 1 / `stride` of the resolution; the decoder brings them back to full
    resolution as 2 channels. Where H or W is not a multiple of `stride`, the border is replicated and the result cropped.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, channels: int, stride: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.channels = channels
        self.stride = stride

    def forward(self, L: Tensor) -> Tensor:
        """Predict ab (B, 2, H, W) in Lab units from L (B, 1, H, W) in 0..100."""
        height, width = L.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        if any(padding):
            L = F.pad(L, padding, mode="replicate")
        features = self.encoder(lab.normalize_L(L))  # (B, channels, H / stride, W / stride)
        output = self.decoder(features)[..., :height, :width]  # (B, 2, H, W)
        return lab.denormalize_ab(output.float())


def build(model: str, settings: Mapping[str, Any], init: Mapping[str, Tensor] | None = None) -> Colorizer:
    """Build a colorizer.

    Args:
        model: a file of colorpipe/models.
        settings: its section of params.yaml.
        init: ImageNet weights by torchvision's names; None or empty: every weight is drawn from torch's global generator,
            by the rules of the architecture's authors.

    Raises:
        UserError: an unknown model, wrong settings, or weights of another model.
    """
    module = config.plugin("models", model)
    colorizer: Colorizer = module.build(config.plugin_config(module.Config, settings, f"models.{model}"))
    if init:
        encoders.load_imagenet(colorizer.encoder, init, model)
    return colorizer


def load(path: Path, device: torch.device) -> tuple[Colorizer, dict[str, Any]]:
    """A trained colorizer in eval mode on `device`, and its metadata. Raises UserError for any other file."""
    tensors, metadata = weights.load(path)
    try:
        with torch.device("meta"):  # without memory: a file may claim any size
            model = build(metadata["model"], metadata["settings"])
    except (UserError, KeyError, TypeError, ValueError, RuntimeError, AttributeError, ImportError) as error:
        raise UserError(f"{path} holds no colorizer ({one_line(error)}): {weights.remedy(path)}") from error
    expected = model.state_dict()
    for name in sorted({*expected, *tensors}):
        found, wanted = (_form(state.get(name)) for state in (tensors, expected))
        if found != wanted:
            claimed = one_line(f"{metadata['model']} {metadata['settings']}")
            raise UserError(
                f"{path} is not the {claimed} that its metadata claims: {one_line(name)} is {found}, expected {wanted}: "
                f"{weights.remedy(path)}"
            )
    model.load_state_dict(tensors, assign=True)
    return model.to(device, memory_format=torch.channels_last).eval(), metadata  # type: ignore[call-overload]


def _form(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
