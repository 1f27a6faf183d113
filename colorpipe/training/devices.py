"""The device, its arithmetic and its determinism."""

import contextlib
import os

import torch
from torch import nn

from colorpipe.runtime import machine
from colorpipe.training import processes


def prepare(seed: int, threads: int) -> torch.device:
    """Seed torch, set its threads and deterministic algorithms, and choose the device: CUDA where there is a GPU.

    Where several processes share the work this one joins them, with a GPU of its own.
    """
    machine.keep_freed_memory()
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # cuBLAS is deterministic only with it
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid of that mode: a fifth of the time
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32 on a GPU too
    device = processes.join()
    torch.manual_seed(seed)
    return device


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 where precision is "bfloat16"; for "float32", a context that does nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor has bfloat16 arithmetic; others emulate it, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.backends.mkldnn.is_available() and bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def supported_precision(precision: str, device: torch.device) -> str:
    """The precision to train in: where the processor only emulates bfloat16, float32 in its place, with a message."""
    if precision == "bfloat16" and not has_bfloat16(device):
        print("this processor only emulates bfloat16, which is slow: training in float32")
        return "float32"
    return precision


def print_run(
    name: str, model: nn.Module, images: int, epochs: int, precision: str, device: torch.device
) -> None:
    """Print in one line what is trained on what."""
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    if processes.count() > 1:
        where = f"{processes.count()} processes, each on {where}"
    print(
        f"{name}: {size:.2f} M parameters, {images} images, {epochs} epochs, {precision} on {where}"
    )
