"""The machine that a number was measured on, and its memory allocator."""

import ctypes
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from colorpipe.runtime.parallel import WORKERS

PACKAGES = ("torch", "torchvision", "timm", "lpips", "torchmetrics", "numpy", "dvc")


def describe_machine() -> dict[str, str]:
    """Return the processor, the GPU, the usable cores, and the versions of packages."""
    hardware = f"{find_processor()}, {WORKERS} core{'' if WORKERS == 1 else 's'}"
    if torch.cuda.is_available():
        hardware = f"{torch.cuda.get_device_name()}; {hardware}"
    packages = {name: version(name) for name in PACKAGES}
    system = f"{platform.system()} {platform.machine()}"
    return {"hardware": hardware, "Python": platform.python_version(), **packages, "system": system}


def find_commit() -> str:
    """Return the short hash of HEAD, with ", with changes" if code or parameters differ from it.

    Outside a git repository, or without git, return an empty string.
    """
    if not shutil.which("git"):
        return ""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "colorpipe", "stages", "params.yaml", "dvc.yaml")
    return git("rev-parse", "--short", "HEAD") + (", with changes" if changed else "")


def find_processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next training step.

    Every step allocates tensors of the same sizes. Without this, each step returns the memory to
    the system, which has to clear it again.
    """
    if sys.platform == "linux":
        allocator = ctypes.CDLL(None)
        if hasattr(allocator, "mallopt"):  # musl has no mallopt
            allocator.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD, its maximum
            allocator.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
