"""Listing a folder's photographs with their hashes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from colorpipe.data import album, images
from colorpipe.runtime.errors import UserError, name_files, permission_error, printable_path
from colorpipe.runtime.parallel import ordered_map


def list_photographs(folder: Path) -> dict[str, Any]:
    """Return the names and sha256 of all photographs in and below a folder.

    Other files are reported.

    Raises:
        UserError: There are no photographs, or a file or folder cannot be read.
    """
    paths, system = album.list_files(folder)
    for path in paths:
        if path.is_dir():
            raise permission_error(path)
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    photographs, others = album.separate_photographs(names, images.SUFFIXES)
    print_skipped(f"not {images.KINDS}", others)
    if system:
        print(f"folder: {album.explain_skipped([path.relative_to(folder) for path in system])}")
    if not photographs:
        raise UserError(
            f"{printable_path(folder)} holds no photographs ({images.KINDS}): put some there"
        )
    for name in photographs:
        if not (folder / name).is_file():
            raise UserError(
                f"{printable_path(folder / name)} is not a regular file, but a pipe or a broken "
                "link: delete or rename it"
            )

    def describe(name: str) -> dict[str, Any]:
        return {"name": name, "sha256": hashlib.sha256(_read_file(folder / name)).hexdigest()}

    entries = tqdm(
        ordered_map(describe, photographs),
        "listing",
        len(photographs),
        unit="photo",
        disable=None,
        leave=False,
    )
    return {"folder": str(folder), "photographs": list(entries)}


def print_skipped(reason: str, names: list[str]) -> None:
    """Print which files are skipped, if there are any."""
    if names:
        print(f"folder: skipped, {reason}: {name_files(names)}")


def read_listed(folder: Path, entry: Mapping[str, Any]) -> bytes:
    """Return the content of a listed photograph.

    Args:
        folder: The folder that was listed.
        entry: The photograph's name and sha256.

    Raises:
        UserError: The file is gone or has changed since it was listed.
    """
    path = folder / entry["name"]
    content = _read_file(path)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise UserError(
            f"{printable_path(path)} has changed since it was listed: run `dvc repro` again"
        )
    return content


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{printable_path(path)} was deleted after it was listed: run `dvc repro` again"
        ) from None
    except PermissionError:
        raise permission_error(path) from None
