"""Prepared arrays as tensors: memory-mapped on the CPU, or in the memory of the device."""

import mmap
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colorpipe.runtime.errors import UserError, one_line


def load_array(path: Path, device: torch.device, shuffled: bool = False) -> Tensor:
    """The array at `path`: images (N, 3, H, W) uint8, labels (N,) int64, or a prior (313,) float32.

    On the CPU it is memory-mapped: read where a batch touches it, and not to be written.

    Args:
        path: a file that `split` wrote.
        device: where the tensor is to be.
        shuffled: whether its rows will be read in a random order. Then the system reads nothing ahead, which it would have
            to throw away again where the array is larger than the memory.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to create it") from None
    except PermissionError:
        raise UserError(
            f"{path} cannot be read: permission denied: check the file's permissions"
        ) from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{path} is not a prepared array ({one_line(error)}): remove it and run `dvc repro`"
        ) from error
    if (array.dtype, array.ndim) not in ((np.uint8, 4), (np.int64, 1), (np.float32, 1)):
        raise UserError(
            f"{path} holds {array.dtype} {array.shape}, neither images, labels nor a prior: remove it and run `dvc repro`"
        )
    if shuffled and device.type == "cpu":
        array._mmap.madvise(mmap.MADV_RANDOM)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
