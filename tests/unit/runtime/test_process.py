"""The last line of a stage or a command that fails."""

import argparse
import importlib

import pytest

from colorpipe.runtime import process
from colorpipe.runtime.errors import UserError
from colorpipe.runtime.process import INTERRUPTED, run_main, slug


def fail_with(error: BaseException) -> str | int:
    """Return the exit status or the last line of a process whose `main` raises `error`."""

    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as raised:
        run_main(main)
    return raised.value.code


@pytest.mark.parametrize("module", ["colorpipe.no_such_module", "stages.no_such_stage"])
def test_a_missing_module_of_colorpipe_itself_is_not_hidden(module):
    with pytest.raises(ModuleNotFoundError, match=module):
        run_main(lambda: importlib.import_module(module))


def test_an_error_that_the_user_cannot_fix_is_not_hidden():
    def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_main(main)


def test_an_error_that_the_user_can_fix_ends_with_one_line(capsys):
    assert fail_with(UserError("old.tif: cannot read the file")) == (
        "error: old.tif: cannot read the file"
    )
    assert fail_with(OSError(28, "No space left on device", "a.npy")) == (
        "error: a.npy: No space left on device; fix that and run the command again"
    )
    assert fail_with(MemoryError()) == (
        "error: out of memory (MemoryError): use smaller data or images, or a machine with more "
        "memory"
    )
    assert fail_with(KeyboardInterrupt()) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted: run the command again\n"


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
    ],
)
def test_exhausted_memory_has_one_line(text):
    assert fail_with(RuntimeError(text)).startswith("error: out of memory (")


def test_with_several_processes_the_error_names_the_process(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(process, "LAUNCHER_WAIT", 0.0)
    assert fail_with(UserError("no")) == "error: process 1 of 2: no"
    monkeypatch.delenv("WORLD_SIZE")  # RANK alone is not a launcher's
    assert fail_with(UserError("no")) == "error: no"


def test_an_argument_that_becomes_part_of_a_path_is_a_plain_name():
    assert slug("resnet_large-2.0") == "resnet_large-2.0"
    for text in ("../x", "a/b", ".hidden", "", "a b", "a\n"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a name: use letters"):
            slug(text)
