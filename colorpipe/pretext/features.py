"""Features of a frozen encoder: the output of each of its stages, averaged over the image."""

import torch
from torch import Tensor, nn

from colorpipe.color import lab
from colorpipe.models.colorizer import Colorizer, pad_to_stride

STEM = "stem"


def encode_stages(encoder: nn.Module, L: Tensor) -> dict[str, Tensor]:
    """Return the output of each stage of an encoder, from the first stage to the last.

    In a sequential encoder, each child that has children is a stage. Plain layers belong to the
    stage before them, and those before the first stage are the stem. In a U-Net, each level is a
    stage.

    Args:
        encoder: The encoder of a colorizer.
        L: Lightness in [0, 100], (B, 1, H, W).

    Returns:
        Features (B, channels, h, w) by the name of the stage.
    """
    x = lab.normalize_L(L)
    if not isinstance(encoder, nn.Sequential):
        return {f"level{number}": level for number, level in enumerate(encoder(x), 1)}
    outputs: dict[str, Tensor] = {}
    stage = STEM
    for name, child in encoder.named_children():
        if any(True for _ in child.children()):
            stage = name
        x = child(x)
        outputs[stage] = x
    return outputs


@torch.no_grad()
def pool_stages(colorizer: Colorizer, images: Tensor, batch_size: int) -> dict[str, Tensor]:
    """Return the output of each stage of the encoder, averaged over the image, in eval mode.

    Args:
        colorizer: A colorizer. It is left in eval mode.
        images: Stored images, (N, 3, H, W) uint8.
        batch_size: Images per batch.

    Returns:
        Features (N, channels) float32 by the name of the stage.
    """
    colorizer.eval()
    chunks: dict[str, list[Tensor]] = {}
    for batch in images.split(batch_size):
        L = pad_to_stride(lab.lightness(lab.uint8_to_float(batch)), colorizer.stride)
        for name, output in encode_stages(colorizer.encoder, L).items():
            chunks.setdefault(name, []).append(output.float().mean(dim=(2, 3)))
    return {name: torch.cat(parts) for name, parts in chunks.items()}
