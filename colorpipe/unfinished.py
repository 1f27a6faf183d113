"""A training that is not at its end: its whole state after each epoch, so that one that was killed goes on from there.

A state is a file runs/unfinished/<name>-<key>/<epoch>-<checksum>.safetensors, outside of what DVC removes. The key is a hash
of all that decides the result: code, settings, data, versions, hardware and threads. So a state that belongs to something
else is never taken, and one whose content has another checksum is said and not taken. The folder is one training's own: what
a kill in the middle of a write left there goes with it.
"""

import contextlib
import hashlib
import json
import shutil
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from colorpipe import checkpoints, environment, files, paths
from colorpipe.errors import UserError

Row = dict[str, float]


@dataclass
class Progress:
    """All that changes in a training: what trains it, the curves so far, and the weights of the best epoch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # of the order of the images
    curves: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    def mark_best(self) -> None:
        """The newest epoch is the best one."""
        self.best_epoch, self.best = len(self.curves), _copied(self.model.state_dict())


class State:
    """The state of one training on disk; written beside the training, which does not wait for the disk."""

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.folder = paths.UNFINISHED / f"{name.replace('/', '_')}-{key}"
        self.seconds = 0.0  # that the training took before this process
        self.begun = time.perf_counter()
        self.writer = ThreadPoolExecutor(1)
        self.written: Future | None = None

    def files(self) -> list[Path]:
        """This training's states, the newest last."""
        found = self.folder.glob("*-*.safetensors")
        return sorted(filter(Path.is_file, found), key=lambda path: path.name.split("-")[0].zfill(6))

    def elapsed(self) -> float:
        """Seconds that the training took, in all processes that had a part in it."""
        return self.seconds + time.perf_counter() - self.begun

    def save(self, progress: Progress) -> None:
        """Keep the state as it is now. Raises UserError where the one before could not be written."""
        if self.written:
            self.written.result()
        tensors = _copied({f"model.{name}": tensor for name, tensor in progress.model.state_dict().items()})
        parameters = progress.optimizer.state_dict()["state"]
        for number, moments in parameters.items():
            tensors |= _copied({f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()})
        tensors |= {"random.order": progress.generator.get_state(), "random.torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        if progress.best_epoch != len(progress.curves):  # the best weights are others
            tensors |= {f"best.{name}": tensor for name, tensor in progress.best.items()}
        about = {
            "curves": [list(row.items()) for row in progress.curves],  # as pairs: JSON would sort the names
            "best_epoch": progress.best_epoch,
            "seconds": self.elapsed(),
        }
        self.written = self.writer.submit(self._write, tensors, about, len(progress.curves))

    def _write(self, tensors: dict[str, Tensor], about: dict, epoch: int) -> None:
        before = self.files()
        path = self.folder / f"{epoch}-{_checksum(tensors, about)}.safetensors"
        checkpoints.save(path, tensors, about)
        for old in before:
            if old != path:
                old.unlink(missing_ok=True)

    def restore(self, progress: Progress) -> bool:
        """Put the training where the newest state has it; False where there is none to go on from, which is said."""
        alike = self.folder.name.rsplit("-", 1)[0] + "-????????????????"
        others = sorted(set(paths.UNFINISHED.glob(alike)) - {self.folder})
        if others:
            print(
                f"{self.name}: {others[0]} is of other code, params, data or hardware: not used, and yours to remove "
                "where no other training is at work on it"
            )
        for path in reversed(self.files()):
            try:
                tensors, about = checkpoints.load(path)
            except UserError:
                tensors, about = {}, {}
            if _checksum(tensors, about) != path.stem.split("-")[-1]:
                print(f"{self.name}: {path} is damaged: not used, and removed")
                path.unlink(missing_ok=True)
                continue
            self._put(progress, tensors, about)
            print(f"{self.name}: goes on after epoch {len(progress.curves)}, from {path}")
            return True
        return False

    def _put(self, progress: Progress, tensors: Mapping[str, Tensor], about: Mapping) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        progress.model.load_state_dict(part("model."))
        parameters = [parameter for group in progress.optimizer.param_groups for parameter in group["params"]]
        for number, parameter in enumerate(parameters):
            moments = part(f"optimizer.{number}.")
            for name, tensor in moments.items():  # laid out in memory as the parameter is: the fused step expects that
                same = tensor.shape == parameter.shape
                kept = torch.empty_like(parameter) if same else torch.empty_like(tensor, device=parameter.device)
                moments[name] = kept.detach().copy_(tensor)
            if moments:
                progress.optimizer.state[parameter] = moments
        progress.generator.set_state(tensors["random.order"])
        torch.set_rng_state(tensors["random.torch"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        progress.curves[:] = map(dict, about["curves"])
        progress.best_epoch = about["best_epoch"]
        progress.best = part("best.") or part("model.")
        self.seconds = about["seconds"]


@contextlib.contextmanager
def training(name: str, made_of: Mapping[str, object], inputs: Iterable[Path]) -> Iterator[State]:
    """The state of the training `name`, which `made_of` describes and which reads `inputs`; removed at a good end.

    Ctrl-C is passed on with a word on how to go on.
    """
    state = State(name, _key(made_of, inputs))
    with files.named(paths.UNFINISHED):
        state.folder.mkdir(parents=True, exist_ok=True)
        for begun in state.folder.glob(".*"):  # by a process that was killed
            begun.unlink()
    try:
        yield state
    except KeyboardInterrupt:
        done = f"its epochs are kept in {paths.UNFINISHED}: " if state.files() else ""
        raise KeyboardInterrupt(f"{name}: {done}`dvc repro` goes on") from None
    finally:
        state.writer.shutdown()
        with contextlib.suppress(OSError):  # there is a state in it
            state.folder.rmdir()
    shutil.rmtree(state.folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are in it
        paths.UNFINISHED.rmdir()


def _key(made_of: Mapping[str, object], inputs: Iterable[Path]) -> str:
    """A hash of the code that is loaded, the description, the inputs' content, the machine, its threads and the versions."""
    code = {
        name: _hash(Path(module.__file__).read_bytes())
        for name, module in sorted(sys.modules.items())
        if name.split(".")[0] == "colorpipe" and getattr(module, "__file__", None)
    }
    data = {}
    for path in inputs:
        try:
            with path.open("rb") as file:
                data[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise UserError(f"{path} is missing: `dvc repro` makes it") from None
    machine = {key: value for key, value in environment.describe().items() if key != "dvc"}
    decides = [made_of, code, data, machine, torch.get_num_threads()]
    return _hash(json.dumps(decides, sort_keys=True, default=str).encode())


def _checksum(tensors: Mapping[str, Tensor], about: Mapping) -> str:
    """A checksum of a state's content; a hash of so much would take time from the training."""
    found = zlib.crc32(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(name.encode(), found)
        found = zlib.crc32(tensor.reshape(-1).numpy(), found)
    return f"{found:08x}"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they are now, in memory of their own on the CPU."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
