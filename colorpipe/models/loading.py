"""Building colorizers, loading initial weights, and loading trained colorizers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from colorpipe import config, weights
from colorpipe.models.colorizer import ENCODER, Colorizer
from colorpipe.runtime.errors import UserError, one_line, printable_path


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


def initialize(model: Colorizer, name: str, settings: Mapping[str, Any], start: Path) -> str:
    """Load the initial weights of a training run, in place.

    Args:
        model: A colorizer with random weights.
        name: Its module of colorpipe/models.
        settings: The model's section of params.yaml.
        start: A weight file. It holds ImageNet weights for the encoder, or a colorizer of the same
            architecture, or no weights. Weights of a different head are skipped.

    Returns:
        "random", "imagenet", or the name of the colorizer whose weights were loaded.

    Raises:
        UserError: The file holds no colorizer, another model or other settings, or lacks weights of
            the encoder.
    """
    tensors, metadata = weights.load(start)
    if "model" not in metadata:
        if "weights" not in metadata:
            raise UserError(f"{printable_path(start)} holds no colorizer: use another start")
        if tensors:
            load_imagenet(model.encoder, tensors, name)
        return str(metadata["weights"])
    state = model.state_dict()
    if metadata["model"] != name or metadata.get("settings") != settings:
        raise UserError(
            f"{printable_path(start)} holds {metadata['model']} {metadata.get('settings')}, "
            f"expected {name} {settings}: use another start, or the model and the settings "
            "that it holds"
        )
    # Only the encoder is checked, because the decoder's head may differ.
    encoder, stored = (
        {key: tensor for key, tensor in part.items() if key.startswith(ENCODER)}
        for part in (state, tensors)
    )
    check_tensors(start, metadata, encoder, stored, "use another start")
    fitting = {
        key: tensor
        for key, tensor in tensors.items()
        if key in state and state[key].shape == tensor.shape
    }
    model.load_state_dict(fitting, strict=False)
    return str(metadata.get("start_of", start.parent.name))


def load_imagenet(encoder: nn.Module, imagenet: Mapping[str, Tensor], name: str) -> None:
    """Load ImageNet weights of torchvision or timm into an encoder, in place.

    The weights of a first convolution with one channel become the sum over RGB. Weights of layers
    beyond the cut are ignored. If the encoder has a function `rename_imagenet`, that function
    returns the weights under the encoder's own names.

    Args:
        encoder: Layers of torchvision or timm: a colorizer's encoder, or a part of LPIPS's VGG-16.
        imagenet: Weights by torchvision's or timm's names, without "features.".
        name: The entry of `imagenet` in params.yaml, for the error message.

    Raises:
        UserError: A weight is missing or has another shape.
    """
    if rename := getattr(encoder, "rename_imagenet", None):
        imagenet = rename(imagenet)
    state = encoder.state_dict()
    for key, tensor in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        weight = imagenet.get(key)
        if weight is not None and tensor.ndim == 4 and tensor.shape[1] == 1:
            weight = weight.sum(dim=1, keepdim=True)
        if weight is None or weight.shape != tensor.shape:
            problem = "is missing" if weight is None else f"has shape {tuple(weight.shape)}"
            raise UserError(
                f"imagenet.{name}.source: {key} {problem}, expected {tuple(tensor.shape)}: "
                "use the ImageNet weights of this model"
            )
        state[key] = weight
    encoder.load_state_dict(state)


def load_colorizer(path: Path, device: torch.device) -> tuple[Colorizer, dict[str, Any]]:
    """Load a trained colorizer.

    Returns:
        The colorizer in eval mode on `device`, and the metadata of its file.

    Raises:
        UserError: The file holds no colorizer.
    """
    tensors, metadata = weights.load(path)
    try:
        with torch.device("meta"):  # needs no memory, even if the file claims a huge size
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
            f"{printable_path(path)} holds no colorizer ({one_line(error)}): {weights.remedy(path)}"
        ) from error
    check_tensors(path, metadata, model.state_dict(), tensors, weights.remedy(path))
    model.load_state_dict(tensors, assign=True)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), metadata


def check_tensors(
    path: Path,
    metadata: Mapping[str, Any],
    expected: Mapping[str, Tensor],
    actual: Mapping[str, Tensor],
    remedy: str,
) -> None:
    """Raise UserError if a weight file does not hold the model that its metadata claims.

    Args:
        path: The weight file.
        metadata: Its metadata.
        expected: The model's tensors.
        actual: The file's tensors.
        remedy: What to do, for the error message.
    """
    for name in {**expected, **actual}:
        actual_form, expected_form = (_describe(state.get(name)) for state in (actual, expected))
        if actual_form != expected_form:
            claimed = one_line(f"{metadata['model']} {metadata['settings']}")
            raise UserError(
                f"{printable_path(path)} is not the {claimed} that its metadata claims: "
                f"{one_line(name)} is {actual_form}, expected {expected_form}: {remedy}"
            )


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
