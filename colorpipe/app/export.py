"""A trained colorizer as an ONNX file: L (B, 1, H, W) in 0..100 in, ab (B, 2, H, W) out, any batch, height and width."""

import json
import logging
import warnings
from pathlib import Path

import torch

from colorpipe import files, weights
from colorpipe.app.colorize import set_temperature
from colorpipe.models.colorizer import load_colorizer
from colorpipe.runtime.errors import UserError

TOLERANCE = 1e-3  # Lab units, between onnxruntime and PyTorch
# The traced input: no size is a multiple of a network's stride, so that the padding is in the graph.
EXAMPLE = (2, 1, 37, 61)
CHECKED = (EXAMPLE, (1, 1, 32, 32), (3, 1, 96, 130), (1, 1, 8, 8))


def export(path: Path, target: Path, temperature: float | None = None) -> float:
    """Export a colorizer as an ONNX file, which is kept only if onnxruntime agrees with PyTorch.

    Args:
        path: a colorizer's weights.
        target: the file to write.
        temperature: as in `colorize.load`; it is fixed in the file.

    Returns:
        The largest difference between the two, in Lab units.

    Raises:
        UserError: they differ by more than TOLERANCE, or a package is missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise UserError(f"export needs {error.name}: pip install 'colorpipe[export]'") from None
    model, metadata = load_colorizer(path, torch.device("cpu"))
    set_temperature(model, temperature, path)
    dynamic = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.rand(EXAMPLE) * 100,),
            input_names=["L"],
            output_names=["ab"],
            dynamic_shapes=(dynamic,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # dynamo=True
    program.model.metadata_props[weights.KEY] = json.dumps(metadata, sort_keys=True)
    with files.atomic_write(target) as temporary:
        program.save(temporary)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        difference = 0.0
        generator = torch.Generator().manual_seed(0)
        for shape in CHECKED:
            L = torch.rand(shape, generator=generator) * 100
            (found,) = session.run(None, {"L": L.numpy()})
            with torch.no_grad():
                difference = max(
                    difference, (torch.from_numpy(found) - model(L)).abs().max().item()
                )
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path}: onnxruntime and PyTorch differ by {difference:.2g} Lab units: not written"
            )
    return difference
