"""Fetching: an archive or a file of weights from an https URL, a file URL or a path, checked against its hash."""

import contextlib
import fcntl
import hashlib
import http.client
import importlib
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from colorpipe import checkpoints, files, paths
from colorpipe.errors import UserError, one_line
from colorpipe.params import DataSet, ImageNet, ImageNetWeights, Models

BUNDLED = "bundled"
TIMEOUT = 60  # seconds without a byte, or with fewer than LEAST a second
LEAST = 1000
WAITS = (1, 3, 9)  # seconds before the next try
RETRIED = (408, 425, 429)  # answers, beside a server's own errors, that may be others in a moment
CHUNK = 1 << 20
HTML = "sent a page of HTML, not the file: the address has changed, or a network asks to log in"


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
        check_own(archive, settings.md5, "the photographs of the installed scikit-image")
    elif Path(settings.source).is_dir() and hasattr(module, "pack"):
        archive.parent.mkdir(parents=True, exist_ok=True)
        module.pack(Path(settings.source), archive)
        check_own(archive, settings.md5, settings.source)
    else:
        instead = "take the bundled default (dataset=photos, large_dataset=photos96)"
        fetch(settings.source, paths.ARCHIVES / module.ARCHIVE, "md5", settings.md5, instead)
        with files.replaced(archive) as temporary:
            shutil.copyfile(paths.ARCHIVES / module.ARCHIVE, temporary)

    encoder = "imagenet" if settings.pretrained else "random"
    vgg = settings.lpips_weights
    for model in Models.model_fields:
        put_weights(data, model, encoder, getattr(imagenet, model, None))  # not every architecture has them
    put_weights(data, "lpips", vgg, imagenet.vgg16, seed=lpips_seed)
    for name in ("mse", "xavier"):  # nothing to start from, whatever the settings
        put_weights(data, name, "random", None)


def check_own(archive: Path, md5: str, what: str) -> None:
    """Compare the md5 of an archive that was packed here. Raises UserError, and removes it, where it is another."""
    try:
        check(archive, "md5", md5, what)
    except SourceError as wrong:
        archive.unlink()
        raise UserError(f"{what} {wrong}") from None


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
    switch = "lpips_weights=random" if name == "lpips" else "pretrained=false"
    fetch(source.source, torchvision_file, "sha256", source.sha256, f"do without (datasets.{data}.{switch})")
    description = {"weights": "imagenet", "source": source.source, "sha256": source.sha256}
    checkpoints.save(target, read_torchvision(torchvision_file), description)


def read_torchvision(path: Path) -> dict:
    """The tensors of a torchvision file of weights but its classification layers, named as today's layers are.

    Only tensors are loaded (`weights_only`). "features." is cut off, as the encoders have no such level; DenseNet's file
    still has the names of PyTorch 0.3, `norm.1` for `norm1`.
    """
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # of what is refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {
            name: tensor for name, tensor in state.items() if isinstance(tensor, torch.Tensor) and isinstance(name, str)
        }
    except Exception as error:  # torch.load raises many kinds for a damaged file
        raise UserError(
            f"{path} is no whole file of torchvision weights, tensors alone ({one_line(error)}): remove it, `dvc repro` "
            "fetches it again"
        ) from error
    expected = "expected torchvision's trained weights"
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or str(tensor.dtype).removeprefix("torch.") not in checkpoints.KINDS:
            raise UserError(f"{path}: {one_line(name)} holds other numbers than float32; {expected}")
        if not tensor.isfinite().all():
            raise UserError(f"{path}: {one_line(name)} holds values that are not finite; {expected}")
    if not tensors:
        raise UserError(f"{path} holds no weights by name, as torchvision's files do: give another file")
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
    return {
        old.sub(r"\1\2.", name).removeprefix("features."): tensor.clone()  # two names may share their memory
        for name, tensor in tensors.items()
        if not name.startswith(("fc.", "classifier."))
    }


def fetch(source: str, target: Path, algorithm: str, digest: str, instead: str) -> None:
    """Put the file at `source` (an https or file URL, or a path) in place at `target`, whole and checked, or not at all.

    Checked are its size, where the server tells it, and its hash, of which `digest` is the beginning; empty: not checked,
    which is said. A file already in place with the right hash is not fetched again. A URL is tried several times, each try
    going on where the last one broke off, also that of a process that was killed. Raises UserError, one line with the
    source, what is wrong with it, and the ways on: `instead` is the last of them.
    """
    name = one_line(source, 1000)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent):
            _put(source, name, target, algorithm, digest)
    except SourceError as wrong:
        place = f"put the file in place as {target}{'' if digest else f', with its {algorithm} in params.yaml'}"
        raise UserError(f"{name} {wrong}. Ways on: run the same again, {place}, or {instead}") from wrong
    except OSError as error:
        raise UserError(
            f"{name}: {target} cannot be written: {error.strerror or error}; make room there, or give leave, and run the "
            f"same again, put the file in place by hand, or {instead}"
        ) from error


def _put(source: str, name: str, target: Path, algorithm: str, digest: str) -> None:
    """What `fetch` does, in which no other process has a part. What is of no use to the next try is removed."""
    if digest and target.is_file():
        if (found := file_hash(target, algorithm)).startswith(digest):
            print(f"{target} is in place, its {algorithm} is right")
            return
        print(f"{target} is in place, but its {algorithm} is {found}, not {digest}: fetched anew from {name}")
    part = target.with_name(f".{target.name}.{digest or 'unchecked'}.part")
    if not digest:
        part.unlink(missing_ok=True)  # nothing would tell if it were of another file
    resumed = part.exists()
    try:
        _receive(source, part)
        try:
            check(part, algorithm, digest, name)
        except SourceError:
            if not resumed:
                raise
            part.unlink()  # it began with another file's bytes
            _receive(source, part)
            check(part, algorithm, digest, name)
        part.replace(target)
    except (SourceError, OSError) as wrong:
        if not getattr(wrong, "goes_on", False):  # on a full disk, too: it would stay full
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into `folder`: two stages may want the same file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process fetches into {folder}: waits for it", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class SourceError(Exception):
    """What is wrong with a source; whether to try again at once, and whether the next try may go on with what came."""

    def __init__(self, message: str, *, again: bool = False, goes_on: bool = False) -> None:
        super().__init__(message)
        self.again, self.goes_on = again, goes_on


def check(path: Path, algorithm: str, digest: str, source: str) -> None:
    """Compare a file's hash with the one expected; say so where none is. Raises SourceError where it is another."""
    found = file_hash(path, algorithm)
    if not digest:
        print(f"{source}: {algorithm} not checked, as params.yaml gives none (it is {found})")
    elif not found.startswith(digest):
        raise SourceError(f"has {algorithm} {found}, expected {digest}: it is damaged, or another file")


def file_hash(path: Path, algorithm: str) -> str:
    """A file's hash in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _receive(source: str, part: Path) -> None:
    """Copy all of the source to `part`, going on with what is there."""
    if not source.lower().startswith(("http://", "https://", "file:")):
        if not os.path.isfile(source):  # noqa: PTH113 - a Path raises for a name that is too long
            raise SourceError("is no file here; give an https URL, a file URL or the path of a file")
        if not os.access(source, os.R_OK):
            raise SourceError("may not be read: give yourself leave")
        with Path(source).open("rb") as stream:
            _copy(stream, part, Path(source).stat().st_size, 0, Path(source).name)
        return
    version: dict[str, str] = {}
    for wait in (*WAITS, None):
        try:
            _try(source, part, version)
            return
        except SourceError as wrong:
            if wait is None or not wrong.again:
                raise
            print(f"{one_line(source, 1000)} {wrong}: again in {wait} s", flush=True)
            time.sleep(wait)


def _try(source: str, part: Path, version: dict[str, str]) -> None:
    """One request for what is not there yet; a part only of the same version, which the first answer may tell."""
    begun = part.stat().st_size if part.exists() and not source.lower().startswith("file:") else 0
    asked = {"Range": f"bytes={begun}-", **version} if begun else {}
    sent = {"User-Agent": "colorpipe", "Accept-Encoding": "identity", **asked}
    try:
        with urllib.request.urlopen(urllib.request.Request(source, headers=sent), timeout=TIMEOUT) as response:
            headers = response.headers
            if response.status != http.client.PARTIAL_CONTENT:
                begun = 0  # the server gives no parts, or has another version
                if tag := headers.get("ETag") or headers.get("Last-Modified"):
                    version["If-Range"] = tag
            elif not asked or not headers.get("Content-Range", f"bytes {begun}-").startswith(f"bytes {begun}-"):
                part.unlink(missing_ok=True)
                raise SourceError("sent another part than the one asked for", again=True)
            _copy(response, part, _size(headers, begun), begun, Path(source).name)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and begun:
            return  # nothing is missing: the hash will tell
        again = error.code in RETRIED or error.code >= 500
        raise SourceError(f"answered {error.code} {one_line(error.reason)}", again=again, goes_on=begun > 0) from error
    except TimeoutError as error:
        raise SourceError(f"sent nothing for {TIMEOUT} s", again=True, goes_on=True) from error
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, BaseException) else error
        if isinstance(reason, TimeoutError):
            raise SourceError(f"sent nothing for {TIMEOUT} s", again=True, goes_on=True) from error
        network = not source.startswith("file:")
        raise SourceError(f"cannot be reached: {one_line(reason)}", again=network, goes_on=network) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise SourceError(f"is no address, or leads to none: {one_line(error)}") from error
    except (http.client.HTTPException, ConnectionError) as error:
        raise SourceError(f"broke off: {one_line(error)}", again=True, goes_on=True) from error


def _size(headers: Message, begun: int) -> int | None:
    """The size of the whole file, where an answer that begins at byte `begun` tells it."""
    if found := re.fullmatch(r"bytes \d+-\d+/(\d{1,19})", headers.get("Content-Range", "")):
        return int(found[1])
    length = headers.get("Content-Length", "")
    return begun + int(length) if re.fullmatch(r"\d{1,19}", length) else None


def _copy(stream: BinaryIO, part: Path, size: int | None, begun: int, title: str) -> None:
    """Append the stream to the first `begun` bytes of `part`, under a bar."""
    free = shutil.disk_usage(part.parent).free
    if size is not None and size - begun > free:
        raise SourceError(f"is {size / 1e6:,.0f} MB, with room for {free / 1e6:,.0f} MB in {part.parent}", goes_on=True)
    done, since, came = begun, time.monotonic(), 0
    with (
        part.open("r+b" if begun else "wb") as file,
        tqdm(total=size, initial=begun, unit="B", unit_scale=True, desc=title, disable=None, leave=False) as bar,
    ):
        file.truncate(begun)
        file.seek(begun)
        while chunk := _read(stream):
            if not done and chunk.lstrip()[:5].lower().startswith((b"<!", b"<?", b"<html")):
                raise SourceError(HTML)
            file.write(chunk)
            done, came = done + len(chunk), came + len(chunk)
            bar.update(len(chunk))
            if time.monotonic() - since > TIMEOUT:
                if came < LEAST * TIMEOUT:
                    raise SourceError(f"sent {came} bytes in {TIMEOUT} s", again=True, goes_on=True)
                since, came = time.monotonic(), 0
    if size is not None and done != size:
        raise SourceError(f"broke off after {done} of {size} bytes", again=True, goes_on=done < size)
    if not done:
        raise SourceError("is empty")


def _read(stream: BinaryIO) -> bytes:
    """The next bytes as they come, or none at the end. Raises SourceError where the source, a disk or TLS, gives way."""
    try:
        return stream.read1(CHUNK)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        raise SourceError(f"cannot be read: {one_line(error)}", again=True, goes_on=True) from error
