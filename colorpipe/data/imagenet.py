"""torchvision's files of ImageNet weights."""

import re
import warnings
from pathlib import Path

import torch
from torch import Tensor

from colorpipe.runtime.errors import UserError, one_line

OLD_NAME = re.compile(
    r"(denselayer\d+\.(?:norm|conv))\.([12])\."
)  # DenseNet's file has the names of PyTorch 0.3
EXPECTED = "expected torchvision's trained weights"


def read_torchvision(path: Path) -> dict[str, Tensor]:
    """Read the weights of a torchvision file, but those of its classification layers, under the names of today's layers.

    Only tensors are loaded (`weights_only`). "features." is removed, since the encoders have no such level.

    Args:
        path: a file that torchvision distributes.

    Returns:
        float32 tensors by name.

    Raises:
        UserError: the file is damaged, or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about what is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {
            name: tensor
            for name, tensor in state.items()
            if isinstance(tensor, Tensor) and isinstance(name, str)
        }
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise UserError(
            f"{path} is not a complete file of torchvision weights, tensors only ({one_line(error)}): remove it and run "
            "`dvc repro` to fetch it again"
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
        raise UserError(f"{path} holds no tensors by name, {EXPECTED}: use another file")
    return {
        OLD_NAME.sub(r"\1\2.", name).removeprefix(
            "features."
        ): tensor.clone()  # two names may share memory
        for name, tensor in tensors.items()
        if not name.startswith(("fc.", "classifier."))
    }
