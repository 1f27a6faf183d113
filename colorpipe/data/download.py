"""The download stage: it finds or downloads a data set's source and its initial weights."""

import contextlib
import http.client
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

import torch

from colorpipe import config, files, weights
from colorpipe.config import DatasetConfig, ImageNetConfig, Params
from colorpipe.data.imagenet import load_imagenet_weights
from colorpipe.runtime.errors import UserError, one_line

DOWNLOADING = ".download-"  # starts the names of the folders of unfinished downloads
DAY = 24 * 60 * 60  # seconds


def download(data: str, params: Params) -> None:
    """Write data/<data>/source.json and data/<data>/weights.

    Each model and each loss has a weight file, with or without tensors. So dvc.yaml can declare it
    for each colorizer, and a change of settings retrains only colorizers whose file changed.

    Args:
        data: Name of a data set in params.yaml.
        params: Settings of the data set, and sources of ImageNet weights.

    Raises:
        UserError: A source cannot be found or downloaded, or is not what params.yaml says.
    """
    settings, names = params.data(data), files.read_json(files.NAMES)
    files.write_json(files.source_path(data), find_source(data, settings))
    if settings.start in ("random", "imagenet"):
        sources = params.imagenet if settings.start == "imagenet" else {}
        alternative = f"set datasets.{data}.start=random"
        for model in names["models"]:
            write_weights(data, model, sources.get(model), alternative)
    else:
        write_colorizer(data, settings.start, names["models"])
    sources = params.imagenet if settings.lpips_weights == "imagenet" else {}
    alternative = f"set datasets.{data}.lpips_weights=random"
    for loss in names["losses"]:
        write_weights(data, loss, sources.get(loss), alternative)


def find_source(data: str, settings: DatasetConfig) -> dict[str, Any]:
    """Return the content of source.json: what `split` reads.

    For an archive, it is the archive's path, relative to the project's root, and its md5. Archives
    are downloaded to data/archives. Other data sets describe their sources themselves.

    Args:
        data: Name of a data set in params.yaml.
        settings: Settings of the data set.

    Raises:
        UserError: The source cannot be found or downloaded, or is not what `settings` say.
    """
    module, key = config.load_plugin("datasets", data), f"datasets.{data}"
    if not hasattr(module, "ARCHIVE"):
        source: dict[str, Any] = module.describe_source(key, settings)
        return source
    if not settings.md5:
        local = _local_path(settings.source)
        md5 = f", {files.hash_file(local, 'md5')}" if local and local.is_file() else ""
        raise UserError(f"{key}.md5 is empty: set it to the md5 of {settings.source}{md5}")
    alternative = "use the bundled photographs (dataset=photos, large_dataset=photos96)"
    path = find_file(settings.source, module.ARCHIVE, "md5", settings.md5, alternative)
    archive = path if path.is_absolute() else path.relative_to(files.ROOT)
    return {"archive": archive.as_posix(), "md5": settings.md5}


def write_weights(data: str, name: str, source: ImageNetConfig | None, alternative: str) -> None:
    """Write the weight file that a model or a loss starts from.

    Args:
        data: Name of the data set.
        name: Name of the model or the loss.
        source: Source of ImageNet weights. None: the file holds only metadata.
        alternative: What to do if the weights cannot be downloaded, for the error message.

    Raises:
        UserError: The source cannot be found or downloaded, or holds no such weights.
    """
    target = files.start_path(data, name)
    if source is None:
        weights.save(target, {}, {"weights": "random"})
        return
    path = find_file(source.source, f"imagenet-{name}.pth", "sha256", source.sha256, alternative)
    metadata = {"weights": "imagenet", "source": source.source, "sha256": source.sha256}
    weights.save(target, load_imagenet_weights(path), metadata)


def write_colorizer(data: str, start: str, models: Sequence[str]) -> None:
    """Write the weights of a trained colorizer as the start of its model.

    The other models start at random.

    Args:
        data: Name of the data set.
        start: A colorizer, as `weights.find_weights` takes it.
        models: The models in use.

    Raises:
        UserError: There are no such weights, or they are those of another kind of model.
    """
    key = f"datasets.{data}.start"
    try:
        path = weights.find_weights(start, key)
    except UserError as error:
        raise UserError(f"{error}; or use random or imagenet") from None
    tensors, metadata = weights.load(path)
    if metadata.get("model") not in models or "classes" in metadata:
        raise UserError(
            f"{key}: {path} is not a colorizer with a model of dvc.yaml: use a colorizer with "
            f"{' or '.join(models)}"
        )
    print(f"{data}: {metadata['model']} starts from {path}, and other models start at random")
    for model in models:
        if model == metadata["model"]:
            weights.save(files.start_path(data, model), tensors, {**metadata, "start_of": start})
        else:
            write_weights(data, model, None, "")


def find_file(
    source: str, name: str, algorithm: Literal["md5", "sha256"], digest: str, alternative: str
) -> Path:
    """Return the path of a file with a known hash, which is downloaded if `source` is a URL.

    A download is put into data/archives. If a file with the right hash is there already, it is not
    downloaded again. A file gets its name only after its hash is checked.

    Args:
        source: An https URL, a file URL, or a path relative to the project's root.
        name: Name of the file in data/archives.
        algorithm: Algorithm of the hash.
        digest: The hash in hexadecimal digits. A sha256 may be shortened to its first digits.
        alternative: What else to do if there is no such file, for the error message.

    Raises:
        UserError: The file cannot be found or downloaded, or has another hash.
    """
    local = _local_path(source)
    path = local or files.ARCHIVES / name
    shown = one_line(source, 1000)
    if path.is_file():
        actual = files.hash_file(path, algorithm)
        if actual.startswith(digest):
            return path
        if local:
            raise UserError(
                f"{shown} has the {algorithm} {actual}, not {digest}: use the right file, correct "
                f"the {algorithm} in params.yaml, or {alternative}"
            )
        print(f"{path} has the {algorithm} {actual}, not {digest}")
    elif local:
        raise UserError(
            f"{shown} is not a file: use an https URL or the path of a file, or {alternative}"
        )
    print(f"downloading {shown} to {path}", flush=True)
    try:
        files.ARCHIVES.mkdir(parents=True, exist_ok=True)
        _delete_abandoned()
        with tempfile.TemporaryDirectory(prefix=DOWNLOADING, dir=files.ARCHIVES) as folder:
            if algorithm == "md5":
                from torchvision.datasets.utils import download_url  # late: it takes seconds

                download_url(source, folder, name, digest)
            else:
                torch.hub.download_url_to_file(source, f"{folder}/{name}", digest)
            Path(folder, name).replace(path)
    except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
        raise UserError(
            f"{shown}: the file with the {algorithm} {digest} cannot be downloaded "
            f"({one_line(error)}): run the command again, put the file into place as {path}, or "
            f"{alternative}"
        ) from error
    return path


def _delete_abandoned() -> None:
    """Delete the folders of downloads that started more than a day ago.

    Killed downloads leave such folders.
    """
    for folder in files.ARCHIVES.glob(f"{DOWNLOADING}*"):
        with contextlib.suppress(FileNotFoundError):  # a download that has just ended
            if time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder, ignore_errors=True)


def _local_path(source: str) -> Path | None:
    """Return the path that a source names, or None if the source is to be downloaded."""
    scheme = source.partition(":")[0].lower()
    if scheme == "file":
        return Path(url2pathname(urlsplit(source).path))
    return None if scheme in ("http", "https") else files.ROOT / source
