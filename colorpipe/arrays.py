"""The prepared arrays of a data set as tensors: memory-mapped, or in the memory of the device."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorpipe.errors import UserError, one_line


def load(path: Path, device: torch.device) -> Tensor:
    """The array at `path`. On the CPU it is memory-mapped: read only where a batch touches it, and not to be written."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: `dvc repro` makes it") from None
    except PermissionError:
        raise UserError(f"{path} may not be read: permission denied; give yourself leave") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is no prepared array ({one_line(error)}): remove it and run `dvc repro`") from error
    if (array.dtype, array.ndim) not in ((np.uint8, 4), (np.int64, 1)):
        raise UserError(f"{path} holds {array.dtype} {array.shape}, no images and no labels: remove it and run `dvc repro`")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
