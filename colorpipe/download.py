"""Fetching: an archive or a file of weights from an https URL, a file URL or a path, checked against its hash."""

import contextlib
import hashlib
import http.client
import importlib
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from colorpipe import checkpoints, paths
from colorpipe.errors import UserError
from colorpipe.params import DataSet, ImageNet, ImageNetWeights, Models

BUNDLED = "bundled"
TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 20


def download(data: str, settings: DataSet, imagenet: ImageNet, lpips_seed: int) -> None:
    """Put a data set's archive and the weights that its settings ask for in place."""
    module = importlib.import_module(f"colorpipe.datasets.{data}")
    archive = paths.raw(data) / module.ARCHIVE
    if settings.source == BUNDLED:
        if not hasattr(module, "bundle"):
            raise UserError(
                f"datasets.{data}.source: nothing is bundled for {data}; give an https URL, a file URL or a path"
            )
        archive.parent.mkdir(parents=True, exist_ok=True)
        module.bundle(archive)
        check(archive, "md5", settings.md5, "the photographs of the installed scikit-image")
    elif Path(settings.source).is_dir() and hasattr(module, "pack"):
        archive.parent.mkdir(parents=True, exist_ok=True)
        module.pack(Path(settings.source), archive)
        check(archive, "md5", settings.md5, settings.source)
    else:
        fetch(settings.source, paths.ARCHIVES / module.ARCHIVE, "md5", settings.md5)
        archive.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths.ARCHIVES / module.ARCHIVE, archive)

    encoder = "imagenet" if settings.pretrained else "random"
    vgg = settings.lpips_weights
    for model in Models.model_fields:
        put_weights(data, model, encoder, getattr(imagenet, model, None))  # not every architecture has them
    put_weights(data, "lpips", vgg, imagenet.vgg16, seed=lpips_seed)
    for name in ("mse", "xavier"):  # nothing to start from, whatever the settings
        put_weights(data, name, "random", None)


def put_weights(data: str, name: str, kind: str, source: ImageNetWeights | None, **drawn: int) -> None:
    """Write what a model or a loss starts from: ImageNet weights, or a file without tensors that says "random".

    Every name has its file, so that dvc.yaml can declare it row by row, and a change of settings reruns just the rows
    whose file changed. `drawn` says how a loss draws its random weights.
    """
    target = paths.weights(data, name)
    if kind == "random" or source is None:
        checkpoints.save(target, {}, {"weights": "random", **drawn})
        return
    torchvision_file = paths.ARCHIVES / f"imagenet-{name}.pth"
    fetch(source.source, torchvision_file, "sha256", source.sha256)
    description = {"weights": "imagenet", "source": source.source, "sha256": source.sha256}
    checkpoints.save(target, read_torchvision(torchvision_file), description)


def read_torchvision(path: Path) -> dict:
    """The tensors of a torchvision file of weights but its classification layers, named as today's layers are.

    Only tensors are loaded (`weights_only`). "features." is cut off, as the encoders have no such level; DenseNet's file
    still has the names of PyTorch 0.3, `norm.1` for `norm1`.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise UserError(f"{path} is no file of torchvision weights: {str(error).splitlines()[0]}") from error
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
    return {
        old.sub(r"\1\2.", name).removeprefix("features."): tensor
        for name, tensor in tensors.items()
        if not name.startswith(("fc.", "classifier."))
    }


def fetch(source: str, target: Path, algorithm: str, digest: str) -> None:
    """Put the file at `source` (an https or file URL, or a path) in place at `target`, whole and checked, or not at all.

    `digest` holds the hash's first hexadecimal digits (all, or at least 8); empty: not checked, which is said. A file
    already in place with the right hash is not fetched again. Raises UserError, one line with the source and the cause.
    """
    temporary = target.with_name(target.name + ".part")
    temporary.unlink(missing_ok=True)  # of a fetch that was killed
    if digest and target.is_file() and file_hash(target, algorithm).startswith(digest):
        print(f"{target} is in place, its {algorithm} is right")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _open(source) as (stream, size), temporary.open("wb") as file:
            _copy(stream, file, size, source)
        check(temporary, algorithm, digest, source)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check(path: Path, algorithm: str, digest: str, source: str) -> None:
    """Compare a file's hash with the one expected; say so where none is. Raises UserError, naming the source."""
    found = file_hash(path, algorithm)
    if not digest:
        print(f"{source}: {algorithm} not checked, as params.yaml gives none (it is {found})")
    elif not found.startswith(digest):
        raise UserError(f"{source} has {algorithm} {found}, expected {digest}: it is damaged, or another file")


def file_hash(path: Path, algorithm: str) -> str:
    """A file's hash in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextlib.contextmanager
def _open(source: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The source as a stream, with its size in bytes where that is known."""
    if source.startswith(("http://", "https://", "file:")):
        try:
            request = urllib.request.Request(source, headers={"User-Agent": "colorpipe"})
            response = urllib.request.urlopen(request, timeout=TIMEOUT)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = getattr(error, "reason", None) or error
            raise UserError(f"{source} cannot be fetched: {reason}") from error
        with response:
            size = response.headers.get("Content-Length")
            yield response, int(size) if size else None
    elif Path(source).is_file():
        with Path(source).open("rb") as stream:
            yield stream, Path(source).stat().st_size
    else:
        raise UserError(f"{source} is no file here; give an https URL, a file URL or the path of a file")


def _copy(stream: BinaryIO, file: BinaryIO, size: int | None, source: str) -> None:
    done = 0
    with tqdm(total=size, unit="B", unit_scale=True, desc=Path(source).name, disable=None, leave=False) as bar:
        while True:
            try:
                chunk = stream.read(CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise UserError(f"{source} broke off after {done} bytes: {error}; try again") from error
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
    if size is not None and done != size:
        raise UserError(f"{source} broke off after {done} of {size} bytes; try again")
