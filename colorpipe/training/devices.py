"""The precision of a device, and what is printed about a training run."""

import torch
from torch import nn

from colorpipe.training import processes


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the processor has bfloat16 arithmetic. Other processors emulate it slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_onednn = torch.backends.mkldnn.is_available()
    return has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def supported_precision(precision: str, device: torch.device) -> str:
    """Return `precision`, or "float32" with a message if the processor only emulates bfloat16."""
    if precision == "bfloat16" and not has_bfloat16(device):
        print("this processor only emulates bfloat16, which is slow: training in float32")
        return "float32"
    return precision


def print_training(
    name: str, model: nn.Module, images: int, epochs: int, precision: str, device: torch.device
) -> None:
    """Print in one line what is trained, on what data and where."""
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"CPU, {torch.get_num_threads()} threads"
    if processes.world_size() > 1:
        hardware = f"{processes.world_size()} processes, each on {hardware}"
    print(
        f"{name}: {size:.2f} M parameters, {images} images, {epochs} epochs, {precision} on "
        f"{hardware}"
    )
