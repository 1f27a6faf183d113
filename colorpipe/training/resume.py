"""Resuming: the whole training state after each epoch, so that a killed training continues as if it had never stopped.

A checkpoint is a file runs/resume/<name>-<key>/<epoch>-<checksum>.pt, outside of what DVC removes. The key is a hash of all
that decides the result: code, settings, data, versions, hardware and threads; so a checkpoint of anything else is never
used. The checksum is that of the file, so a corrupt checkpoint is reported and ignored. The folder belongs to one training:
what a kill in the middle of a write left there is removed with it.
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
from colorpipe.runtime.errors import UserError
from colorpipe.training.state import TrainState

CHUNK = 1 << 20  # bytes
NOT_IN_KEY = ("colorpipe.runtime", "colorpipe.report", "colorpipe.app")  # cannot change a result


class Checkpoint:
    """The checkpoint of one training on disk, written in the background."""

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.folder = files.RESUME / f"{name.replace('/', '_')}-{key}"
        self.previous_seconds = 0.0  # of the training, in earlier processes
        self.started = time.perf_counter()
        self.writer = ThreadPoolExecutor(1)
        self.pending: Future[None] | None = None

    def files(self) -> list[Path]:
        """This training's checkpoints, the newest last."""
        found = self.folder.glob("*-*.pt")
        return sorted(
            filter(Path.is_file, found), key=lambda path: path.name.split("-")[0].zfill(6)
        )

    def elapsed(self) -> float:
        """Seconds of the training, in all its processes."""
        return self.previous_seconds + time.perf_counter() - self.started

    def save(self, state: TrainState) -> None:
        """Save the state as it is now. Raises UserError where the previous one could not be written."""
        if self.pending:
            self.pending.result()
        rng = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            rng["cuda"] = torch.cuda.get_rng_state()
        content = copy.deepcopy(state.state_dict()) | {"rng": rng, "seconds": self.elapsed()}
        self.pending = self.writer.submit(self._write, content, len(state.history))

    def _write(self, content: dict[str, Any], epoch: int) -> None:
        old = self.files()
        unnamed = self.folder / "checkpoint.pt"
        with files.atomic_write(unnamed) as temporary:
            torch.save(content, temporary)
        path = self.folder / f"{epoch}-{_checksum(unnamed)}.pt"
        unnamed.replace(path)
        for other in old:
            if other != path:
                other.unlink(missing_ok=True)

    def restore(self, state: TrainState) -> bool:
        """Restore the newest checkpoint; False where there is none, or a corrupt one, which is reported."""
        same_name = self.folder.name.rsplit("-", 1)[0] + "-????????????????"
        others = sorted(set(files.RESUME.glob(same_name)) - {self.folder})
        if others:
            print(
                f"{self.name}: {others[0]} belongs to other code, params, data or hardware: ignored; remove it if no other "
                "training uses it"
            )
        for path in reversed(self.files()):
            if _checksum(path) != path.stem.split("-")[-1]:
                print(f"{self.name}: {path} is corrupt: ignored and removed")
                path.unlink(missing_ok=True)
                continue
            content = torch.load(path, map_location="cpu", weights_only=True)
            state.load_state_dict(content)
            torch.set_rng_state(content["rng"]["cpu"])
            if "cuda" in content["rng"]:
                torch.cuda.set_rng_state(content["rng"]["cuda"])
            self.previous_seconds = content["seconds"]
            print(f"{self.name}: resuming after epoch {len(state.history)}, from {path}")
            return True
        return False


@contextlib.contextmanager
def checkpointed(
    name: str, metadata: Mapping[str, object], inputs: Iterable[Path]
) -> Iterator[Checkpoint]:
    """The checkpoint of the training `name`, removed when it completes.

    Args:
        name: a colorizer, "pretext/<init>-<mode>-<labels>" or "judge/<data>".
        metadata: what describes the training: model, settings, data.
        inputs: the files that it reads.

    Raises:
        UserError: an input is missing, or the folder cannot be written.
        KeyboardInterrupt: Ctrl-C, with a message on how to resume.
    """
    checkpoint = Checkpoint(name, _key(metadata, inputs))
    with files.naming_write_errors(files.RESUME):
        checkpoint.folder.mkdir(parents=True, exist_ok=True)
        for partial in [
            *checkpoint.folder.glob(".*"),
            *checkpoint.folder.glob("checkpoint.pt"),
        ]:  # of a killed process
            partial.unlink()
    try:
        yield checkpoint
    except KeyboardInterrupt:
        kept = f"its epochs are kept in {files.RESUME}; " if checkpoint.files() else ""
        raise KeyboardInterrupt(f"{name}: {kept}run `dvc repro` to resume") from None
    finally:
        checkpoint.writer.shutdown()
        with contextlib.suppress(OSError):  # there is a checkpoint in it
            checkpoint.folder.rmdir()
    shutil.rmtree(checkpoint.folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # there are others in it
        files.RESUME.rmdir()


def _key(metadata: Mapping[str, object], inputs: Iterable[Path]) -> str:
    """A hash of the loaded code, the metadata, the inputs' content, the machine, its threads and the versions."""
    code = {
        name: _hash(Path(module.__file__ or "").read_bytes())
        for name, module in sorted(sys.modules.copy().items())
        if name.split(".")[0] == "colorpipe"
        and not name.startswith(NOT_IN_KEY)
        and getattr(module, "__file__", None)
    }
    data = {}
    for path in inputs:
        try:
            with path.open("rb") as file:
                data[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise UserError(f"{path} is missing: run `dvc repro` to create it") from None
    hardware = {key: value for key, value in machine.describe().items() if key != "dvc"}
    decisive = [metadata, code, data, hardware, torch.get_num_threads()]
    return _hash(json.dumps(decisive, sort_keys=True, default=str).encode())


def _checksum(path: Path) -> str:
    """The CRC-32 of a file; a cryptographic hash of so much would cost the training time."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return f"{checksum:08x}"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
