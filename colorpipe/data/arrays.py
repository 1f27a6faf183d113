"""Prepared arrays as tensors: memory-mapped on a CPU, or in the memory of a GPU."""

import mmap
import tokenize
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorpipe.runtime.errors import UserError, missing_output, one_line, permission_error


def load_array(path: Path, device: torch.device, shuffled: bool = False) -> Tensor:
    """Return an array that `split` wrote.

    On a CPU the file is memory-mapped: a row is read when a batch uses it. The tensor must not be
    written to.

    Args:
        path: A file that `split` wrote.
        device: Device of the tensor.
        shuffled: Whether the rows will be read in random order. If so, the system does not read
            ahead, because it would have to drop those rows again if the array is larger than the
            memory.

    Returns:
        Images of shape (N, 3, H, W), uint8; labels of shape (N,), int64; or counted colors of shape
        (K, 3), float64.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise missing_output(path) from None
    except PermissionError:
        raise permission_error(path) from None
    except (OSError, ValueError, EOFError, tokenize.TokenError) as error:
        raise UserError(
            f"{path} is not a prepared array ({one_line(error)}): delete it and run `dvc repro`"
        ) from error
    if (array.dtype, array.ndim) not in ((np.uint8, 4), (np.int64, 1), (np.float64, 2)):
        raise UserError(
            f"{path} holds {array.dtype} {array.shape}, which are neither images, labels nor "
            "counted colors: delete it and run `dvc repro`"
        )
    if shuffled and device.type == "cpu":
        array._mmap.madvise(mmap.MADV_RANDOM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
