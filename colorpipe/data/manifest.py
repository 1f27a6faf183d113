"""A folder of photographs, listed: names, sizes and hashes stand for the files, which stay where they are."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from colorpipe import files
from colorpipe.data import images
from colorpipe.runtime.errors import UserError, name_files, printable_path
from colorpipe.runtime.parallel import ordered_map

START = b"{"  # of the file


@dataclass(frozen=True)
class Entry:
    """A photograph: its path in the folder with forward slashes, its size in bytes, and its sha256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A folder, its photographs by name, and its other files but hidden ones."""

    folder: Path
    photographs: tuple[Entry, ...]
    unused: tuple[str, ...]


def write(folder: Path, target: Path) -> None:
    """Write the manifest of a folder, atomically, and report the files that are not photographs.

    Raises UserError where a folder or a file in it cannot be read, and where there are no photographs.
    """
    found = images.inside(folder)
    for path in found:
        if path.is_dir():
            raise UserError(
                f"{printable_path(path)} cannot be read: permission denied: check the folder's permissions"
            )
    names = sorted(path.relative_to(folder).as_posix() for path in found)
    photographs, unused = images.sort_out(names)
    if unused:
        print(f"folder: not used, as not {images.KINDS}: {name_files(unused)}")
    if not photographs:
        raise UserError(
            f"{printable_path(folder)} holds no photographs ({images.KINDS}): put some there"
        )
    for name in photographs:
        if not (folder / name).is_file():
            raise UserError(
                f"{printable_path(folder / name)} is a pipe, a broken link or the like: remove or rename it"
            )

    def describe(name: str) -> Entry:
        content = _read(folder / name)
        return Entry(name, len(content), hashlib.sha256(content).hexdigest())

    bar = tqdm(
        ordered_map(describe, photographs),
        "listing",
        len(photographs),
        unit="photo",
        disable=None,
        leave=False,
    )
    files.write_json(
        target,
        {"folder": str(folder), "photographs": [asdict(entry) for entry in bar], "unused": unused},
    )


def load(path: Path) -> Manifest:
    """The manifest that `write` wrote. Raises UserError where it is missing or damaged."""
    content = files.read_json(path)
    try:
        entries = tuple(Entry(**entry) for entry in content["photographs"])
        return Manifest(Path(content["folder"]), entries, tuple(content["unused"]))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): remove it and run `dvc repro`") from None


def content(manifest: Manifest, entry: Entry) -> bytes:
    """The file of an entry. Raises UserError where it is no longer the one that was listed."""
    path = manifest.folder / entry.name
    found = _read(path)
    if len(found) != entry.bytes or hashlib.sha256(found).hexdigest() != entry.sha256:
        raise UserError(
            f"{printable_path(path)} has changed since it was listed: run `dvc repro` again"
        )
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{printable_path(path)} is gone since it was listed: run `dvc repro` again"
        ) from None
    except PermissionError:
        raise UserError(
            f"{printable_path(path)} cannot be read: permission denied: check the file's permissions"
        ) from None
