"""ImageNet weights in the files of torchvision and timm."""

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor

from colorpipe.runtime.errors import UserError, one_line

# DenseNet's file names these layers as PyTorch 0.3 did.
OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
EXPECTED = "expected trained weights of torchvision or timm: use another file"


def load_imagenet_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file of torchvision or timm, without the classification layers.

    Names are those of today's layers, without "features.", because the encoders have no such level.
    Only tensors are loaded (`weights_only`), so no code in the file is run.

    Args:
        path: A file that torchvision or timm distributes.

    Returns:
        float32 tensors by name.

    Raises:
        UserError: The file is damaged or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about tensors that are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {
            name: tensor
            for name, tensor in state.items()
            if isinstance(tensor, Tensor) and isinstance(name, str)
        }
    except Exception as error:  # torch.load raises many kinds of errors for a damaged file
        raise UserError(
            f"{path}: cannot load the weights ({one_line(error)}): use another file"
        ) from error
    for name, tensor in tensors.items():
        plain = (
            tensor.layout == torch.strided
            and tensor.device.type == "cpu"
            and not tensor.is_quantized
        )
        if not plain or str(tensor.dtype).removeprefix("torch.") not in ("float32", "int64"):
            raise UserError(f"{path}: {one_line(name)} is not a float32 tensor, {EXPECTED}")
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {one_line(name)} has non-finite values, {EXPECTED}")
    if not tensors:
        raise UserError(f"{path} holds no named tensors, {EXPECTED}")
    return {
        # A tensor is cloned because two names may share memory.
        OLD_NAME.sub(r"\1\2.", name).removeprefix("features."): tensor.clone()
        for name, tensor in tensors.items()
        if not name.startswith(("fc.", "classifier."))
    }
