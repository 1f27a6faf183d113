"""The download stage: a data set's archive, and what encoders and losses are initialized from."""

import shutil
from pathlib import Path

from colorpipe import config, files, weights
from colorpipe.config import ImageNetConfig, Params
from colorpipe.data.fetch import SourceError, check_hash, fetch
from colorpipe.data.imagenet import read_torchvision
from colorpipe.runtime.errors import UserError

BUNDLED = "bundled"


def download(data: str, params: Params) -> None:
    """Write data/<data>/raw and data/<data>/weights.

    Every encoder and loss has its weight file, with or without tensors, so that dvc.yaml can declare it row by row, and a
    change of settings reruns just the rows whose file changed.

    Args:
        data: a data set of params.yaml.
        params: its settings, the sources of ImageNet weights, and the losses' settings, which their files carry.

    Raises:
        UserError: a source cannot be fetched, or is not what params.yaml says.
    """
    get_archive(data, params)
    settings = params.data(data)
    for name, encoder in params.imagenet.items():
        if name not in params.losses:
            write_init(data, name, encoder if settings.pretrained else None, "pretrained=false", {})
    for name, loss_settings in params.losses.items():
        source = params.imagenet.get(name) if settings.lpips_weights == "imagenet" else None
        write_init(data, name, source, "lpips_weights=random", loss_settings)
    write_init(data, "none", None, "", {})


def get_archive(data: str, params: Params) -> None:
    """Put a data set's archive in place: bundled or fetched; of a folder of photographs, its manifest."""
    module, settings = config.load_plugin("datasets", data), params.data(data)
    if hasattr(module, "check_source"):
        module.check_source(f"datasets.{data}.source", settings.source)
    archive = files.raw_path(data) / module.ARCHIVE
    if settings.source == BUNDLED:
        if not hasattr(module, "bundle"):
            raise UserError(
                f"datasets.{data}.source: no archive is bundled for {data}: use an https URL, a file URL or a path"
            )
        archive.parent.mkdir(parents=True, exist_ok=True)
        module.bundle(archive)
        _check_packed(archive, settings.md5, "the photographs of the installed scikit-image")
    elif hasattr(module, "list_folder") and Path(settings.source).is_dir():
        if settings.md5:
            raise UserError(
                f"datasets.{data}.md5: it is of an archive, and the source is a folder: set it to ''"
            )
        module.list_folder(Path(settings.source), archive)
    else:
        instead = "use the bundled default (dataset=photos, large_dataset=photos96)"
        fetch(settings.source, files.ARCHIVES / module.ARCHIVE, "md5", settings.md5, instead)
        with files.atomic_write(archive) as temporary:
            shutil.copyfile(files.ARCHIVES / module.ARCHIVE, temporary)


def _check_packed(archive: Path, md5: str, source: str) -> None:
    """Check the md5 of an archive that was packed here. Raises UserError, and removes it, where it differs."""
    try:
        check_hash(archive, "md5", md5, source)
    except SourceError as error:
        archive.unlink()
        raise UserError(f"{source} {error}") from None


def write_init(
    data: str, name: str, source: ImageNetConfig | None, switch: str, settings: dict[str, object]
) -> None:
    """Write what an encoder or a loss is initialized from: ImageNet weights, or without a source only metadata."""
    target = files.init_weights_path(data, name)
    if source is None:
        weights.save(target, {}, {"weights": "random", **settings})
        return
    file = files.ARCHIVES / f"imagenet-{name}.pth"
    fetch(source.source, file, "sha256", source.sha256, f"do without it (datasets.{data}.{switch})")
    metadata = {"weights": "imagenet", "source": source.source, "sha256": source.sha256, **settings}
    weights.save(target, read_torchvision(file), metadata)
