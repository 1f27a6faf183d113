"""The machine that a number was measured on: processor, GPU, versions, commit; and its memory allocator."""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch


def describe() -> dict[str, str]:
    """The processor (and GPU), the cores that this process may use, and the versions that a result depends on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    hardware = f"{processor()}, {cores} cores"
    if torch.cuda.is_available():
        hardware = f"{torch.cuda.get_device_name()}; {hardware}"
    versions = {
        "Python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "dvc")},
    }
    return {"hardware": hardware, **versions, "system": f"{platform.system()} {platform.machine()}"}


def commit() -> str:
    """The short hash of HEAD, with a remark where code or parameters differ from it. Empty outside of git, or without it."""

    if not shutil.which("git"):
        return ""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "colorpipe", "stages", "params.yaml", "dvc.yaml")
    return git("rev-parse", "--short", "HEAD") + (", with changes" if changed else "")


def processor() -> str:
    """The processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def keep_freed_memory() -> None:
    """Have glibc keep freed memory: every step asks for the same tensors, and the system clears each new page first."""
    if sys.platform == "linux":
        allocator = ctypes.CDLL(None)
        if hasattr(allocator, "mallopt"):  # musl has none
            allocator.mallopt(
                -3, 32 * 2**20
            )  # M_MMAP_THRESHOLD, at its maximum: larger blocks are returned at once
            allocator.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
