"""What every colorizer is: an encoder, a decoder, L in and ab out; building one, and loading a trained one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe import config, weights
from colorpipe.color import bins, lab
from colorpipe.runtime.errors import UserError, one_line

ENCODER = "encoder."  # of the names of its encoder's weights


class Prediction(NamedTuple):
    """ab (B, 2, H, W) in Lab units and, of a head over the bins, logits (B, 313, h, w) at 1 / `scale` of the resolution."""

    ab: Tensor
    logits: Tensor | None = None


class Colorizer(nn.Module):
    """An encoder and a decoder, at any height and width.

    The encoder gives `channels` features at 1 / `stride` of the resolution (or several levels, the coarsest last). The
    decoder brings them to 2 channels at full resolution (the head "ab"), or to logits over the 313 ab bins at 1 / `scale` of
    it ("bins"), which the annealed mean at `temperature` decodes to ab. Where H or W is not a multiple of `stride`, the
    border is replicated and the result cropped.
    """

    temperature = bins.TEMPERATURE

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        channels: int,
        stride: int,
        head: str = "ab",
        scale: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.channels = channels
        self.stride = stride
        self.head = head
        self.scale = scale if head == "bins" else 1

    def forward(self, L: Tensor) -> Tensor:
        """Predict ab (B, 2, H, W) in Lab units from L (B, 1, H, W) in 0..100."""
        return self.predict(L).ab

    def predict(self, L: Tensor) -> Prediction:
        """Predict ab and, of a head over the bins, its logits from L (B, 1, H, W) in 0..100."""
        height, width = L.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        if any(padding):
            L = F.pad(L, padding, mode="replicate")
        features = self.encoder(lab.normalize_L(L))  # (B, channels, H / stride, W / stride)
        output = self.decoder(features)
        if self.head == "ab":
            return Prediction(
                lab.denormalize_ab(output[..., :height, :width].float())
            )  # (B, 2, H, W)
        rows, columns = ((side + self.scale - 1) // self.scale for side in (height, width))
        logits = output[..., :rows, :columns].float()  # (B, 313, h, w)
        return Prediction(self.decode(logits, self.temperature)[..., :height, :width], logits)

    def decode(self, logits: Tensor, temperature: float) -> Tensor:
        """The annealed mean of logits (B, 313, h, w), enlarged: ab (B, 2, scale * h, scale * w) in Lab units."""
        return F.interpolate(
            bins.decode(logits, temperature), scale_factor=self.scale, mode="bilinear"
        )


def build_colorizer(model: str, settings: Mapping[str, Any], head: str = "ab") -> Colorizer:
    """Build a colorizer; every weight is drawn from torch's global generator, by the rules of the architecture's authors.

    Args:
        model: a file of colorpipe/models.
        settings: its section of params.yaml.
        head: "ab", 2 channels at full resolution; or "bins", logits over the 313 ab bins.

    Raises:
        UserError: an unknown model, or wrong settings.
    """
    module = config.plugin("models", model)
    colorizer: Colorizer = module.build(
        config.plugin_config(module.Config, settings, f"models.{model}"), head
    )
    return colorizer


def initialize(model: Colorizer, name: str, init: Path) -> str:
    """Initialize a colorizer from a weight file, in place.

    Args:
        model: as it was drawn.
        name: its file of colorpipe/models.
        init: ImageNet weights for its encoder; a colorizer of the same architecture, of whose weights those of another head
            are left out; or a file without any.

    Returns:
        What it starts from: "random", "imagenet", or the row whose weights they are.

    Raises:
        UserError: the weights are of another model.
    """
    tensors, metadata = weights.load(init)
    if "model" not in metadata:
        if tensors:
            load_imagenet(model.encoder, tensors, name)
        return str(metadata["weights"])
    own = model.state_dict()
    fitting = {
        key: tensor
        for key, tensor in tensors.items()
        if key in own and own[key].shape == tensor.shape
    }
    if metadata["model"] != name or not fitting.keys() >= {
        key for key in own if key.startswith(ENCODER)
    }:
        raise UserError(
            f"{init} is {metadata['model']} {metadata['settings']}: a row that starts from it needs that model"
        )
    model.load_state_dict(fitting, strict=False)
    return init.parent.name


def load_imagenet(encoder: nn.Module, weights: Mapping[str, Tensor], model: str) -> None:
    """Load torchvision's ImageNet weights; a first convolution of one channel gets the sum over RGB.

    Weights of layers beyond the cut are ignored.

    Args:
        encoder: one of this module's encoders, changed in place.
        weights: by torchvision's names, without "features.".
        model: its name in params.yaml, for the message.

    Raises:
        UserError: a weight is missing or has another shape.
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


def load_colorizer(path: Path, device: torch.device) -> tuple[Colorizer, dict[str, Any]]:
    """A trained colorizer in eval mode on `device`, and its metadata. Raises UserError for any other file.

    A head over the bins decodes at the `temperature` of the metadata, where they have one.
    """
    tensors, metadata = weights.load(path)
    try:
        with torch.device("meta"):  # without memory: a file may claim any size
            model = build_colorizer(
                metadata["model"], metadata["settings"], metadata.get("head", "ab")
            )
    except (
        UserError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        AttributeError,
        ImportError,
    ) as error:
        raise UserError(
            f"{path} holds no colorizer ({one_line(error)}): {weights.remedy(path)}"
        ) from error
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
    model.temperature = metadata.get("temperature", model.temperature)
    return model.to(device, memory_format=torch.channels_last).eval(), metadata  # type: ignore[call-overload]


def _form(tensor: Tensor | None) -> str:
    return (
        "absent"
        if tensor is None
        else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
    )
