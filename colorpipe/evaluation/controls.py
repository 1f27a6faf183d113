"""Encoders that no colorizer trained, to compare with those of the pretext task."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from colorpipe import paths, weights
from colorpipe.config import CONTROLS, Params
from colorpipe.models import base, encoders
from colorpipe.models.classifier import redraw_xavier
from colorpipe.training import device as devices


def write(imagenet: Path, params: Params) -> None:
    """Write models/<control>/best.safetensors for each of CONTROLS, of the network pretext.model.

    Args:
        imagenet: the folder of the data set's initial weights (see `paths.init_weights`).
        params: pretext.model, its settings, and the seed.
    """
    model = params.pretext.model
    source = imagenet / f"{model}.safetensors"
    tensors = weights.load(source)[0] if source.exists() else {}
    draws: dict[str, Callable[[nn.Module], None] | None] = {
        "xavier": lambda encoder: redraw_xavier(encoder, params.seed),
        "random": lambda encoder: None,  # as it was built: what a colorizer without ImageNet weights starts from
        "imagenet": (lambda encoder: encoders.load_imagenet(encoder, tensors, model)) if tensors else None,
    }
    for name in CONTROLS:
        metadata = {"model": model, "settings": params.model(model), "init": name}
        if draw := draws[name]:
            devices.prepare(params.seed, params.threads)
            colorizer = base.build(model, params.model(model))
            draw(colorizer.encoder)
            state = {key: value for key, value in colorizer.state_dict().items() if key.startswith(base.ENCODER)}
            weights.save(paths.checkpoint(name, "best"), state, metadata)
        else:
            reason = f"{source} holds no ImageNet weights"
            weights.save(paths.checkpoint(name, "best"), {}, {**metadata, "left_out": reason})
            print(f"{name}: left out: {reason}")
