"""Checkpoints, from which a killed training run continues as if it had never stopped.

A checkpoint is the whole training state after an epoch, in the file
runs/resume/<name>-<key>/<epoch>-<checksum>.pt. DVC does not delete it. The key is a hash of all
that decides the result: code, settings, data, versions, hardware and threads. So a checkpoint of a
different run is never used. If the checksum does not match, the file is corrupt and is deleted with
a message.
"""

import contextlib
import copy
import hashlib
import json
import shutil
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from colorpipe import files
from colorpipe.runtime import machine
from colorpipe.runtime.errors import convert_write_errors, missing_output
from colorpipe.training.state import TrainState

CHUNK = 1 << 20  # bytes
# Packages that cannot change a result.
NOT_IN_KEY = ("colorpipe.runtime", "colorpipe.report", "colorpipe.app")


class Checkpoint:
    """The checkpoint of one training run. It is written in the background."""

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.folder = files.RESUME / f"{name.replace('/', '_')}-{key}"
        self.previous_seconds = 0.0  # the run's time in earlier processes
        self.started = time.perf_counter()
        self.writer = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    def paths(self) -> list[Path]:
        """Return the checkpoint files of this run, the newest last."""
        paths = filter(Path.is_file, self.folder.glob("*-*.pt"))
        return sorted(paths, key=lambda path: path.name.split("-")[0].zfill(6))

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, in all its processes."""
        return self.previous_seconds + time.perf_counter() - self.started

    def save(self, state: TrainState) -> None:
        """Save the current state, or raise UserError if the previous one was not written."""
        if self.pending:
            self.pending.result()
        rng = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            rng["cuda"] = torch.cuda.get_rng_state()
        content = copy.deepcopy(state.state_dict()) | {"rng": rng, "seconds": self.elapsed()}
        self.pending = self.writer.submit(self._write, content, len(state.history))

    def load(self) -> dict[str, Any] | None:
        """Return the content of the newest intact checkpoint on the CPU, if there is one."""
        self._mention_others()
        for path in reversed(self.paths()):
            if _checksum(path) != path.stem.split("-")[-1]:
                print(f"{self.name}: {path} is corrupt: ignored and deleted")
                path.unlink(missing_ok=True)
                continue
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.previous_seconds = content["seconds"]
            print(f"{self.name}: resuming after epoch {len(content['history'])}, from {path}")
            return content
        return None

    def _mention_others(self) -> None:
        pattern = self.folder.name.rsplit("-", 1)[0] + "-????????????????"
        others = sorted(set(files.RESUME.glob(pattern)) - {self.folder})
        if others:
            print(
                f"{self.name}: {others[0]} is not used, because it was made with other code, "
                "params, data or hardware: delete it if no other training run uses it"
            )

    def _write(self, content: dict[str, Any], epoch: int) -> None:
        old = self.paths()
        unnamed = self.folder / "checkpoint.pt"
        with files.atomic_write(unnamed) as temporary, temporary.open("wb") as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # torch hides the OSError of a full disk in its own error
                raise error.__context__ or error from None
        path = self.folder / f"{epoch}-{_checksum(unnamed)}.pt"
        unnamed.replace(path)
        for other in old:
            if other != path:
                other.unlink(missing_ok=True)


@contextlib.contextmanager
def checkpointed(
    name: str, metadata: Mapping[str, object], inputs: Iterable[Path]
) -> Iterator[Checkpoint]:
    """Yield the checkpoint of a training run, and delete it if the run completes.

    Args:
        name: A colorizer, or "pretext/<init>-<mode>-<labels>".
        metadata: Description of the run: model, settings, data.
        inputs: The files that the run reads.

    Raises:
        UserError: An input is missing, or the folder cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed. The message says how to resume.
    """
    checkpoint = Checkpoint(name, _make_key(metadata, inputs))
    with convert_write_errors(files.RESUME):
        checkpoint.folder.mkdir(parents=True, exist_ok=True)
        # Delete what a killed process has left half-written.
        for partial in [*checkpoint.folder.glob(".*"), *checkpoint.folder.glob("checkpoint.pt")]:
            partial.unlink()
    try:
        yield checkpoint
    except KeyboardInterrupt:
        kept = f"its epochs are kept in {files.RESUME}; " if checkpoint.paths() else ""
        raise KeyboardInterrupt(f"{name}: {kept}run `dvc repro` to resume") from None
    finally:
        checkpoint.writer.shutdown()
        with contextlib.suppress(OSError):  # the folder holds a checkpoint
            checkpoint.folder.rmdir()
    shutil.rmtree(checkpoint.folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # other runs have checkpoints
        files.RESUME.rmdir()


def restore(state: TrainState, content: dict[str, Any]) -> None:
    """Restore a training state and torch's random generators from a checkpoint's content."""
    state.load_state_dict(content)
    torch.set_rng_state(content["rng"]["cpu"])
    if "cuda" in content["rng"]:
        torch.cuda.set_rng_state(content["rng"]["cuda"])


def _make_key(metadata: Mapping[str, object], inputs: Iterable[Path]) -> str:
    """Hash the loaded code, the metadata, the inputs, the machine, its threads and the versions."""
    code = {
        name: _hash(Path(module.__file__ or "").read_bytes())
        for name, module in sorted(sys.modules.copy().items())
        if name.split(".")[0] == "colorpipe"
        and not name.startswith(NOT_IN_KEY)
        and getattr(module, "__file__", None)
    }
    input_hashes = {}
    for path in inputs:
        try:
            input_hashes[str(path)] = files.hash_file(path, "sha256")
        except FileNotFoundError:
            raise missing_output(path) from None
    hardware = {key: value for key, value in machine.describe_machine().items() if key != "dvc"}
    content = [metadata, code, input_hashes, hardware, torch.get_num_threads()]
    return _hash(json.dumps(content, sort_keys=True, default=str).encode())


def _checksum(path: Path) -> str:
    """Return the CRC-32 of a file. A cryptographic hash of a checkpoint would take too long."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return f"{checksum:08x}"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
