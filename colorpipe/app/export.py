"""Exporting a colorizer as an ONNX file.

The file's input is L (B, 1, H, W) in [0, 100], and its output is ab (B, 2, H, W) in Lab units, for
any batch size, height and width.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from colorpipe import files, weights
from colorpipe.app.decoding import set_vividness
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import load_colorizer
from colorpipe.runtime.errors import UserError

if TYPE_CHECKING:
    import onnxruntime

TOLERANCE = 1e-3  # Lab units
# No side is a multiple of a network's stride, so that the traced graph contains the padding.
TRACED_SHAPE = (2, 1, 37, 61)
CHECKED_SHAPES = (TRACED_SHAPE, (1, 1, 32, 32), (3, 1, 96, 130), (1, 1, 8, 8))


def export_onnx(path: Path, target: Path, vividness: float | None = None) -> float:
    """Export a colorizer as an ONNX file if onnxruntime agrees with PyTorch.

    Args:
        path: The weight file of the colorizer.
        target: The file to write.
        vividness: As in `colorize.load_model`. The exported file always decodes with it.

    Returns:
        The largest difference between onnxruntime and PyTorch, in Lab units.

    Raises:
        UserError: The difference is larger than TOLERANCE, or a package is missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise UserError(
            f"export needs {error.name}: run pip install '.[export]' in the project's folder"
        ) from None
    model, metadata = load_colorizer(path, torch.device("cpu"))
    set_vividness(model, vividness, path, metadata)
    if model.head == "bins":
        metadata |= {"alpha": model.alpha, "temperature": model.temperature}
    program = _trace(model)
    program.model.metadata_props[weights.KEY] = json.dumps(metadata, sort_keys=True)
    with files.atomic_write(target) as temporary:
        program.save(temporary)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        difference = _largest_difference(session, model)
        if not difference <= TOLERANCE:  # also true for NaN
            raise UserError(
                f"{target}: not written, because onnxruntime and PyTorch differ by "
                f"{difference:.2g} Lab units: use another --model"
            )
    return difference


class _AbOnly(nn.Module):
    """A colorizer without its logits."""

    def __init__(self, model: Colorizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, L: Tensor) -> Tensor:
        ab: Tensor = self.model(L).ab
        return ab


def _trace(model: Colorizer) -> torch.onnx.ONNXProgram:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _AbOnly(model),
            (torch.rand(TRACED_SHAPE) * 100,),
            input_names=["L"],
            output_names=["ab"],
            dynamic_shapes=(dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # dynamo=True
    return program


@torch.no_grad()
def _largest_difference(session: "onnxruntime.InferenceSession", model: Colorizer) -> float:
    difference = 0.0
    generator = torch.Generator().manual_seed(0)
    for shape in CHECKED_SHAPES:
        L = torch.rand(shape, generator=generator) * 100
        (ab,) = session.run(None, {"L": L.numpy()})
        difference = max(difference, (torch.from_numpy(ab) - model(L).ab).abs().max().item())
    return difference
