"""The interface of all colorizers, and functions that build, initialize and load them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorpipe import config, weights
from colorpipe.color import bins, lab
from colorpipe.runtime.errors import UserError, one_line

ENCODER = "encoder."  # prefix of the names of the encoder's weights


class Prediction(NamedTuple):
    """The output of a colorizer.

    Attributes:
        ab: ab in Lab units, (B, 2, H, W).
        logits: Logits over the color bins, (B, 313, h, w), at 1 / `logits_stride` of the
            resolution, if the colorizer has the head "bins".
    """

    ab: Tensor
    logits: Tensor | None = None


class Colorizer(nn.Module):
    """An encoder and a decoder that predict ab from L, at any height and width.

    If the height or width is not a multiple of `stride`, the border is replicated and the output is
    cropped. Logits are decoded with `alpha` and `temperature` (see `decode`).

    With the head "bins", the buffer `log_weights` (313,) holds the logarithms of the weights that
    the training loss gives to the bins. It is part of the weight file. Zeros mean equal weights.

    Args:
        encoder: Maps normalized L to features at 1 / `stride` of the resolution, or to a list of
            features whose last element has that resolution.
        decoder: Maps the features to normalized ab at full resolution, or to logits over the color
            bins at 1 / `logits_stride` of the resolution.
        channels: Channels of the (last) features.
        stride: Stride of the (last) features.
        head: "ab" or "bins".
        logits_stride: Pixels per logit, in each direction.
    """

    alpha = 0.0
    temperature = bins.TEMPERATURE
    log_weights: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        channels: int,
        stride: int,
        head: str = "ab",
        logits_stride: int = 1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.channels = channels
        self.stride = stride
        self.head = head
        self.logits_stride = logits_stride if head == "bins" else 1
        if head == "bins":
            self.register_buffer("log_weights", torch.zeros(bins.COUNT))

    def forward(self, L: Tensor) -> Prediction:
        """Predict ab, and the logits if there are any, from L (B, 1, H, W) in [0, 100]."""
        height, width = L.shape[-2:]
        padding = (0, -width % self.stride, 0, -height % self.stride)
        if any(padding):
            L = F.pad(L, padding, mode="replicate")
        features = self.encoder(lab.normalize_L(L))  # (B, channels, H / stride, W / stride)
        output = self.decoder(features)
        if self.head == "ab":
            return Prediction(lab.denormalize_ab(output[..., :height, :width].float()))
        # Rounded up. ONNX rounds the quotient of a negative number toward zero.
        factor = self.logits_stride
        rows, columns = ((side + factor - 1) // factor for side in (height, width))
        logits = output[..., :rows, :columns].float()  # (B, 313, h, w)
        ab = self.decode(logits, self.temperature, self.alpha)
        return Prediction(ab[..., :height, :width], logits)

    def decode(self, logits: Tensor, temperature: float, alpha: float) -> Tensor:
        """Decode logits by the annealed mean of softmax((logits - alpha * log_weights) / T).

        Args:
            logits: Logits over the bins, (B, 313, h, w).
            temperature: T (see `bins.decode`).
            alpha: Share of the re-balancing that is undone. With 1, the probabilities are divided
                by the weights of the bins.

        Returns:
            ab in Lab units, (B, 2, s * h, s * w), with s = `logits_stride`.
        """
        if alpha:
            logits = logits - alpha * self.log_weights[:, None, None]
        ab = bins.decode(logits, temperature)
        return F.interpolate(ab, scale_factor=self.logits_stride, mode="bilinear")

    def set_bin_weights(self, weights: Tensor | None) -> None:
        """Store the weights (313,) that the training loss gives to the bins. None means equal ones.

        A colorizer with the head "ab" stores nothing.
        """
        if self.head == "bins":
            log_weights = torch.zeros(bins.COUNT) if weights is None else weights.log()
            self.log_weights.copy_(log_weights)


def build_colorizer(model: str, settings: Mapping[str, Any], head: str = "ab") -> Colorizer:
    """Build a colorizer with random weights from torch's global generator.

    Args:
        model: A module of colorpipe/models.
        settings: The model's section of params.yaml.
        head: "ab", or "bins" for logits over the color bins.

    Raises:
        UserError: The model is unknown, or a setting is wrong.
    """
    module = config.load_plugin("models", model)
    section = config.validate_section(module.Config, settings, f"models.{model}")
    colorizer: Colorizer = module.build(section, head)
    return colorizer


def initialize(model: Colorizer, name: str, start: Path) -> str:
    """Load the weights that a training starts from, in place.

    Args:
        model: A colorizer with random weights.
        name: Its module of colorpipe/models.
        start: A weight file. It holds ImageNet weights for the encoder, or a colorizer of the same
            architecture, or no weights. Weights of a different head are skipped.

    Returns:
        "random", "imagenet", or the name of the colorizer whose weights were loaded.

    Raises:
        UserError: The weights are those of another model.
    """
    tensors, metadata = weights.load(start)
    if "model" not in metadata:
        if tensors:
            load_imagenet(model.encoder, tensors, name)
        return str(metadata["weights"])
    state = model.state_dict()
    # The head is not compared. Equal encoders imply equal settings, and so equal decoders.
    expected, actual = (
        {key: tensor.shape for key, tensor in own.items() if key.startswith(ENCODER)}
        for own in (state, tensors)
    )
    if metadata["model"] != name or actual != expected:
        raise UserError(
            f"{start} is {metadata['model']} {metadata.get('settings')}: a colorizer that starts "
            "from it needs that model"
        )
    fitting = {
        key: tensor
        for key, tensor in tensors.items()
        if key in state and state[key].shape == tensor.shape
    }
    model.load_state_dict(fitting, strict=False)
    return str(metadata.get("start_of", start.parent.name))


def load_imagenet(encoder: nn.Module, imagenet: Mapping[str, Tensor], model: str) -> None:
    """Load ImageNet weights of torchvision or timm into an encoder, in place.

    The weights of a first convolution with one channel become the sum over RGB. Weights of layers
    beyond the cut are ignored. If the encoder has a function `rename_imagenet`, that function
    returns the weights under the encoder's own names.

    Args:
        encoder: An encoder made of torchvision's or timm's layers.
        imagenet: Weights by torchvision's or timm's names, without "features.".
        model: The encoder's name in params.yaml, for the error message.

    Raises:
        UserError: A weight is missing or has another shape.
    """
    if rename := getattr(encoder, "rename_imagenet", None):
        imagenet = rename(imagenet)
    state = encoder.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        weight = imagenet.get(name)
        if weight is not None and tensor.ndim == 4 and tensor.shape[1] == 1:
            weight = weight.sum(dim=1, keepdim=True)
        if weight is None or weight.shape != tensor.shape:
            problem = "is missing" if weight is None else f"has shape {tuple(weight.shape)}"
            raise UserError(
                f"imagenet.{model}.source: {name} {problem}, expected {tuple(tensor.shape)}: "
                "it holds another model"
            )
        state[name] = weight
    encoder.load_state_dict(state)


def load_colorizer(path: Path, device: torch.device) -> tuple[Colorizer, dict[str, Any]]:
    """Load a trained colorizer.

    If the metadata has an `alpha` or a `temperature`, the colorizer decodes logits with it.

    Returns:
        The colorizer in eval mode on `device`, and the metadata of its file.

    Raises:
        UserError: The file holds no colorizer.
    """
    tensors, metadata = weights.load(path)
    try:
        with torch.device("meta"):  # needs no memory, whatever size the file claims
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
        actual, wanted = (_describe(state.get(name)) for state in (tensors, expected))
        if actual != wanted:
            claimed = one_line(f"{metadata['model']} {metadata['settings']}")
            raise UserError(
                f"{path} is not the {claimed} that its metadata claims: {one_line(name)} is "
                f"{actual}, expected {wanted}: {weights.remedy(path)}"
            )
    model.load_state_dict(tensors, assign=True)
    model.alpha = metadata.get("alpha", model.alpha)
    model.temperature = metadata.get("temperature", model.temperature)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), metadata


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
