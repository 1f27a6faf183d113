"""A trained colorizer as an ONNX file: L (B, 1, H, W) in 0..100 in, ab (B, 2, H, W) out, any batch, height and width."""

import json
import logging
import warnings
from pathlib import Path

from colorpipe import checkpoints, files
from colorpipe.errors import UserError

TOLERANCE = 1e-3  # Lab units, between onnxruntime and PyTorch
# What it is traced with: no size is a multiple of a network's stride, so that the padding is in the graph.
EXAMPLE = (2, 1, 37, 61)
CHECKED = (EXAMPLE, (1, 1, 32, 32), (3, 1, 96, 130), (1, 1, 8, 8))


def export(weights: Path, target: Path) -> float:
    """Write the ONNX file once onnxruntime gives what PyTorch gives; the largest difference in Lab units.

    Raises UserError where it does not, and where the packages are missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise UserError(f"export needs {error.name}: pip install 'colorpipe[export]'") from None
    import torch

    from colorpipe.models import colorizer

    model, description = colorizer.load(weights, torch.device("cpu"))
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
    program.model.metadata_props[checkpoints.KEY] = json.dumps(description, sort_keys=True)
    with files.replaced(target) as temporary:
        program.save(temporary)
        session = onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"])
        difference = 0.0
        generator = torch.Generator().manual_seed(0)
        for shape in CHECKED:
            L = torch.rand(shape, generator=generator) * 100
            (found,) = session.run(None, {"L": L.numpy()})
            with torch.inference_mode():
                difference = max(difference, (torch.from_numpy(found) - model(L)).abs().max().item())
        if not difference <= TOLERANCE:
            raise UserError(f"{weights}: onnxruntime is {difference:.2g} Lab units away from PyTorch: not written")
    return difference
