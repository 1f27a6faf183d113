"""Features of a frozen encoder: what it makes of L after each of its stages, averaged over the image."""

import torch
from torch import Tensor, nn

from colorpipe.color import lab

STEM = "stem"


def stages(encoder: nn.Module, L: Tensor) -> dict[str, Tensor]:
    """The output of each stage of an encoder, from the first to the last.

    Of a sequence each child that has children is a stage; the plain layers before the first of those are the stem. Of an
    encoder that returns several levels (a U-Net's) each level is one.

    Args:
        encoder: of a colorizer.
        L: (B, 1, H, W) in 0..100.

    Returns:
        By name, (B, channels, h, w) each.
    """
    x = lab.normalize_L(L)
    if not isinstance(encoder, nn.Sequential):
        return {f"level{number}": level for number, level in enumerate(encoder(x), 1)}
    found: dict[str, Tensor] = {}
    for name, child in encoder.named_children():
        x = child(x)
        found[name if any(True for _ in child.children()) else STEM] = x
    return found


@torch.no_grad()
def pooled(encoder: nn.Module, images: Tensor, batch_size: int) -> dict[str, Tensor]:
    """The mean over the image of each stage's output, with the encoder in eval mode; nothing of it changes.

    Args:
        encoder: of a colorizer.
        images: sRGB, (N, 3, H, W) uint8.
        batch_size: images at a time.

    Returns:
        By stage, (N, channels) float32 each.
    """
    was_training = encoder.training
    encoder.eval()
    parts: dict[str, list[Tensor]] = {}
    for batch in images.split(batch_size):
        for name, output in stages(encoder, lab.lightness(lab.from_bytes(batch))).items():
            parts.setdefault(name, []).append(output.float().mean(dim=(2, 3)))
    encoder.train(was_training)
    return {name: torch.cat(chunks) for name, chunks in parts.items()}
