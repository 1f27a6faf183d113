"""Encoders of the pretext task: those of trained colorizers, and the reference encoders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from colorpipe import files, weights
from colorpipe.config import REFERENCE_ENCODERS, Params
from colorpipe.inference import prepare_device
from colorpipe.models.colorizer import ENCODER, Colorizer
from colorpipe.models.loading import build_colorizer, check_tensors, load_imagenet
from colorpipe.runtime.errors import UserError


def write_reference_encoders(start: Path, params: Params) -> None:
    """Write models/<name>/best.safetensors for each reference encoder.

    "xavier" is drawn again with `redraw_xavier`. "random" has the weights from which a
    colorizer without ImageNet weights starts. If there are no ImageNet weights, the file of
    "imagenet" holds no tensors.

    Args:
        start: The file of the encoder's initial weights (see `files.start_path`).
        params: All settings. `pretext.model`, the model's section, `seed` and `threads` are used.
    """
    model = params.pretext.model
    tensors, stored = weights.load(start)
    for name in REFERENCE_ENCODERS:
        metadata = {"model": model, "settings": params.model(model), "init": name}
        path = files.weights_path(name, "best")
        if name == "imagenet" and stored.get("weights") != "imagenet":
            weights.save(path, {}, metadata)
            print(f"{name}: left out: {start} holds no ImageNet weights")
            continue
        prepare_device(params.seed, params.threads)
        colorizer = build_colorizer(model, params.model(model))
        if name == "xavier":
            redraw_xavier(colorizer.encoder, params.seed)
        elif name == "imagenet":
            load_imagenet(colorizer.encoder, tensors, model)
        state = colorizer.state_dict()
        weights.save(path, {k: v for k, v in state.items() if k.startswith(ENCODER)}, metadata)


def load_encoder(path: Path, model: str, settings: Mapping[str, Any]) -> Colorizer:
    """Build a colorizer whose encoder has the weights of a file. Its decoder is random.

    Raises:
        UserError: The file holds no weights, or those of another model.
    """
    tensors, metadata = weights.load(path)
    stored = tuple(metadata.get(key) for key in ("model", "settings"))
    if stored != (model, settings):
        raise UserError(f"pretext.model: {path} is {stored[0]} {stored[1]}, not {model} {settings}")
    colorizer = build_colorizer(model, settings)
    state = {k.removeprefix(ENCODER): v for k, v in tensors.items() if k.startswith(ENCODER)}
    check_tensors(path, metadata, colorizer.encoder.state_dict(), state, weights.remedy(path))
    colorizer.encoder.load_state_dict(state)
    return colorizer


def redraw_xavier(network: nn.Module, seed: int) -> None:
    """Draw Xavier-uniform weights for convolutions and linear layers in place, as in the paper.

    Biases are set to 0. Xavier initialization is not defined for BatchNorm. BatchNorm's scales and
    running variances are set to 1. BatchNorm's shifts and running means are set to 0.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
